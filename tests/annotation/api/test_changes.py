"""Incremental pulls: what is new or changed since a moment, whoever changed it and by which door."""

from __future__ import annotations

import datetime

import pytest

from annotation import actions, queue
from annotation.models import Judgment, Project, Task, User
from tests.annotation.api.conftest import Program, Programs
from tests.annotation.api.test_judgments import judge
from tests.annotation.conftest import make_tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reviewer(bob: User, program: Programs) -> Program:
    return program(bob, "read")


class Pulling:
    """A program that keeps a copy: each look finds what changed since the one before began."""

    def __init__(self, program: Program, path: str) -> None:
        self.program, self.path, self.moment = program, path, datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

    def __call__(self) -> list[int]:
        since, self.moment = self.moment, datetime.datetime.now(datetime.UTC)
        status, page = self.program.get(self.path, updated_since=since.isoformat())
        assert status == 200
        return [item["id"] for item in page["items"]]


def test_judgments_that_came_or_count_no_more(reviewer: Program, project: Project, alice: User, carol: User) -> None:
    make_tasks(project, 2)
    changed = Pulling(reviewer, f"projects/{project.slug}/judgments")
    first, second = judge(alice, project), judge(alice, project)
    assert changed() == [first.pk, second.pk]
    assert changed() == []
    actions.undo(alice, project=project)
    assert changed() == [second.pk]
    voiding = actions.void_judgments(project, annotator=alice, by=carol, reason="A test.")
    assert changed() == [first.pk]
    actions.restore(voiding, by=carol)
    assert changed() == [first.pk]
    Judgment.objects.update(frozen_at=datetime.datetime.now(datetime.UTC))
    assert changed() == [], "what the list does not tell is no change"


def test_tasks_that_were_made_judged_or_changed(reviewer: Program, project: Project, alice: User, carol: User) -> None:
    first, second = make_tasks(project, 2)
    changed = Pulling(reviewer, f"projects/{project.slug}/tasks")
    assert changed() == [first.pk, second.pk]
    queue.claim(alice, project=project)
    assert changed() == [], "a lease is no change"
    kept = judge(alice, project)
    assert changed() == [kept.task_id]
    actions.change_task(Task.objects.get(pk=second.pk), by=carol, is_withdrawn=True)
    assert changed() == [second.pk]
