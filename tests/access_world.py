"""A project that went round the loop once, and its people: what the tests of who gets what look at."""

from __future__ import annotations

import datetime
import io
import uuid
import zipfile
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation import actions
from annotation.actions import imports
from annotation.models import (
    ApiToken,
    Assignment,
    Gold,
    Import,
    Judgment,
    Membership,
    Project,
    Role,
    Task,
    User,
    Voiding,
    WebhookDelivery,
)
from tests.training import rows
from training.models import Chat, ModelVersion, Review, Round, Run, Sweep

ROLES = {"alice": Role.ANNOTATOR, "bob": Role.REVIEWER, "dana": Role.ADMIN}
PEOPLE = ("nobody", "charlie", *ROLES)
"""Not logged in; a stranger to the project; its annotator, its reviewer, its admin."""
Statuses = tuple[int, int, int, int, int]
"""In the order of PEOPLE."""


@dataclass(frozen=True)
class Expected:
    statuses: Statuses
    needs: str = ""
    """The parts of the address, in words."""
    method: str = "get"
    query: str = ""
    post: Statuses | None = None
    """Of an address that takes POST beside GET: what an empty form brings each person there."""


@dataclass(frozen=True)
class World:
    people: dict[str, User]
    project: Project
    lent: Assignment
    """In Alice's hands, not judged yet; so are these two."""
    gold: Assignment
    repeat: Assignment
    judged: Judgment
    """By Alice."""
    voiding: Voiding
    file: Import
    run: Run
    sweep: Sweep
    a: ModelVersion
    b: ModelVersion
    round: Round
    review: Review
    chat: Chat
    """Dana's, blind."""
    told: WebhookDelivery
    token: ApiToken
    invited: actions.Invited
    leaver: Membership
    logins: dict[str, str] = field(default_factory=dict)
    """The keys of the sessions that are open already; whoever has none logs in at each question."""

    def parts(self) -> dict[str, tuple[str, Any]]:
        """The parts of addresses: the word in `needs` to the name in the address and the value."""
        bob = self.project.memberships.get(user=self.people["bob"])
        return {
            "slug": ("slug", self.project.slug),
            "member": ("pk", bob.pk),
            "leaver": ("pk", self.leaver.pk),
            "assignment": ("pk", self.lent.pk),
            "task": ("pk", self.lent.task_id),
            "criterion": ("pk", self.project.criteria.earliest("pk").pk),
            "said": ("pk", self.judged.assignment_id),
            "voiding": ("pk", self.voiding.pk),
            "judged": ("pk", self.project.tasks.questions().filter(num_judged__gt=0).earliest("pk").pk),
            "import": ("pk", self.file.pk),
            "run": ("pk", self.run.pk),
            "sweep": ("pk", self.sweep.pk),
            "version": ("pk", self.b.pk),
            "round": ("pk", self.round.pk),
            "snapshot": ("pk", self.run.snapshot_id),
            "answer": ("pk", self.lent.task.response_a_id),
            "review": ("pk", self.review.pk),
            "chat": ("pk", self.chat.pk),
            "pair": ("prompt", self.review.votes.earliest("pk").prompt_id),
            "chart": ("chart", "reward"),
            "step": ("step", 20),
            "webhook": ("pk", self.told.webhook_id),
            "delivery": ("delivery", self.told.pk),
            "token": ("pk", self.token.pk),
            "rest": ("rest", "no/such/thing"),
            "invitation": ("pk", self.invited.invitation.pk),
            "link": ("token", self.invited.token),
            "person": ("pk", bob.user.pk),
            "key": ("key", "no-such-key"),
            "uidb36": ("uidb36", "1"),
            "authenticator": ("pk", 1),
            "provider": ("provider_id", "none"),
            "work": ("work", "export"),
        }

    def address(self, name: str, expected: Expected, **instead: Any) -> str:
        """instead: values of parts, by the word in `needs`, that are not this world's."""
        parts = self.parts()
        values = {parts[need][0]: instead.get(need, parts[need][1]) for need in expected.needs.split()}
        return reverse(name, kwargs=values) + expected.query.format(a=self.a.pk, b=self.b.pk, sweep=self._seeds())

    def _seeds(self) -> str:
        return "&run=".join(str(pk) for pk in self.sweep.runs.order_by("pk").values_list("pk", flat=True))

    def browser(self, person: str, *, checks_csrf: bool = False) -> Client:
        client = Client(enforce_csrf_checks=checks_csrf)
        if person in self.logins:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.logins[person]
        elif person != "nobody":
            client.force_login(self.people[person])
        return client

    def log_everybody_in(self) -> None:
        """To log in costs more than most of what is asked then."""
        for person in self.people:
            self.logins[person] = self.browser(person).cookies[settings.SESSION_COOKIE_NAME].value

    def ask(self, person: str, path: str, method: str = "get") -> tuple[int, str]:
        """Status, and all that came: the page and where it sends one."""
        # Both versions are named in the body too, for the addresses that take them from a form.
        values = {"a": self.a.pk, "b": self.b.pk, "number": 1} if method == "post" else None
        response = getattr(self.browser(person), method)(path, *([values] if values else []))
        body = b"".join(response.streaming_content) if response.streaming else response.content
        if response.headers.get("Content-Type") == "application/zip":
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                body = b"\n".join(archive.read(name) for name in archive.namelist())
        return response.status_code, f"{dict(response.headers)}\n{body.decode()}"


