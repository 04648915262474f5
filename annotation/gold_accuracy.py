"""How often single votes and each consensus are right on gold tasks: what stands beside every consensus.

Of a comparison the side counts, not the degree. A ranking is right when its best answer stands before each other one:
a consensus is asked about these pairs, as exports ask it. A rating is right when every value lies in its range; its
consensus is the median of the values. The reliability behind the weighted consensus is estimated from what people said
of questions and of gold tasks, without looking at any right answer; it speaks of sides, so ratings have none.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from django.utils.functional import Promise

from annotation.agreement import Share, share
from annotation.awaited import Awaited
from annotation.consensus import Reliability, Vote, majority_side, reliability
from annotation.controls import is_right
from annotation.models import Gold, Judgment, Project, Rank, Rating, Task
from annotation.models.work import JudgmentQuerySet
from annotation.progress import NOBODY, Telling
from annotation.votes import Which, fingerprint, pairs

READING, RELIABILITY, SCORES = 35, 60, 5
"""About how the time is spent, in hundredths."""
SideOf = Callable[[Collection[Vote]], int | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
    id: int
    accuracy: float | None
    """As the weighted consensus takes it; None: nobody else judged what they judged."""
    gold: Share
    """Of their own votes on gold tasks of all kinds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfKind:
    """Shares of gold tasks of one kind (of votes, for single votes). What a consensus leaves open counts half."""

    kind: Task.Kind
    votes: Share
    together: Share
    """By majority; of ratings, by their median."""
    weighted: Share | None
    """None: of ratings, and where nobody's reliability can be told."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GoldAccuracy:
    kinds: list[OfKind]
    """Those with a vote."""
    why_not: str | Promise
    """Why there is no weighted consensus, in a sentence."""
    people: list[Person]


@dataclasses.dataclass
class _Pairs:
    """What was said of a gold task's pairs of answers: of a comparison one, of a ranking its best and each other."""

    right: list[int] = dataclasses.field(default_factory=list)
    """The right side of each pair."""
    said: list[list[Vote]] = dataclasses.field(default_factory=list)

    def score(self, side_of: SideOf) -> float:
        """1 where all pairs are right, 0 where one is wrong, else half."""
        found = [(side_of(votes), right) for votes, right in zip(self.said, self.right, strict=True)]
        if any(side not in (None, right) for side, right in found):
            return 0.0
        return 1.0 if all(side == right for side, right in found) else 0.5

    def by_person(self) -> Iterator[tuple[int, bool]]:
        for votes in zip(*self.said, strict=True):
            sides = [majority_side([vote]) for vote in votes]
            assert votes[0].person is not None, "these votes are people's own"
            yield votes[0].person, sides == self.right


def awaited(project: Project, which: Which) -> Awaited[GoldAccuracy]:
    mark = fingerprint(project, which)
    return Awaited(
        part="consensus",
        key=(project.pk, which.by, which.since, *mark),
        count=lambda told: gold_accuracy(project, which, told),
        num=mark[0],
    )


def gold_accuracy(project: Project, which: Which, told: Telling = NOBODY) -> GoldAccuracy:
    """Seven queries, however many tasks."""
    told.expect(READING + RELIABILITY + SCORES)
    said = pairs(project, which, with_gold=True, told=told, steps=READING)
    known: Reliability | None
    try:
        known, why_not = reliability(said, told=told, steps=RELIABILITY), ""
    except ValueError as error:
        known, why_not = None, error.args[0]
    judgments = which.narrow(Judgment.objects.counted().in_project(project)).filter(
        task__control=Task.Control.GOLD, task__gold__isnull=False
    )
    votes: list[tuple[int, bool]] = []
    kinds = []
    for kind, asked in ((Task.Kind.COMPARISON, _compared(judgments)), (Task.Kind.RANKING, _ranked(judgments))):
        own = [vote for each in asked for vote in each.by_person()]
        if own:
            kinds.append(_of_pairs(kind, asked, own, known))
        votes += own
    rated, medians = _rated(judgments)
    if rated:
        kinds.append(OfKind(kind=Task.Kind.RATING, votes=_share_of(rated), together=_share(medians), weighted=None))
    return GoldAccuracy(kinds=kinds, why_not=why_not, people=_people(known, votes + rated))


