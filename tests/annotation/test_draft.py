"""/assignments/<pk>/draft/ : what is typed is kept with the task, and the task stays lent while somebody is at it."""

import datetime
import re
import uuid
from typing import Any

import pytest
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Assignment, Draft, Judgment, Project, Task, User
from tests.annotation.conftest import browser_of, make_tasks, text_of

HTMX = {"HX-Request": "true"}


@pytest.fixture
def held(project: Project, alice: User) -> Assignment:
    make_tasks(project, 3)
    claimed = queue.claim(alice, project=project)
    assert claimed
    return claimed


def tell(user: User, assignment: Assignment, **values: Any) -> dict[str, list[int]]:
    data = {"changed": "1", **values}
    response = browser_of(user).post(f"/assignments/{assignment.pk}/draft/", data, headers=HTMX)
    assert response.status_code == 200
    found: dict[str, list[int]] = response.json()
    return found


def lose(*assignments: Assignment) -> None:
    ids = [assignment.pk for assignment in assignments]
    Assignment.objects.filter(pk__in=ids).update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    queue.expire_overdue(assignments[0].task.project)


def test_it_works(project: Project, alice: User, held: Assignment) -> None:
    answer = tell(
        alice,
        held,
        choice="-2",
        flags=["unsafe", "broken_text"],
        rationale="a long\r\nthought",
        left_correction="better words",
        active_seconds="42.5",
    )
    assert answer == {"lost": [], "done": []}
    page = text_of(alice, f"/projects/{project.slug}/annotate/")
    assert re.search(r'value="-2"[^>]*checked', page)
    assert page.count("checked") == 3
    assert "thought" in page and "better words" in page and 'value="42.5"' in page


def test_a_draft_goes_when_its_task_is_judged_or_skipped(project: Project, alice: User, held: Assignment) -> None:
    tell(alice, held, rationale="one")
    actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0, rationale="sent")
    assert not Draft.objects.exists()
    assert tell(alice, held, rationale="too late") == {"lost": [], "done": [held.pk]}
    assert not Draft.objects.exists(), "a draft that was on its way does not come back over the judgment"
    second = queue.claim(alice, project=project)
    assert second
    tell(alice, second, rationale="two")
    actions.skip(second, by=alice, reason="other")
    assert not Draft.objects.exists()


def test_what_was_undone_begins_with_the_judgment_and_not_with_an_old_draft(
    project: Project, alice: User, held: Assignment
) -> None:
    tell(alice, held, choice="3", rationale="an old draft")
    actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0, rationale="what was sent")
    actions.undo(alice, project=project)
    page = text_of(alice, f"/projects/{project.slug}/annotate/")
    assert "what was sent" in page and "an old draft" not in page
    tell(alice, held, choice="1", rationale="changed after the undo")
    assert "changed after the undo" in text_of(alice, f"/projects/{project.slug}/annotate/")


def test_everything_the_page_holds_stays_lent(project: Project, alice: User, held: Assignment) -> None:
    ahead = queue.claim(alice, project=project, beside=[held.pk])
    assert ahead
    soon = timezone.now() + datetime.timedelta(seconds=5)
    Assignment.objects.update(expires_at=soon)
    browser_of(alice).post(f"/assignments/{held.pk}/draft/", {"held": [held.pk, ahead.pk]}, headers=HTMX)
    assert {each.expires_at > soon for each in Assignment.objects.all()} == {True}
    assert not Draft.objects.exists(), "nothing was typed"


def test_a_lease_that_ran_out_is_taken_again_while_there_is_a_place(
    project: Project, alice: User, bob: User, held: Assignment
) -> None:
    lose(held)
    assert tell(alice, held) == {"lost": [], "done": []}
    task = Task.objects.get(pk=held.task_id)
    assert (task.num_leased, task.num_judged) == (1, 0)
    lose(held)
    theirs = queue.claim(bob, project=project)
    assert theirs and theirs.task_id == held.task_id
    assert tell(alice, held, rationale="an hour's work") == {"lost": [held.pk], "done": []}
    assert Draft.objects.get().values["rationale"] == ["an hour's work"]
    assert Task.objects.get(pk=held.task_id).num_leased == 1


def test_other_people_s_leases_are_not_touched(project: Project, alice: User, bob: User, held: Assignment) -> None:
    theirs = queue.claim(bob, project=project)
    assert theirs
    soon = timezone.now() + datetime.timedelta(seconds=5)
    Assignment.objects.update(expires_at=soon)
    assert tell(alice, held, held=[theirs.pk]) == {"lost": [], "done": [theirs.pk]}
    theirs.refresh_from_db()
    assert theirs.expires_at == soon
    assert browser_of(bob).post(f"/assignments/{held.pk}/draft/", {"changed": "1"}).status_code == 404


def test_a_character_the_database_cannot_hold_is_left_out(alice: User, held: Assignment) -> None:
    tell(alice, held, rationale="a\0b")
    assert Draft.objects.get().values["rationale"] == ["ab"]


def test_ratings_are_drafted_too(project: Project, alice: User) -> None:
    criterion = actions.add_criterion(project, key="helpful", name="Helpful")
    make_tasks(project, 1, kind="rating")
    held = queue.claim(alice, project=project)
    assert held
    tell(alice, held, **{f"criterion_{criterion.pk}": "4"})
    page = text_of(alice, f"/projects/{project.slug}/annotate/")
    assert page.count("checked") == 1
    assert not Judgment.objects.exists()
