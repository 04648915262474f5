"""actions.judge on rankings: every answer gets a place, ties are allowed, anything else gets a sentence."""

import uuid
from typing import Any

import pytest

from annotation import actions, queue
from annotation.models import Assignment, Project, User
from tests.annotation.conftest import make_rankings, make_tasks


@pytest.fixture
def held(project: Project, alice: User) -> Assignment:
    make_rankings(project, 1, num=4)
    assignment = queue.claim(alice, project=project)
    assert assignment
    return assignment


def judge(held: Assignment, **said: Any) -> actions.Judged:
    return actions.judge(held, by=held.annotator, submission_key=uuid.uuid4(), **said)


def ranks(held: Assignment, *places: int) -> dict[int, int]:
    return dict(zip(held.order, places, strict=False))


@pytest.mark.parametrize(
    ("places", "kept"),
    [((1, 2, 3, 4), (1, 2, 3, 4)), ((4, 1, 1, 3), (3, 1, 1, 2)), ((2, 2, 2, 2), (1, 1, 1, 1))],
)
def test_every_answer_gets_its_place_and_ties_leave_no_gap(
    held: Assignment, places: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    judgment = judge(held, ranks=ranks(held, *places)).judgment
    assert {row.response_id: row.rank for row in judgment.ranks.all()} == ranks(held, *kept)
    assert (judgment.preferred, judgment.strength) == (None, None)
    held.task.refresh_from_db()
    assert (held.task.num_judged, held.task.num_leased) == (1, 0)


@pytest.mark.parametrize(
    ("places", "also", "sentence"),
    [
        ((1, 2, 3), {}, "1 answer has no place yet"),
        ((), {}, "4 answers have no place yet"),
        ((1, 2, 3, 5), {}, "go from 1 (best) to 4"),
        ((0, 1, 2, 3), {}, "go from 1 (best) to 4"),
        ((1, 2, 3, 4), {"strength": 0}, "takes places, and no preference"),
        ((1, 2, 3, 4), {"both_bad": True}, "takes places, and no preference"),
    ],
)
def test_what_will_not_do_gets_a_sentence(
    held: Assignment, places: tuple[int, ...], also: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError) as refused:
        judge(held, ranks=ranks(held, *places), **also)
    assert sentence in str(refused.value)
    assert not held.judgments.exists()


def test_a_foreign_answer_is_refused(held: Assignment, project: Project) -> None:
    (other,) = make_tasks(project, 1)
    with pytest.raises(ValueError, match="does not belong to this task"):
        judge(held, ranks=ranks(held, 1, 2, 3, 4) | {other.response_a_id: 1})


def test_a_comparison_takes_no_places(project: Project, alice: User) -> None:
    make_tasks(project, 1)
    held = queue.claim(alice, project=project)
    assert held
    with pytest.raises(ValueError, match="Only a ranking"):
        judge(held, strength=0, ranks={held.task.response_a_id: 1})


def test_any_ranked_answer_may_be_corrected(held: Assignment) -> None:
    last = held.shown[-1]
    judgment = judge(held, ranks=ranks(held, 1, 2, 3, 4), corrections={last.pk: "Better."}).judgment
    correction = judgment.corrections.get()
    assert (correction.parent, correction.text) == (last, "Better.")


def test_undo_reopens_it_with_the_order_it_had(held: Assignment, project: Project, alice: User) -> None:
    judge(held, ranks=ranks(held, 2, 1, 3, 4))
    undone = actions.undo(alice, project=project)
    assert undone and undone.assignment.order == held.order
    assert queue.claim(alice, project=project) == held
