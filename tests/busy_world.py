"""Rows of every kind in the world of tests/access_world.py, so that each list of each page has some.

`grow` adds as many again wherever it is called: pages must cost the same queries with few rows as with many, and look
right with rows in them.
"""

from __future__ import annotations

import datetime
import itertools
import json
from typing import Any

from allauth.usersessions.models import UserSession
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from annotation import actions
from annotation.actions import imports
from annotation.actions.tasks import make_gold_pair
from annotation.models import (
    Candidate,
    Criterion,
    Gold,
    Judgment,
    Making,
    Project,
    Rank,
    Rating,
    Task,
    User,
    WebhookAttempt,
    WebhookDelivery,
)
from tests.access_world import PEOPLE, World, hold, make_people, make_world
from tests.test_access import EXPECTED
from tests.training import rows
from training.actions import close_review
from training.models import Generation, ModelVersion, Run, StageChange

names = itertools.count(1)
"""No two rows are called alike in one process; what a test sees of them is how many there are."""


def make_busy_world() -> World:
    world = make_world(make_people())
    dana = world.people["dana"]
    dana.is_staff = dana.is_superuser = True
    dana.save()
    return world


def grow(world: World, num: int = 2) -> None:
    """Add `num` rows of each kind."""
    for _ in range(num):
        number = next(names)
        project, dana = world.project, world.people["dana"]
        people = [User.objects.create_user(f"{name}{number}") for name in ("fay", "gil", "hal")]
        for person in people:
            actions.add_member(project, user=person, by=dana)
        _labels(project, people, by=dana, number=number)
        _settings(world, number)
        _files(project, by=dana, number=number)
        _programs(world, number)
        _models(world, number)
        _of_the_installation(world, people[0], number)


def _labels(project: Project, people: list[User], *, by: User, number: int) -> None:
    """A comparison that they disagree about, and was decided; one that nobody decided; a rating, a ranking, gold."""
    fay, gil, hal = people
    criterion = project.criteria.earliest("pk")
    for decided in (True, False):
        prompt = _prompt(project, f"Question {number} {decided}?")
        a, b, c, d = (rows.answer(prompt, f"Answer {side}.", source=f"zebra {side}") for side in "abcd")
        compared = _task(project, prompt, "comparison", response_a=a, response_b=b)
        _say(compared, fay, preferred=a, strength=2, rationale="Kinder.", flags=["unsafe"], active_seconds=30.0)
        _say(compared, gil, preferred=b, strength=1, active_seconds=20.0)
        rated = _task(project, prompt, "rating", response_a=a)
        ranked = _task(project, prompt, "ranking", response_a=a, candidate_ids=[a.pk, b.pk, c.pk])
        Candidate.objects.bulk_create(Candidate(task=ranked, response=each) for each in (a, b, c))
        for person, value in ((fay, 1), (gil, 5)):
            Rating.objects.create(judgment=_say(rated, person), response=a, criterion=criterion, value=value)
            order = (a, b, c) if value == 1 else (c, b, a)
            judgment = _say(ranked, person)
            Rank.objects.bulk_create(
                Rank(judgment=judgment, response=each, rank=place) for place, each in enumerate(order, start=1)
            )
        if decided:
            verdict: dict[str, Any] = {"cause": "ambiguous", "seen": "", "preferred": a, "strength": 2}
            actions.adjudicate(compared, by=by, **verdict)
        _task(project, prompt, "comparison", response_a=c, response_b=d)  # nobody has judged it
    gold = make_gold_pair(project, prompt=f"Gold {number}?", right="Yes.", wrong="No.", note="So it is.", by=by)
    for person in people:  # after which Hal's count no more
        _say(gold.task, person, preferred=gold.preferred, strength=2)
    _say(_gold_rating(project, criterion, by=by, number=number), fay)
    actions.void_judgments(project, annotator=hal, by=by, reason=f"guessed {number}")


def _gold_rating(project: Project, criterion: Criterion, *, by: User, number: int) -> Task:
    prompt = _prompt(project, f"Gold rating {number}?")
    rated = rows.answer(prompt, "Well.", source="gold")
    task = _task(project, prompt, "rating", response_a=rated, control="gold")
    Gold.objects.create(task=task, ratings={criterion.key: [3, 5]}, created_by=by)
    return task


def _prompt(project: Project, text: str) -> Any:
    return project.prompts.create(messages=[{"role": "user", "content": text}], content_hash=text)


def _task(project: Project, prompt: Any, kind: str, **fields: Any) -> Task:
    made: Task = project.tasks.create(prompt=prompt, kind=kind, overlap=4, **fields)
    return made


def _say(task: Task, person: User, **said: Any) -> Judgment:
    lent = hold(person, task)
    type(lent).objects.filter(pk=lent.pk).update(status="judged")
    Task.objects.filter(pk=task.pk).update(num_leased=0, num_judged=task.judgments.count() + 1)
    return Judgment.objects.create(task=task, annotator=person, assignment=lent, **said)


def _settings(world: World, number: int) -> None:
    project, dana = world.project, world.people["dana"]
    actions.publish_guidelines(project, text=f"## Be kind\n\nVersion {number}.", by=dana)
    actions.add_criterion(project, key=f"key{number}", name=f"Criterion {number}", by=dana)
    actions.invite(project, by=dana, email=f"new{number}@example.org")
    Making.objects.create(project=project, kind="all", num_tasks=5, created_by=dana)
    other = actions.create_project(f"Project {number}", by=dana)
    for person in ("alice", "bob"):
        actions.add_member(other, user=world.people[person], by=dana)
    _task(other, _prompt(other, "Anything?"), "rating", response_a=_lonely_answer(other))