def make_people() -> dict[str, User]:
    return {name: User.objects.create_user(name) for name in (*ROLES, "charlie", "erin")}


def make_world(people: dict[str, User], *, slug: str = "support") -> World:
    project = Project.objects.create(slug=slug, name="Support replies")
    alice, bob, dana = (people[name] for name in ROLES)
    for name, role in ROLES.items():
        actions.add_member(project, user=people[name], role=role)

    actions.add_criterion(project, key="kind", name="Kind")
    prompts = rows.prompts(project)
    rows.label(project, by=bob, prompts=prompts[:2])
    Judgment.objects.filter(annotator=bob).update(rationale="zebra thinks so", reasons=["zebra reason"])
    base, frozen = rows.base(project, "zebra-base"), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    tuned.name = "zebra-tuned"
    tuned.save(update_fields=["name"])
    assert tuned.run
    sweep = Sweep.objects.create(project=project, created_by=dana)
    other_seed = rows.run(project, "policy", model=base, reward_model=scorer, snapshot=frozen, config={"seed": 1})
    rows.metrics(other_seed, 40)
    sweep.runs.add(tuned.run, other_seed)

    judged, gold, repeat = made_for(alice, project, prompts[2], by=dana)
    answers = [rows.answer(prompts[3], f"Answer {number}.", source=f"zebra-{number}") for number in range(2)]
    last = project.tasks.create(
        prompt=prompts[3], kind="comparison", response_a=answers[0], response_b=answers[1], overlap=2
    )
    webhook = actions.add_webhook(project, url="http://127.0.0.1:9/", events=["import.finished"], by=dana)
    sent = SimpleUploadedFile("pairs.jsonl", b'{"prompt": "Sky?", "responses": ["Blue."]}\n')
    return World(
        people,
        project,
        lent=hold(alice, last),
        gold=gold,
        repeat=repeat,
        judged=judged,
        voiding=project.voidings.create(annotator=alice, reason="guessed", voided_by=dana),
        file=imports.keep_upload(project, sent, by=dana),
        run=tuned.run,
        sweep=sweep,
        a=base,
        b=tuned,
        round=rows.round_of(tuned, base, tasks=[last]),
        review=rows.review_of(base, tuned, prompt=prompts[0], by=dana, text="zebra comment"),
        chat=rows.chat_of(base, tuned, by=dana, text="zebra message"),
        told=actions.send_test(webhook),
        token=actions.create_token(alice, name="nightly", scopes=["read"]).row,
        invited=actions.invite(project, by=dana, max_uses=5),
        leaver=actions.add_member(project, user=people["erin"]),
    )


def made_for(alice: User, project: Project, prompt: Any, *, by: User) -> tuple[Judgment, Assignment, Assignment]:
    """A question that she judged, as others did; a gold task and the repeat of that question, which she holds."""
    a, b, c, d = (rows.answer(prompt, f"Reply {number}.", source=f"zebra-reply-{number}") for number in range(4))
    question = project.tasks.create(prompt=prompt, kind="comparison", response_a=a, response_b=b, overlap=3)
    said = actions.judge(
        hold(alice, question), by=alice, submission_key=uuid.uuid4(), preferred=a, strength=2, rationale="I think so."
    )
    task = project.tasks.create(
        prompt=prompt, kind="comparison", response_a=c, response_b=d, overlap=Task.EVERYBODY, control="gold"
    )
    Gold.objects.create(task=task, preferred=c, note="zebra note", created_by=by)
    again = project.tasks.create(
        prompt=prompt, kind="comparison", response_a=a, response_b=b, control="repeat", repeat_of=question,
        reserved_for=alice,
    )  # fmt: skip
    return said.judgment, hold(alice, task), hold(alice, again)


def hold(user: User, task: Task) -> Assignment:
    """As the queue lends it; which one it would lend first is its own affair."""
    Task.objects.filter(pk=task.pk).update(num_leased=1)
    return Assignment.objects.create(
        task=task, annotator=user, is_swapped=False, expires_at=timezone.now() + datetime.timedelta(hours=1)
    )