def _of_pairs(kind: Task.Kind, asked: list[_Pairs], own: list[tuple[int, bool]], known: Reliability | None) -> OfKind:
    weighted = _share([each.score(known.side) for each in asked]) if known else None
    together = _share([each.score(majority_side) for each in asked])
    return OfKind(kind=kind, votes=_share_of(own), together=together, weighted=weighted)


def _compared(judgments: JudgmentQuerySet) -> list[_Pairs]:
    rows = judgments.filter(task__kind=Task.Kind.COMPARISON).order_by("task_id", "pk")
    found: dict[int, _Pairs] = {}
    for task, person, preferred, strength, first, gold in rows.values_list(
        *("task_id", "annotator_id", "preferred_id", "strength", "task__response_a_id", "task__gold__preferred_id")
    ):
        right = 0 if gold is None else 1 if gold == first else -1
        each = found.setdefault(task, _Pairs([right], [[]]))
        each.said[0].append(Vote(strength if preferred == first else -strength, 1.0, person))
    return list(found.values())


def _ranked(judgments: JudgmentQuerySet) -> list[_Pairs]:
    rows = (
        Rank.objects.filter(judgment__in=judgments.filter(task__kind=Task.Kind.RANKING))
        .order_by("judgment__task_id", "judgment_id", "response_id")
        .values_list(
            *("judgment_id", "judgment__task_id", "judgment__annotator_id", "judgment__task__gold__preferred_id"),
            *("response_id", "rank"),
        )
    )
    found: dict[int, _Pairs] = {}
    for (_judgment, task, person, best), ranked in itertools.groupby(rows, key=lambda row: row[:4]):
        places = {response: place for *_same, response, place in ranked}
        others = sorted(places.keys() - {best})
        each = found.setdefault(task, _Pairs([1] * len(others), [[] for _other in others]))
        for votes, other in zip(each.said, others, strict=True):
            votes.append(Vote(places[other] - places[best], 1.0, person))
    return list(found.values())


def _rated(judgments: JudgmentQuerySet) -> tuple[list[tuple[int, bool]], list[float]]:
    """Who was right, vote by vote; and how right the medians of each task are."""
    rows = (
        Rating.objects.filter(judgment__in=judgments.filter(task__kind=Task.Kind.RATING))
        .order_by("judgment__task_id", "judgment_id")
        .values_list(
            *("judgment__task_id", "judgment_id", "judgment__annotator_id", "judgment__task__gold__ratings"),
            *("criterion__key", "value"),
        )
    )
    own, medians = [], []
    for (_task, ranges), of_task in itertools.groupby(rows, key=lambda row: (row[0], row[3])):
        together: dict[str, list[int]] = defaultdict(list)
        for (_judgment, person), of_person in itertools.groupby(of_task, key=lambda row: row[1:3]):
            values = {key: value for *_same, key, value in of_person}
            for key, value in values.items():
                together[key].append(value)
            own.append((person, _is_within(ranges, values)))
        medians.append(float(_is_within(ranges, {key: statistics.median(all_) for key, all_ in together.items()})))
    return own, medians


def _is_within(ranges: dict[str, Any], values: Mapping[str, float]) -> bool:
    return is_right(Gold(ratings=ranges), preferred=None, ratings=values, best=())


def _share_of(votes: list[tuple[int, bool]]) -> Share:
    return _share([float(was_right) for _person, was_right in votes])


def _share(scores: list[float]) -> Share:
    return share(sum(scores), len(scores))


def _people(known: Reliability | None, votes: list[tuple[int, bool]]) -> list[Person]:
    """Whoever shares pairs with others or answered gold tasks; the most accurate first, the unknown last."""
    accuracy = dict(known.accuracy) if known else {}
    answered: dict[int, list[float]] = defaultdict(list)
    for person, was_right in votes:
        answered[person].append(float(was_right))
    found = [
        Person(id=person, accuracy=accuracy.get(person), gold=_share(answered[person]))
        for person in sorted(accuracy.keys() | answered.keys())
    ]
    return sorted(found, key=lambda person: -1.0 if person.accuracy is None else person.accuracy, reverse=True)
