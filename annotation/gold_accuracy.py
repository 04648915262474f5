"""How often single votes and each consensus are right on gold tasks: what stands beside every consensus.

Comparisons with a known answer are looked at: the side counts, not the degree. The reliability behind the weighted
consensus is estimated from what people said of questions and of gold tasks, without looking at any right answer.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection

from annotation.agreement import Share, share
from annotation.consensus import Reliability, Vote, majority_side, reliability
from annotation.models import Judgment, Project, Task
from annotation.votes import Which, pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
    id: int
    accuracy: float | None
    """As the weighted consensus takes it; None: nobody else judged what they judged."""
    gold: Share
    """Of their own votes on gold tasks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GoldAccuracy:
    """Shares of gold tasks (of votes, for single votes). Where a consensus names no side, half is counted as right."""

    votes: Share
    majority: Share
    weighted: Share | None
    why_not: str
    """Why there is no weighted consensus, in a sentence."""
    people: list[Person]


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A gold comparison: the right side, and what was said."""

    right: int
    said: list[Vote]


def gold_accuracy(project: Project, which: Which) -> GoldAccuracy:
    """Four queries."""
    known: Reliability | None
    try:
        known, why_not = reliability(pairs(project, which, with_gold=True)), ""
    except ValueError as error:
        known, why_not = None, str(error)
    asked = _asked(project, which)
    votes = [(vote.person, _is_right(asked_, vote)) for asked_ in asked for vote in asked_.said]
    return GoldAccuracy(
        votes=_share([float(is_right) for _person, is_right in votes]),
        majority=_share([_score(each, majority_side) for each in asked]),
        weighted=_share([_score(each, known.side) for each in asked]) if known else None,
        why_not=why_not,
        people=_people(known, votes),
    )


def _asked(project: Project, which: Which) -> list[_Asked]:
    rows = (
        which.narrow(Judgment.objects.counted().in_project(project))
        .filter(task__control=Task.Control.GOLD, task__kind=Task.Kind.COMPARISON, task__gold__isnull=False)
        .order_by("task_id", "pk")
        .values_list(
            *("task_id", "annotator_id", "preferred_id", "strength", "task__response_a_id"),
            "task__gold__preferred_id",
        )
    )
    right: dict[int, int] = {}
    said: dict[int, list[Vote]] = defaultdict(list)
    for task, person, preferred, strength, first, gold in rows:
        right[task] = 0 if gold is None else 1 if gold == first else -1
        said[task].append(Vote(strength if preferred == first else -strength, 1.0, person))
    return [_Asked(right[task], votes) for task, votes in said.items()]


def _is_right(asked: _Asked, vote: Vote) -> bool:
    return majority_side([vote]) == asked.right


def _score(asked: _Asked, side_of: Callable[[Collection[Vote]], int | None]) -> float:
    side = side_of(asked.said)
    return 0.5 if side is None else float(side == asked.right)


def _share(scores: list[float]) -> Share:
    return share(sum(scores), len(scores))


def _people(known: Reliability | None, votes: list[tuple[int | None, bool]]) -> list[Person]:
    """Whoever shares pairs with others or answered gold tasks; the most accurate first, the unknown last."""
    accuracy = dict(known.accuracy) if known else {}
    answered: dict[int, list[float]] = defaultdict(list)
    for person, is_right in votes:
        assert person is not None, "these votes are people's own"
        answered[person].append(float(is_right))
    found = [
        Person(id=person, accuracy=accuracy.get(person), gold=_share(answered[person]))
        for person in sorted(accuracy.keys() | answered.keys())
    ]
    return sorted(found, key=lambda person: -1.0 if person.accuracy is None else person.accuracy, reverse=True)
