"""Foreign text on every page that shows any: what people, models and files write is shown, and never obeyed.

The attacks stand wherever a text comes in, and each page is parsed as a browser would: no element, no handler and no
address of theirs may have come to life. That each text is there at all is tested too, or nothing would be proved.
"""

from __future__ import annotations

import datetime
import json
import uuid
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation import actions
from annotation.actions import imports
from annotation.models import (
    Assignment,
    Candidate,
    Criterion,
    Guidelines,
    Judgment,
    Project,
    Prompt,
    Response,
    Role,
    User,
    Webhook,
    WebhookDelivery,
)
from tests.annotation.test_consensus import said
from tests.training import rows
from training import actions as actions_of_training
from training.models import Review, Run, StageChange

MARK = "pwned"
ATTACKS = [
    f"<script>{MARK}()</script>",
    f'"><img src=x onerror={MARK}()>',
    f"'><svg/onload={MARK}()>",
    f"[click](javascript:{MARK}())",
    f'<a href="javascript:{MARK}()">x</a><iframe srcdoc="{MARK}"></iframe>',
    f"</textarea></pre></title><script>{MARK}()</script>",
    f"{{% include '{MARK}' %}}{{{{ {MARK} }}}}",
    f'```{MARK}"><script>{MARK}()</script>\n<style>*{{background:url({MARK})}}</style>\n```',
]
ATTACK = "\n\n".join(ATTACKS)


class Reader(HTMLParser):
    """What of the attacks came to life in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        for name, value in attrs:
            is_code = name.startswith("on") or name in {"srcdoc", "style"}
            is_address = name in {"href", "src", "action", "formaction", "xlink:href"} or name.startswith("hx-")
            address = (value or "").strip().lower()
            if is_code or (is_address and address.startswith(("javascript:", "data:text", "vbscript:"))):
                self.alive.append(f"<{tag} {name}={value!r}>")
        if tag in {"iframe", "object", "embed", "base", "marquee"}:
            self.alive.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in {"script", "style"} and MARK in data and self.is_run(data):
            self.alive.append(f"<{self.inside}> {data[:60]}")

    def is_run(self, data: str) -> bool:
        """Data islands of JSON are read by our scripts and never run; an attack that broke out of one is text here."""
        return self.get_starttag_text() in {"<script>", "<style>"}


def alive(page: str) -> list[str]:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader.alive


def test_the_reader_sees_what_comes_alive() -> None:
    assert [attack for attack in ATTACKS[:3] + ATTACKS[4:6] if not alive(attack)] == []


Hostile = tuple[Project, User, dict[str, int]]


@pytest.fixture
def hostile(db: None, settings: Any, tmp_path: Path) -> Hostile:
    settings.RUNS_DIR = settings.UPLOADS_DIR = tmp_path
    return make_hostile(tmp_path)


def make_hostile(folder: Path) -> Hostile:
    """A project in which every text that somebody may write is an attack; runs' files go to `folder`."""
    project = Project.objects.create(slug="support", name=ATTACKS[1], description=ATTACK, overlap=2)
    dana = User.objects.create_user("dana", first_name=ATTACKS[0][:30])
    other = User.objects.create(username=f"<script>{MARK}()</script>")
    for user in (dana, other):
        actions.add_member(project, user=user, role=Role.ADMIN)
    project.voidings.create(annotator=other, reason=ATTACK, voided_by=other)
    for version in (1, 2):
        Guidelines.objects.create(project=project, version=version, text=f"{ATTACK} {version}")
    actions.create_token(dana, name=ATTACKS[0], scopes=["read"], project=project)
    hook = actions.add_webhook(project, url=f"https://example.org/?{ATTACKS[1]}", events=["import.finished"], by=dana)
    Webhook.objects.update(disabled_reason=ATTACK)
    sent = WebhookDelivery.objects.create(webhook=hook, message_id="msg_1", event="webhook.test", body=ATTACK)
    sent.attempts.create(started_at=sent.created_at, milliseconds=1, status_code=200, excerpt=ATTACK, error=ATTACK)
    Criterion.objects.create(project=project, key="k", name=ATTACKS[0], low_anchor=ATTACKS[1], high_anchor=ATTACKS[2])
    messages = [{"role": role, "content": ATTACK} for role in ("system", "user", "assistant", "user")]
    prompt = Prompt.objects.create(project=project, messages=messages, content_hash="1")
    a, b = (rows.answer(prompt, f"{ATTACK} {n}", source=ATTACKS[n]) for n in range(2))
    project.tasks.create(prompt=prompt, kind="comparison", response_a=a, response_b=b, overlap=2)
    project.tasks.create(prompt=prompt, kind="rating", response_a=a, overlap=2, priority=-1)

    ann = User.objects.create_user("ann")
    actions.add_member(project, user=ann, role=Role.ANNOTATOR)
    said = [rank(project, prompt, by=user) for user in (dana, ann)]

    base, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    assert tuned.run
    for version in (base, tuned):
        wrote = rows.generations(version, scorer=scorer, prompts=[prompt], shift=0.1)
        Response.objects.filter(generation__run=wrote).update(text=f"{version.name} {ATTACK}")
    lineage = {"snapshot": frozen.pk, "answer": a.pk, "task": said[0].task_id}
    frozen.uses.create(judgment=said[0].judgments.get())
    asked = rows.round_of(tuned, base, tasks=list(project.tasks.filter(kind="comparison")))
    review = rows.review_of(base, tuned, prompt=prompt, by=dana, text=ATTACK)
    newest = Response.objects.filter(generation__version=tuned).latest("pk")
    Response.objects.filter(generation__run=newest.generation.run).update(text=ATTACK)
    rows.likelihood(base, tuned, newest, words=ATTACK)
    closed = Review.objects.create(project=project, a=tuned, b=base)
    chats = {"chat": rows.chat_of(base, tuned, by=dana, text=ATTACK, num_turns=2).pk}
    failed = rows.chat_of(tuned, None, by=dana, text=ATTACK)
    failed.turns.get().answers.update(status="failed", error=f"as why {ATTACK}")
    chats["failed_chat"] = failed.pk
    actions_of_training.close_review(closed, status="rejected", by=other, reason=ATTACK)
    tuned.run.samples.update(text=f"in a sample {ATTACK}", prompt=messages)
    Run.objects.filter(pk=tuned.run.pk).update(
        status="failed", error=f"as the error {ATTACK}", warnings=[f"as a warning {ATTACK}"]
    )
    StageChange.objects.create(version=tuned, stage="approved", reason=ATTACK, by=other)
    files_of_run = folder / str(tuned.run.pk)
    files_of_run.mkdir(parents=True)
    (files_of_run / "stderr.txt").write_text(f"in the log {ATTACK}")
    lines = [{"prompt": ATTACK, "responses": [ATTACK, {"text": "x", "source": ATTACKS[1]}], ATTACKS[0]: 1}, {ATTACK: 1}]
    sent = SimpleUploadedFile(f"{ATTACKS[1]}.jsonl", "\n".join(map(json.dumps, lines)).encode())
    looked_at, over = (imports.keep_upload(project, sent, by=other) for _ in range(2))
    project.imports.filter(pk=over.pk).update(status="done", num_problems=1)
    over.problems.create(line=1, sentence=f"as a problem {ATTACK}")
    files = {"looked_at": looked_at.pk, "over": over.pk, "said": said[0].pk, "said_by_ann": said[1].pk}
    reviews = {"review": review.pk, "closed": closed.pk, "prompt": prompt.pk}
    at = {"run": tuned.run.pk, "a": base.pk, "b": tuned.pk, "round": asked.pk}
    return project, dana, at | reviews | chats | lineage | files


