"""queue.claim and what keeps it fair: own lease first, priority, age, expiry, skips, overlap, a balanced order."""

import uuid
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import actions, queue
from annotation.models import Assignment, Membership, Project, Task, User
from tests.annotation.conftest import make_tasks, member


def judge_next(user: User, project: Project) -> Task:
    held = queue.claim(user, project=project)
    assert held is not None
    actions.judge(held, by=user, submission_key=uuid.uuid4(), strength=0)
    return held.task


def run_out(*assignments: Assignment) -> None:
    ids = [assignment.pk for assignment in assignments]
    Assignment.objects.filter(pk__in=ids).update(expires_at=timezone.now() - timedelta(seconds=1))


def counters(task: Task) -> tuple[int, int]:
    task.refresh_from_db()
    return task.num_judged, task.num_leased


def test_it_works(project: Project, alice: User) -> None:
    (task,) = make_tasks(project, 1)
    before = timezone.now()
    assignment = queue.claim(alice, project=project)
    assert (assignment.task, assignment.annotator, assignment.status) == (task, alice, "leased")
    assert before <= assignment.leased_at <= timezone.now()
    assert assignment.expires_at - assignment.leased_at == timedelta(seconds=project.lease_seconds)
    assert counters(task) == (0, 1)


def test_nothing_to_do_is_none(project: Project, alice: User) -> None:
    assert queue.claim(alice, project=project) is None


def test_the_claim_is_one_statement_and_the_content_comes_with_it(project: Project, alice: User) -> None:
    """Whatever the number of tasks: the person's lock, then all the rest at once."""
    make_tasks(project, 300)
    queue.claim(alice, project=project)
    Assignment.objects.all().delete()
    Task.objects.update(num_leased=0)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assignment = queue.claim(alice, project=project)
        assert assignment.left.text and assignment.right.text and assignment.task.prompt.messages
        assert assignment.task.project == project
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    lock, claim = statements
    assert "annotation_membership" in lock and "FOR NO KEY UPDATE" in lock
    assert "FOR NO KEY UPDATE SKIP LOCKED" in claim and "INSERT INTO annotation_assignment" in claim
    assert "num_leased = num_leased + 1" in claim


def test_own_live_lease_comes_first(project: Project, alice: User) -> None:
    make_tasks(project, 2)
    first = queue.claim(alice, project=project)
    Task.objects.exclude(pk=first.task_id).update(priority=9)
    again = queue.claim(alice, project=project)
    assert again == first
    assert again.is_swapped == first.is_swapped
    assert counters(first.task) == (0, 1)


def test_highest_priority_first_then_the_oldest(project: Project, alice: User) -> None:
    tasks = make_tasks(project, 4)
    for index, priority in ((2, 5), (3, 5), (1, -1)):
        Task.objects.filter(pk=tasks[index].pk).update(priority=priority)
    assert [judge_next(alice, project) for _ in tasks] == [tasks[2], tasks[3], tasks[0], tasks[1]]


def test_a_task_goes_to_as_many_people_as_its_overlap(project: Project, alice: User, bob: User) -> None:
    (task,) = make_tasks(project, 1, overlap=2)
    dora = member(project, "dora")
    judge_next(alice, project)
    assert queue.claim(alice, project=project) is None, "one person judges a task once"
    assert queue.claim(bob, project=project).task == task
    assert queue.claim(dora, project=project) is None, "one judged, one lent: no place left"
    assert counters(task) == (1, 1)


def test_a_withdrawn_task_and_another_projects_task_are_not_lent(project: Project, alice: User) -> None:
    elsewhere = actions.create_project("Elsewhere", by=None)
    make_tasks(elsewhere, 1)
    make_tasks(project, 1, is_withdrawn=True)
    assert queue.claim(alice, project=project) is None


