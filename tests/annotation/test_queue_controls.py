"""Gold tasks, repeats and rankings in the queue: mixed in at random, each once, in a balanced order."""

import uuid
from collections import Counter

import pytest

from annotation import actions, queue
from annotation.models import Assignment, Judgment, Project, Response, Task, User
from annotation.models.work import REPEAT_AFTER
from annotation.waiting import waiting
from tests.annotation.conftest import make_rankings, make_tasks, member


@pytest.fixture
def mixed(project: Project) -> Project:
    """Half of what each person gets are gold tasks and repeats, while there are any."""
    project.control_share = 0.5
    project.save()
    return project


def make_gold(tasks: list[Task]) -> list[Task]:
    for task in tasks:
        task.control, task.overlap = Task.Control.GOLD, Task.EVERYBODY
        task.save()
    return tasks


def repeat(task: Task, user: User) -> Task:
    return Task.objects.create(
        project=task.project, prompt=task.prompt, kind=task.kind, response_a=task.response_a,
        response_b=task.response_b, candidate_ids=task.candidate_ids,
        control="repeat", repeat_of=task, reserved_for=user,
    )  # fmt: skip


def work_through(user: User, project: Project, most: int = 1000) -> list[Assignment]:
    """Everything the queue gives this person, judged, in the order it came."""
    done: list[Assignment] = []
    while len(done) < most and (held := queue.claim(user, project=project)):
        said = {"strength": 0} if held.task.kind == "comparison" else {"ranks": dict.fromkeys(held.order, 1)}
        actions.judge(held, by=user, submission_key=uuid.uuid4(), **said)
        done.append(held)
    return done


def test_everybody_gets_each_gold_task_once_among_the_questions(mixed: Project, alice: User, bob: User) -> None:
    tasks = make_tasks(mixed, 80, overlap=2)
    gold = set(make_gold(tasks[:8]))
    for person in (alice, bob):
        given = [held.task for held in work_through(person, mixed)]
        assert set(given) == set(tasks) and len(given) == len(tasks)
        places = [place for place, task in enumerate(given) if task in gold]
        assert places != list(range(8))
    assert {task.num_judged for task in Task.objects.filter(control="gold")} == {2}


def num_waiting(user: User) -> int:
    return sum(found.num for found in waiting(user, Project.objects.all()).values())


def test_no_gold_task_comes_where_no_question_is_left(mixed: Project, alice: User) -> None:
    make_gold(make_tasks(mixed, 5))
    assert [queue.claim(alice, project=mixed) for _ in range(20)] == [None] * 20
    assert num_waiting(alice) == 0


def test_a_gold_task_does_not_show_itself_in_the_number_that_waits(mixed: Project, alice: User) -> None:
    """Whatever is lent, it stays as it is; whatever is judged, it falls by one, until no question is left to judge."""
    tasks = make_tasks(mixed, 60)
    make_gold(tasks[:20])
    seen, left = [], 60
    assert num_waiting(alice) == left
    while held := queue.claim(alice, project=mixed):
        if mixed.tasks.questions().open().exists():
            assert num_waiting(alice) == left
        seen.append(held.task.control)
        actions.judge(held, by=alice, submission_key=uuid.uuid4(), strength=0)
        left -= 1
    assert set(seen) == {"", "gold"} and num_waiting(alice) == 0


def test_a_repeat_counts_as_waiting_while_it_is_held_as_before(mixed: Project, alice: User) -> None:
    tasks = make_tasks(mixed, REPEAT_AFTER + 1)
    work_through(alice, mixed)
    repeat(tasks[0], alice)
    numbers = [num_waiting(alice)]
    queue.claim(alice, project=mixed)
    assert [*numbers, num_waiting(alice)] == [1, 1]


def test_the_share_is_the_projects(mixed: Project, alice: User) -> None:
    tasks = make_tasks(mixed, 200)
    make_gold(tasks[:100])
    mixed.control_share = 0.0
    mixed.save()
    assert not [held for held in work_through(alice, mixed, most=40) if held.task.control]


