"""How far a person is today: counted as they go, on the row that is locked for every label anyway."""

import datetime
import uuid

import pytest
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Assignment, Judgment, Membership, Project, Task, User
from annotation.standing import standing_of
from tests.annotation.conftest import browser_of, make_tasks, text_of
from tests.annotation.test_annotate import HTMX, lent, open_page, send


@pytest.fixture
def tasks(project: Project) -> list[Task]:
    return make_tasks(project, 5)


def judge(user: User, project: Project, **said: object) -> Assignment:
    held = queue.claim(user, project=project)
    assert held
    actions.judge(held, by=user, submission_key=uuid.uuid4(), **{"strength": 0, **said})  # type: ignore[arg-type]
    return held


def num_today(user: User, project: Project) -> int:
    standing = standing_of(user, project)
    assert standing
    assert f"{standing.num_today} of {project.daily_goal} today" in text_of(user, "/")
    return standing.num_today


def test_a_judgment_counts_once_and_undone_no_more(project: Project, tasks: list[Task], alice: User, bob: User) -> None:
    first = judge(alice, project)
    judge(alice, project)
    actions.judge(first, by=alice, submission_key=uuid.uuid4(), strength=0)  # a second submit of the same
    assert (num_today(alice, project), num_today(bob, project)) == (2, 0)
    actions.undo(alice, project=project)
    assert num_today(alice, project) == 1


def test_the_page_says_so_with_the_next_task(project: Project, tasks: list[Task], alice: User) -> None:
    browser = browser_of(alice)
    assert "0 of" in open_page(browser, project)
    ahead = browser.get(f"/projects/{project.slug}/annotate/?held={lent(alice).pk}", headers=HTMX)
    assert "0 of" in ahead.content.decode()
    for num in ("1 of", "2 of"):
        assert num in send(browser, lent(alice), choice="1", ahead="1").content.decode()
    assert "2 of" in open_page(browser, project)


def test_another_day_begins_at_nothing(project: Project, tasks: list[Task], alice: User) -> None:
    judge(alice, project)
    yesterday = timezone.now() - datetime.timedelta(days=1)
    Judgment.objects.update(created_at=yesterday)
    Membership.objects.update(worked_on=timezone.localdate(yesterday))
    assert num_today(alice, project) == 0
    judge(alice, project)
    assert num_today(alice, project) == 1
    actions.undo(alice, project=project)
    actions.undo(alice, project=project)  # what was judged yesterday was not counted today
    assert num_today(alice, project) == 0


def test_what_came_too_late_does_not_count(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 1)
    held = queue.claim(alice, project=project)
    assert held
    Assignment.objects.update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    judge(bob, project)
    judged = actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0)
    assert not judged.judgment.is_current
    assert num_today(alice, project) == 0