class TestBeside:
    """A page holds the task in front of the person and fetches the next one ahead."""

    def test_a_page_gets_another_one_than_it_holds(self, project: Project, alice: User) -> None:
        tasks = make_tasks(project, 3)
        first = queue.claim(alice, project=project)
        second = queue.claim(alice, project=project, beside=[first.pk])
        assert [first.task, second.task] == tasks[:2]
        assert queue.claim(alice, project=project, beside=[first.pk]) == second, "asked twice, lent once"
        assert queue.claim(alice, project=project) == first, "a page that holds nothing starts with the oldest"
        assert [counters(task) for task in tasks] == [(0, 1), (0, 1), (0, 0)]

    def test_what_was_undone_comes_before_what_was_fetched_ahead(self, project: Project, alice: User) -> None:
        make_tasks(project, 4)
        judged = [judge_next(alice, project) for _number in range(2)]
        waiting = queue.claim(alice, project=project)
        undone = [actions.undo(alice, project=project).assignment for _number in range(2)]
        assert [each.task for each in undone] == judged[::-1]
        assert queue.claim(alice, project=project) == undone[1], "the last undone"
        assert queue.claim(alice, project=project, beside=[undone[1].pk]) == undone[0]
        assert queue.claim(alice, project=project, beside=[each.pk for each in undone]) == waiting

    def test_nobody_hoards_the_queue(self, project: Project, alice: User) -> None:
        make_tasks(project, queue.MOST_HELD + 2)
        held: list[int] = []
        while more := queue.claim(alice, project=project, beside=held):
            held.append(more.pk)
        assert len(held) == queue.MOST_HELD

    def test_another_persons_lease_is_not_given_whatever_is_named(
        self, project: Project, alice: User, bob: User
    ) -> None:
        make_tasks(project, 1)
        queue.claim(bob, project=project)
        assert queue.claim(alice, project=project, beside=[999_999]) is None


class TestExpiry:
    def test_the_place_goes_to_the_next_who_asks(self, project: Project, alice: User, bob: User) -> None:
        (task,) = make_tasks(project, 1)
        lost = queue.claim(alice, project=project)
        assert queue.claim(bob, project=project) is None
        run_out(lost)
        assert queue.claim(bob, project=project).task == task
        lost.refresh_from_db()
        assert lost.status == Assignment.Status.EXPIRED
        assert counters(task) == (0, 1)

    def test_the_same_person_gets_it_again_in_the_same_order(self, project: Project, alice: User) -> None:
        make_tasks(project, 1)
        for is_swapped in (False, True):
            lost = queue.claim(alice, project=project)
            Assignment.objects.filter(pk=lost.pk).update(is_swapped=is_swapped)
            run_out(lost)
            again = queue.claim(alice, project=project)
            assert (again.pk, again.is_swapped, again.status) == (lost.pk, is_swapped, "leased")
            assert counters(again.task) == (0, 1)

    def test_it_counts_the_tasks_and_leaves_the_living(self, project: Project, alice: User, bob: User) -> None:
        (task,) = make_tasks(project, 1, overlap=3)
        lost = [queue.claim(user, project=project) for user in (alice, bob)]
        queue.claim(member(project, "dora"), project=project)
        run_out(*lost)
        assert queue.expire_overdue(project) == 1
        assert queue.expire_overdue(project) == 0
        assert counters(task) == (0, 1)

    def test_it_stays_within_the_project(self, project: Project, alice: User) -> None:
        make_tasks(project, 1)
        run_out(queue.claim(alice, project=project))
        assert queue.expire_overdue(actions.create_project("Elsewhere", by=None)) == 0

    def test_a_judged_task_does_not_expire(self, project: Project, alice: User) -> None:
        task = make_tasks(project, 1)[0]
        judge_next(alice, project)
        Assignment.objects.update(expires_at=timezone.now() - timedelta(days=1))
        assert queue.expire_overdue(project) == 0
        assert counters(task) == (1, 0)


class TestRelease:
    def test_release(self, project: Project, alice: User, bob: User) -> None:
        (task,) = make_tasks(project, 1)
        assignment = queue.claim(alice, project=project)
        assert queue.release(assignment)
        assert not queue.release(assignment)
        assert counters(task) == (0, 0)
        assert queue.claim(bob, project=project).task == task