def _lonely_answer(project: Project) -> Any:
    return rows.answer(_prompt(project, "To be rated?"), "Perhaps.", source="zebra")


def _files(project: Project, *, by: User, number: int) -> None:
    lines = [{"prompt": f"Sky {number}?", "responses": ["Blue."]}, {"prompt": ""}]
    sent = SimpleUploadedFile(f"pairs-{number}.jsonl", "\n".join(map(json.dumps, lines)).encode())
    done = imports.take_step(imports.start_import(imports.keep_upload(project, sent, by=by).pk, by=by).pk, by=by)
    assert (done.status, done.num_problems) == ("done", 1)


def _programs(world: World, number: int) -> None:
    project, dana = world.project, world.people["dana"]
    for person in ("alice", "bob", "dana"):
        actions.create_token(world.people[person], name=f"nightly {number}", scopes=["read"], project=project)
    webhook = actions.add_webhook(project, url="http://127.0.0.1:9/", events=["import.finished"], by=dana)
    for told in (world.told.webhook, webhook):
        delivery = actions.send_test(told)
        WebhookAttempt.objects.bulk_create(
            WebhookAttempt(delivery=delivery, started_at=timezone.now(), milliseconds=9, status_code=500, error="No.")
            for _ in range(2)
        )
        WebhookDelivery.objects.filter(pk=delivery.pk).update(status="given_up", num_attempts=2)


def _models(world: World, number: int) -> None:
    """Runs of each kind on a base and a snapshot of their own, and answers of both versions that are compared."""
    project = world.project
    base = rows.base(project, f"base-{number}")
    frozen = rows.snapshot(project, name=f"snapshot {number}")
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    StageChange.objects.create(version=world.b, stage=ModelVersion.Stage.CANDIDATE, by=world.people["dana"])
    rows.run(project, "reward", status="failed", model=base, snapshot=frozen, error="Too large: halve batch_size.")
    rows.samples(world.run, [number + 50])
    prompt = _prompt(project, f"Compared {number}?")
    answers = []
    for version, reward in ((world.a, 0.5), (world.b, 1.5)):
        answers.append(rows.answer(prompt, f"{version.name} says so.", source=version.name))
        Generation.objects.create(
            response=answers[-1], version=version, run=_generated(world, version), reward=reward, logprob=-9.0,
            num_tokens=4,
        )  # fmt: skip
    asked = _task(project, prompt, "comparison", response_a=answers[0], response_b=answers[1])
    _say(asked, world.people["dana"], preferred=answers[1], strength=2)
    closed = rows.review_of(tuned, base, prompt=prompt, by=world.people["dana"])
    close_review(closed, status="rejected", by=world.people["dana"], reason="It rambles.")
    world.review.comments.create(text=f"Comment {number}", by=world.people["bob"])
    world.review.votes.create(
        prompt=prompt, response_a=answers[0], response_b=answers[1], by=world.people["bob"], is_swapped=True, choice="a"
    )
    rows.likelihood(world.a, world.b, answers[0])
    rows.round_of(world.b, world.a, tasks=[asked], number=number + 1)
    world.round.questions.create(task=asked, is_random=True)
    _chats(world, number)
    assert tuned.run


def _chats(world: World, number: int) -> None:
    """A chat more, and a turn more in the one that is looked at."""
    for person in ("bob", "dana"):
        rows.chat_of(world.a, world.b, by=world.people[person], text=f"Chat {number}", num_turns=2)
    last = world.chat.turns.latest("number")
    last.choice, last.chosen, last.voted_at = "0", last.answers.earliest("pk"), timezone.now()
    last.save()
    turn = world.chat.turns.create(by=world.chat.by, number=last.number + 1, messages=last.messages)
    for version in world.chat.versions:
        turn.answers.create(version=version, status="done", text=f"{version} {turn.number}", settings={})


def _generated(world: World, version: ModelVersion) -> Run:
    fields = {"project": world.project, "kind": "generate", "model": version, "reward_model": world.b.run.reward_model}  # type: ignore[union-attr]
    return Run.objects.filter(**fields).first() or rows.run(status="succeeded", **fields)


def _of_the_installation(world: World, person: User, number: int) -> None:
    """What an account has of everything, of Dana's and of Bob's; accounts there are more of by now."""
    for user in (world.people["dana"], world.people["bob"]):
        UserSession.objects.create(
            user=user, session_key=f"{user.pk} {number}", ip="192.0.2.7", user_agent="Firefox/130.0",
            last_seen_at=timezone.now() - datetime.timedelta(hours=number),
        )  # fmt: skip
    person.emailaddress_set.create(email=f"{person.username}@example.org", verified=True, primary=True)


def pages(world: World) -> dict[str, tuple[str, str]]:
    """Address and person of each page that is there to be seen, by its name: the person who is shown the most.

    Dana is taken to have every right of the installation.
    """
    found = {}
    for name, expected in EXPECTED.items():
        shown = [person for person, status in zip(PEOPLE, expected.statuses, strict=True) if status == 200]
        person = "dana" if "dana" in shown or not shown else shown[-1]
        path = world.address(name, expected)
        if expected.method == "get" and (shown or world.ask(person, path)[0] == 200):
            found[name] = path, person
    return found
