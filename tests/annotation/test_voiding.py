"""actions.void_judgments, restore and pause_member: what counts afterwards, and what others may judge again."""

import datetime
import uuid

import pytest
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Assignment, AuditEntry, Judgment, Project, Task, User, Voiding
from tests.annotation.conftest import browser_of, make_tasks, member
from tests.annotation.test_concurrency import at_once


def judge_all(user: User, project: Project, *, most: int = 1000) -> int:
    """The user calls every task they can get a tie; returns how many there were."""
    for number in range(most):
        held = queue.claim(user, project=project)
        if held is None:
            return number
        actions.judge(held, by=user, submission_key=uuid.uuid4(), strength=0)
    return most


def counters_hold(project: Project) -> bool:
    return all(
        task.num_judged == task.judgments.filter(is_current=True).count()
        and task.num_leased == task.assignments.filter(status=Assignment.Status.LEASED).count()
        for task in project.tasks.all()
    )


def test_it_works(project: Project, alice: User, bob: User, carol: User) -> None:
    make_tasks(project, 5)
    judge_all(alice, project)
    voiding = actions.void_judgments(project, annotator=alice, by=carol, reason=" guessed ")
    assert (voiding.reason, voiding.voided_by, voiding.judgments.count()) == ("guessed", carol, 5)
    assert not Judgment.objects.counted().exists() and Judgment.objects.count() == 5, "kept, but not counted"
    assert project.tasks.counts() == {"all": 5, "open": 5, "done": 0}
    assert queue.claim(alice, project=project) is None, "who had the task does not get it again"
    assert judge_all(bob, project) == 5
    assert counters_hold(project)
    entry = AuditEntry.objects.get(verb="labels.voided")
    assert (entry.actor, entry.about, entry.project, entry.details["num"]) == (carol, alice, project, 5)


def test_only_the_period_and_only_this_person_and_project(
    project: Project, alice: User, bob: User, carol: User
) -> None:
    other = actions.create_project("Other", by=None)
    actions.add_member(other, user=alice)
    for each in (project, other):
        make_tasks(each, 4, overlap=2)
        judge_all(alice, each)
    judge_all(bob, project)
    noon = timezone.now()
    before, after = list(Judgment.objects.of(alice).in_project(project).order_by("pk"))[:2]
    Judgment.objects.filter(pk=before.pk).update(created_at=noon - datetime.timedelta(hours=3))
    Judgment.objects.filter(pk=after.pk).update(created_at=noon + datetime.timedelta(hours=3))
    hours = {"since": noon - datetime.timedelta(hours=2), "until": noon + datetime.timedelta(hours=2)}
    assert actions.voidable(project, annotator=alice, **hours).count() == 2
    assert actions.void_judgments(project, annotator=alice, by=carol, reason="x", **hours).judgments.count() == 2
    assert set(Judgment.objects.counted().of(alice).in_project(project)) == {before, after}
    assert Judgment.objects.counted().of(bob).count() == 4 == Judgment.objects.counted().in_project(other).count()
    assert counters_hold(project) and counters_hold(other)


@pytest.mark.parametrize(("reason", "sentence"), [(" ", "Say why"), ("x", "nothing to void")])
def test_what_cannot_be_voided_gets_a_sentence(project: Project, alice: User, reason: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        actions.void_judgments(project, annotator=alice, by=alice, reason=reason)
    assert not Voiding.objects.exists()


def test_restoring_where_places_are_left(project: Project, alice: User, bob: User, carol: User) -> None:
    make_tasks(project, 3)
    judge_all(alice, project)
    voiding = actions.void_judgments(project, annotator=alice, by=carol, reason="guessed")
    judge_all(bob, project, most=1)
    held = queue.claim(bob, project=project)
    assert held
    assert actions.restore(voiding, by=carol) == (1, 2), "one is judged by bob, one is in his hands"
    assert voiding.restored_at and voiding.judgments.count() == 2
    assert counters_hold(project)
    queue.release(held)
    assert actions.restore(voiding, by=carol) == (1, 1), "the place that is free again"
    assert counters_hold(project)


def test_undoing_goes_past_what_was_voided(project: Project, alice: User, carol: User) -> None:
    make_tasks(project, 2)
    judge_all(alice, project)
    actions.void_judgments(project, annotator=alice, by=carol, reason="guessed")
    assert actions.undo(alice, project=project) is None
    assert counters_hold(project)


@pytest.mark.django_db(transaction=True)
def test_voiding_while_everybody_judges(project: Project) -> None:
    """Six people judge and undo while four admins void and restore, partly the same person's labels."""
    make_tasks(project, 120, overlap=3)
    people = [member(project, f"annotator {number}") for number in range(6)]
    admin = member(project, "admin", actions.projects.Role.ADMIN)
    for person in people[:3]:
        judge_all(person, project, most=20)

    def work(number: int) -> int:
        if number < len(people):
            num = judge_all(people[number], project, most=40)
            actions.undo(people[number], project=project)
            return num
        num = 0
        for round_ in range(6):
            annotator = people[(number + round_) % 3]
            try:
                voiding = actions.void_judgments(project, annotator=annotator, by=admin, reason="x")
            except ValueError:
                continue
            num += voiding.judgments.count()
            actions.restore(voiding, by=admin)
        return num

    done = at_once(10, work)
    assert sum(map(int, done[6:])) > 0, "nothing was voided"  # type: ignore[call-overload]
    assert counters_hold(project)
    assert not Judgment.objects.filter(is_current=True, voiding__isnull=False).exists()
    assert not Task.objects.filter(num_judged__gt=3).exists()


def test_a_pause_gives_back_what_the_person_holds(project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 1)
    held = queue.claim(alice, project=project)
    assert held and queue.claim(bob, project=project) is None
    assert actions.pause_member(project.memberships.get(user=alice), by=bob) == 1
    assert counters_hold(project)
    assert queue.claim(bob, project=project), "others get it at once"


def test_an_open_tab_of_who_was_paused_is_told_so(project: Project, alice: User, charlie: User) -> None:
    make_tasks(project, 1)
    held = queue.claim(alice, project=project)
    assert held
    actions.pause_member(project.memberships.get(user=alice), by=alice)
    browser = browser_of(alice)
    judged = browser.post(f"/assignments/{held.pk}/judge/", {"choice": "0", "submission_key": str(uuid.uuid4())})
    for answer in (judged, browser.get(f"/projects/{project.slug}/annotate/")):
        assert answer.status_code == 403
        assert "You are paused in Support replies" in answer.content.decode()
    assert not Judgment.objects.exists()
    assert browser_of(charlie).get(f"/projects/{project.slug}/annotate/").status_code == 404