class TestFarAhead:
    """One who has had the whole head of the queue is served from behind their last task, and misses nothing."""

    NUM = 130
    """Many more than the first look goes through."""

    @pytest.fixture
    def tasks(self, project: Project, alice: User) -> list[Task]:
        tasks = make_tasks(project, self.NUM, overlap=2)
        for task in tasks[:120]:
            Assignment.objects.create(
                task=task, annotator=alice, status="judged", is_swapped=False, expires_at=timezone.now()
            )
        Task.objects.filter(pk__lte=tasks[119].pk).update(num_judged=1)
        Membership.objects.filter(user=alice).update(last_task=tasks[119])
        return tasks

    def test_it_works(self, project: Project, alice: User, tasks: list[Task]) -> None:
        assert [judge_next(alice, project) for _ in range(10)] == tasks[120:]
        assert queue.claim(alice, project=project) is None

    def test_a_new_urgent_task_comes_first(self, project: Project, alice: User, tasks: list[Task]) -> None:
        Task.objects.filter(pk=tasks[125].pk).update(priority=1)
        assert judge_next(alice, project) == tasks[125]
        assert judge_next(alice, project) == tasks[120], "one look behind the urgent one, then anywhere"

    def test_a_place_freed_far_behind_is_found_in_the_end(
        self, project: Project, alice: User, tasks: list[Task]
    ) -> None:
        Assignment.objects.filter(task=tasks[110]).update(status="expired")
        Task.objects.filter(pk=tasks[110].pk).update(num_judged=0)
        assert [judge_next(alice, project) for _ in range(11)] == [*tasks[120:], tasks[110]]

    def test_the_last_task_may_be_gone(self, project: Project, alice: User, tasks: list[Task]) -> None:
        Membership.objects.filter(user=alice).update(last_task=None)
        assert judge_next(alice, project) == tasks[120]


class TestOrderShown:
    def test_one_persons_pairs_are_balanced(self, project: Project, alice: User) -> None:
        """A fair coin would be 12 or more off in 200 throws four times in ten; leaning against the lead it is not."""
        make_tasks(project, 200)
        for _ in range(200):
            judge_next(alice, project)
        num_swapped = Assignment.objects.filter(is_swapped=True).count()
        assert abs(200 - 2 * num_swapped) <= 12
        assert Membership.objects.get(user=alice).swap_lead == 2 * num_swapped - 200

    def test_it_is_not_the_same_for_everybody(self, project: Project, alice: User) -> None:
        make_tasks(project, 40)
        orders = set()
        for _ in range(40):
            judge_next(alice, project)
        orders = set(Assignment.objects.values_list("is_swapped", flat=True))
        assert orders == {True, False}

    def test_a_tasks_two_annotators_see_it_in_both_orders(self, project: Project, alice: User, bob: User) -> None:
        tasks = make_tasks(project, 20, overlap=2)
        for _ in tasks:
            judge_next(alice, project)
            judge_next(bob, project)
        for task in tasks:
            assert set(task.assignments.values_list("is_swapped", flat=True)) == {True, False}

    def test_a_rating_has_no_order(self, project: Project, alice: User) -> None:
        actions.add_criterion(project, key="helpful", name="Helpful")
        make_tasks(project, 5, kind="rating")
        for _ in range(5):
            held = queue.claim(alice, project=project)
            assert (held.is_swapped, held.left, held.right) == (False, held.task.response_a, None)
            actions.skip(held, by=alice, reason="other")
        assert Membership.objects.get(user=alice).swap_lead == 0


@pytest.mark.parametrize("is_paused", [True, None])
def test_who_is_not_at_work_here_is_refused(project: Project, charlie: User, is_paused: bool | None) -> None:
    make_tasks(project, 1)
    if is_paused is not None:
        actions.add_member(project, user=charlie)
        Membership.objects.update(is_paused=is_paused)
    with pytest.raises(PermissionDenied):
        queue.claim(charlie, project=project)
    assert not Assignment.objects.exists()