def rank(project: Project, prompt: Prompt, *, by: User) -> Assignment:
    """Somebody's ranking of three answers, with a rationale: what the pages of one's own judgments show."""
    answers = [rows.answer(prompt, f"{ATTACK} for {by} {n}", source=ATTACKS[n]) for n in range(3)]
    pks = [answer.pk for answer in answers]
    task = project.tasks.create(prompt=prompt, kind="ranking", response_a=answers[0], candidate_ids=pks, num_leased=1)
    Candidate.objects.bulk_create(Candidate(task=task, response=answer) for answer in answers)
    lent = Assignment.objects.create(
        task=task, annotator=by, is_swapped=False, order=pks, expires_at=timezone.now() + datetime.timedelta(hours=1)
    )
    ranks = {pk: place for place, pk in enumerate(pks, 1)}
    actions.judge(lent, by=by, submission_key=uuid.uuid4(), ranks=ranks, rationale=ATTACK)
    return lent


def pages_with_foreign_text(hostile: Hostile) -> list[str]:
    """The addresses of every page that shows what somebody wrote, for an admin."""
    project, dana, pks = hostile
    invited = actions.invite(project, by=User.objects.get(username__startswith="<"), role=Role.ADMIN)
    slug = project.slug
    return [
        reverse("annotation:home"),
        *(
            reverse(f"annotation:{name}", args=[slug])
            for name in ("project", "annotate", "guidelines", "guidelines_versions")
        ),
        *(reverse(f"annotation:{name}", args=[slug]) for name in ("people", "tasks", "tasks_new", "leaderboard")),
        reverse("annotation:gold_task", args=[slug, project.tasks.filter(kind="comparison").first().pk]),
        *(reverse(f"annotation:{name}", args=[slug]) for name in ("agreement", "consensus", "adjudicate", "decided")),
        reverse("annotation:person", args=[slug, project.memberships.exclude(user=dana).earliest("pk").pk]),
        reverse("annotation:webhooks", args=[slug]),
        reverse("annotation:webhook", args=[slug, Webhook.objects.get().pk]),
        *(reverse(f"annotation:{name}", args=[slug]) for name in ("invitations", "audit", "settings")),
        reverse("annotation:criterion", args=[slug, project.criteria.get().pk]),
        *(reverse(f"annotation:{name}", args=[slug]) for name in ("judgments", "gold", "tasks_new")),
        reverse("annotation:revise", args=[pks["said"]]),
        reverse("annotation:gold_task", args=[slug, project.tasks.filter(kind="comparison").earliest("pk").pk]),
        reverse("annotation:invitation", args=[invited.token]),
        reverse("annotation:account"),
        reverse("annotation:tokens"),
        reverse("annotation:imports", args=[slug]),
        *(reverse("annotation:import", args=[slug, pks[name]]) for name in ("looked_at", "over")),
        reverse("annotation:export", args=[slug]) + "?format=prompts",
        reverse("training:freeze", args=[slug]),
        reverse("training:dashboard"),
        reverse("training:run_new") + f"?project={slug}&kind=policy",
        reverse("training:run", args=[pks["run"]]),
        reverse("training:models"),
        reverse("training:model", args=[pks["b"]]),
        reverse("training:snapshot", args=[pks["snapshot"]]),
        reverse("training:answer", args=[pks["answer"]]),
        reverse("training:task_uses", args=[pks["task"]]),
        reverse("training:round_new", args=[pks["b"]]),
        reverse("training:round_page", args=[pks["round"]]),
        reverse("training:review", args=[pks["review"]]),
        reverse("training:review", args=[pks["closed"]]),
        reverse("training:review_pair", args=[pks["review"], pks["prompt"]]),
        reverse("training:review_pair", args=[pks["closed"], pks["prompt"]]),
        reverse("training:chats", args=[slug]),
        *(reverse("training:chat", args=[slug, pks[name]]) for name in ("chat", "failed_chat")),
        reverse("training:compare"),
        reverse("training:compare") + f"?a={pks['a']}&b={pks['b']}",
    ]