def test_gold_tasks_do_not_move_the_place_in_the_queue(mixed: Project, alice: User) -> None:
    """The newest tasks have the highest ids: were they remembered, the person would look on behind them."""
    tasks = make_tasks(mixed, 60)
    make_gold(tasks[40:])
    asked = [held.task.pk for held in work_through(alice, mixed) if not held.task.control]
    assert asked == sorted(asked)


def test_a_withdrawn_gold_task_is_given_to_nobody(mixed: Project, alice: User) -> None:
    tasks = make_tasks(mixed, 60)
    make_gold(tasks[30:])
    Task.objects.filter(control="gold").update(is_withdrawn=True)
    assert len(work_through(alice, mixed)) == 30


def test_the_sides_of_gold_tasks_are_balanced_as_any(mixed: Project, alice: User) -> None:
    tasks = make_tasks(mixed, 400)
    make_gold(tasks[:200])
    swapped = Counter(held.is_swapped for held in work_through(alice, mixed) if held.task.control)
    assert min(swapped[True], swapped[False]) > 50


def test_a_repeat_waits_for_ten_other_judgments_and_comes_with_its_sides_swapped(project: Project, alice: User) -> None:
    first = make_tasks(project, 1)[0]
    (before,) = work_through(alice, project)
    repeat(first, alice)
    project.control_share = 0.0  # what is left comes at the end
    project.save()
    assert queue.claim(alice, project=project) is None
    assert num_waiting(alice) == 0
    make_more(project, REPEAT_AFTER)
    assert len(work_through(alice, project, most=REPEAT_AFTER - 1)) == REPEAT_AFTER - 1
    assert [held.task.control for held in work_through(alice, project)] == ["", "repeat"]
    again = Assignment.objects.get(task__control="repeat")
    assert again.is_swapped is not before.is_swapped


def make_more(project: Project, num: int) -> list[Task]:
    """More comparisons, of prompts of their own."""
    tasks = []
    for number in range(num):
        prompt = project.prompts.create(messages=[{"role": "user", "content": "?"}], content_hash=f"more {number}")
        a, b = (Response.objects.create(prompt=prompt, text=side, source=side, content_hash=side) for side in "ab")
        tasks.append(Task.objects.create(project=project, prompt=prompt, kind="comparison", response_a=a, response_b=b))
    return tasks


def test_a_due_repeat_waits_and_is_for_that_person_alone(mixed: Project, alice: User, bob: User) -> None:
    tasks = make_tasks(mixed, REPEAT_AFTER + 1, overlap=2)
    work_through(alice, mixed)
    again = repeat(tasks[0], alice)
    assert num_waiting(alice) == 1
    assert again not in [held.task for held in work_through(bob, mixed)]
    assert [held.task for held in work_through(alice, mixed)] == [again]
    assert num_waiting(alice) == 0


def test_a_repeat_of_an_undone_judgment_does_not_come(mixed: Project, alice: User) -> None:
    tasks = make_tasks(mixed, REPEAT_AFTER + 1)
    work_through(alice, mixed)
    repeat(tasks[0], alice)
    Judgment.objects.filter(task=tasks[0]).update(is_current=False)
    assert queue.claim(alice, project=mixed) is None


def test_rankings_are_shown_in_orders_that_balance(project: Project) -> None:
    rankings = make_rankings(project, 30, num=4, overlap=2)
    first, second = (work_through(member(project, name), project) for name in ("ann", "ben"))
    assert len({tuple(held.order.index(pk) for pk in sorted(held.order)) for held in first}) > 5
    orders = {held.task_id: held.order for held in second}
    for held in first:
        assert orders[held.task_id] == held.order[::-1]
        assert [response.pk for response in held.shown] == held.order
    assert {held.task for held in first} == set(rankings)


def test_a_ranking_held_again_keeps_its_order_and_a_repeat_reverses_it(project: Project, alice: User) -> None:
    (ranking,) = make_rankings(project, 1, num=5)
    held = queue.claim(alice, project=project)
    queue.release(held)
    assert queue.claim(alice, project=project).order == held.order
    work_through(alice, project)
    make_tasks(project, REPEAT_AFTER)
    work_through(alice, project)
    again = repeat(ranking, alice)
    again.candidates.bulk_create(again.candidates.model(task=again, response_id=pk) for pk in held.order)
    assert [lent.order for lent in work_through(alice, project)] == [held.order[::-1]]
