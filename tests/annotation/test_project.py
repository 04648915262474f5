"""/projects/<slug>/ : the overview."""

import datetime
import uuid

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Project, User
from tests.annotation.conftest import browser_of, make_tasks, member, text_of
from tests.annotation.test_quality import say


def judge_one(user: User, project: Project) -> None:
    held = queue.claim(user, project=project)
    assert held is not None
    actions.judge(held, by=user, submission_key=uuid.uuid4(), strength=0)


def test_overview_counts_and_marks_what_is_simulated(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 5)
    program = member(project, "program")
    User.objects.filter(pk=program.pk).update(is_simulated=True)
    judge_one(alice, project)
    judge_one(program, project)
    judge_one(program, project)
    page = text_of(bob, f"/projects/{project.slug}/")
    assert "<dd>3</dd>" in page and "2 simulated" in page
    assert "3 of 5 done" in page


def test_annotators_see_nothing_of_other_people_s_labels(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 5)
    for _time in range(3):
        judge_one(bob, project)
    page = text_of(alice, f"/projects/{project.slug}/")
    assert "You judged 0 so far" in page
    assert "Labels a day" not in page and "People" not in page


def test_admins_are_told_how_prompts_come_in(project: Project, carol: User) -> None:
    path, command = f"/projects/{project.slug}/", f"import_data --project {project.slug} FILE"
    page = text_of(carol, path)
    assert command in page and "Freeze" not in page
    make_tasks(project, 1)
    assert command not in text_of(carol, path)


def test_overview_needs_few_queries(project: Project, bob: User) -> None:
    make_tasks(project, 20)
    for _time in range(5):
        judge_one(bob, project)
    browser = browser_of(bob)
    with CaptureQueriesContext(connection) as queries:
        browser.get(f"/projects/{project.slug}/")
    assert len(queries) <= 15


def test_a_large_project_is_counted_once_a_minute_and_the_page_says_so(
    project: Project, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/projects/{project.slug}/"
    make_tasks(project, 3)
    assert "0 of 3 done" in text_of(bob, path) and "anew every minute" not in text_of(bob, path)
    monkeypatch.setattr("annotation.views.project.MANY", 2)
    judge_one(bob, project)
    assert "1 of 3 done" in text_of(bob, path)
    judge_one(bob, project)
    page = text_of(bob, path)
    assert "1 of 3 done" in page and "anew every minute" in page
    cache.clear()
    assert "2 of 3 done" in text_of(bob, path)


def test_how_well_people_judge_is_asked_for_apart(project: Project, alice: User, bob: User, carol: User) -> None:
    """The figures need all labels, so the overview does not wait for them."""
    for task in make_tasks(project, 6, overlap=2):
        say(alice, task, "a")
        say(bob, task, "a" if task.pk % 2 else "b")
    address = f"/projects/{project.slug}/quality/"
    assert f'hx-get="{address}"' in text_of(bob, f"/projects/{project.slug}/")
    page = text_of(carol, address)
    fragment = browser_of(carol).get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" in page and "<html" not in fragment
    for text in (page, fragment):
        assert "<dd>50\u202f%</dd>" in text, "alice and bob agree every other time"
        assert "<dd>75\u202f%</dd>" in text, "left: her six and three of his"
        assert "By person" in text


def test_quality_without_labels_says_why(project: Project, bob: User) -> None:
    assert "Nobody has judged anything here yet." in text_of(bob, f"/projects/{project.slug}/quality/")


def test_who_holds_a_task_is_at_work(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 2)
    path = f"/projects/{project.slug}/"
    assert "0 at work within the hour" in text_of(bob, path)
    queue.claim(alice, project=project)
    assert "1 at work within the hour" in text_of(bob, path)


def test_one_s_own_part_and_nobody_else_s(project: Project, alice: User, bob: User) -> None:
    old = timezone.now() - datetime.timedelta(days=30)
    for number, task in enumerate(make_tasks(project, 3, overlap=2)):
        say(alice, task, "a", active_seconds=40.0, created_at=old if number == 0 else timezone.now())
        say(bob, task, "a", active_seconds=1000.0)
    page = text_of(alice, f"/projects/{project.slug}/")
    assert "You judged 3 so far." in page and "2 in the last seven days." in page and "2 min 0 s at work" in page