def test_nothing_foreign_comes_alive_on_any_page(hostile: Hostile) -> None:
    _, dana, pks = hostile
    browser = Client()
    browser.force_login(dana)
    run = reverse("training:run", args=[pks["run"]])
    paths = pages_with_foreign_text(hostile)
    pages = {path: browser.get(path).content.decode() for path in paths}
    assert [path for path, page in pages.items() if MARK not in page] == [], (
        "a page without foreign text proves nothing"
    )
    assert {path: found for path, page in pages.items() if (found := alive(page))} == {}
    for place in ("in a sample", "in the log", "as the error", "as a warning"):
        assert f"{place} &lt;script&gt;" in pages[run] or f"{place} <p>" in pages[run], place


def test_a_rating_and_what_is_sent_back_with_an_error(hostile: Hostile) -> None:
    project, dana, _ = hostile
    browser = Client()
    browser.force_login(dana)
    for kind in ("comparison", "rating"):
        page = browser.get(reverse("annotation:annotate", args=[project.slug])).content.decode()
        assert MARK in page
        assert alive(page) == []
        lent = dana.assignments.get(status="leased")
        assert lent.task.kind == kind
        refused = browser.post(
            reverse("annotation:judge", args=[lent.pk]), {"rationale": ATTACK, "left_correction": ATTACK}
        )
        assert refused.status_code == 422
        assert alive(refused.content.decode()) == []
        browser.post(reverse("annotation:skip", args=[lent.pk]), {"reason": "unclear"})


def test_a_disagreement_and_its_verdict(hostile: Hostile) -> None:
    project, dana, _ = hostile
    other = User.objects.get(username__startswith="<")
    task = project.tasks.get(kind="comparison")
    for user, strength in ((dana, 3), (other, -3)):
        given = said(task, user, strength)
        Judgment.objects.filter(pk=given.pk).update(rationale=f"as why {ATTACK}", reasons=[ATTACKS[0]])
    browser = Client()
    browser.force_login(dana)
    pages = [browser.get(reverse("annotation:adjudicate", args=[project.slug])).content.decode()]
    assert "as why &lt;script&gt;" in pages[0]
    actions.adjudicate(task, by=other, seen="", cause="mistake", strength=0, note=f"as a note {ATTACK}")
    for name, parts in (
        ("decide", [project.slug, task.pk]),
        ("decided", [project.slug]),
        ("agreement", [project.slug]),
    ):
        pages.append(browser.get(reverse(f"annotation:{name}", args=parts)).content.decode())
    assert all("as a note &lt;script&gt;" in page for page in pages[1:3])
    assert [found for page in pages if (found := alive(page))] == []
