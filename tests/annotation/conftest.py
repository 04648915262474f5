"""The cast of the labelling tests: Alice annotates, Bob reviews, Carol is admin, Charlie is a stranger; some tasks."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from annotation import actions
from annotation.models import Candidate, Project, Prompt, Response, Role, Task, User

MakeTasks = Callable[..., list[Task]]


@pytest.fixture
def project(db) -> Project:  # type: ignore[no-untyped-def]
    return actions.create_project("Support replies", by=None, overlap=1)


@pytest.fixture
def alice(project: Project) -> User:
    return member(project, "alice")


@pytest.fixture
def bob(project: Project) -> User:
    return member(project, "bob", Role.REVIEWER)


@pytest.fixture
def carol(project: Project) -> User:
    return member(project, "carol", Role.ADMIN)


@pytest.fixture
def charlie(db) -> User:  # type: ignore[no-untyped-def]
    return User.objects.create(username="charlie")


def member(project: Project, name: str, role: Role = Role.ANNOTATOR) -> User:
    user = User.objects.create(username=name)
    actions.add_member(project, user=user, role=role)
    return user


def make_tasks(
    project: Project, num: int, *, overlap: int = 1, kind: str = "comparison", **fields: object
) -> list[Task]:
    """Rows put in directly, for tests of what happens to tasks once they are there."""
    prompts = Prompt.objects.bulk_create(
        Prompt(project=project, messages=[{"role": "user", "content": f"Question {number}?"}], content_hash=str(number))
        for number in range(num)
    )
    answers = [
        Response.objects.bulk_create(
            Response(prompt=prompt, text=f"{side} to {prompt}", source=side, content_hash=side) for prompt in prompts
        )
        for side in ("plain answer", "long answer")
    ]
    return Task.objects.bulk_create(
        Task(
            project=project,
            prompt=prompt,
            kind=kind,
            response_a=first,
            response_b=second if kind == "comparison" else None,
            overlap=overlap,
            **fields,
        )
        for prompt, first, second in zip(prompts, *answers, strict=True)
    )


def make_rankings(project: Project, count: int, *, num: int = 3, name: str = "Rank", **fields: object) -> list[Task]:
    """`count` rankings of `num` answers each, to prompts of their own."""
    tasks = []
    for number in range(count):
        messages = [{"role": "user", "content": f"{name} {number}?"}]
        prompt = Prompt.objects.create(project=project, messages=messages, content_hash=f"{name} {number}")
        answers = Response.objects.bulk_create(
            Response(prompt=prompt, text=f"Answer {side} to {number}", source=f"source {side}", content_hash=f"{side}")
            for side in range(num)
        )
        task = Task.objects.create(
            project=project,
            prompt=prompt,
            kind="ranking",
            response_a=answers[0],
            candidate_ids=[answer.pk for answer in answers],
            **fields,
        )
        Candidate.objects.bulk_create(Candidate(task=task, response=answer) for answer in answers)
        tasks.append(task)
    return tasks


def browser_of(user: User | None) -> Client:
    """A browser in which that person is logged in (None: nobody)."""
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def text_of(user: User, path: str, **values: Any) -> str:
    """The page that person gets there."""
    response = browser_of(user).get(path, values)
    assert response.status_code == 200
    return response.getvalue().decode()
