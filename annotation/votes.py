"""What people said of a project's answers, as the tables that agreement and consensus work on: a query a table.

The two responses of a comparison are an unordered pair of texts, so judgments given in either order meet, and so do
those of one pair that came in twice, under two sources. Gold tasks and repeats are left out: they measure people.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from django.db import models
from django.db.models import Count, Max, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotation.agreement import Table, orders, table
from annotation.days import midnight
from annotation.models import Gold, Judgment, Project, Rank, Rating, Task
from annotation.models.work import JudgmentQuerySet, TaskQuerySet
from annotation.progress import NOBODY, Telling


class Voters(models.TextChoices):
    """Whose labels are looked at."""

    PEOPLE = "people", _("people")
    SIMULATED = "simulated", _("simulated annotators")
    ALL = "all", _("both")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Which:
    """Which judgments are looked at."""

    by: str = Voters.ALL
    since: datetime.date | None = None
    """From the beginning of this day on; None: all."""

    def narrow(self, judgments: JudgmentQuerySet) -> JudgmentQuerySet:
        if self.by != Voters.ALL:
            judgments = judgments.filter(annotator__is_simulated=self.by == Voters.SIMULATED)
        if self.since is not None:
            judgments = judgments.since(midnight(self.since))
        return judgments


ALL = Which()


class Row(NamedTuple):
    """One value by one person of one unit: what a Table is made of."""

    unit: tuple[Any, ...]
    person: int
    prompt: int
    value: float
    moment: datetime.datetime


def fingerprint(project: Project, which: Which = ALL) -> tuple[int, ...]:
    """What a cached figure is kept under, the number of judgments first. It changes whenever a judgment comes, goes, or
    counts no more, and with the gold tasks: they are no votes.
    """
    found = which.narrow(Judgment.objects.counted().in_project(project)).aggregate(
        num=Count("pk"), newest=Max("pk"), total=Sum("pk")
    )
    golds = Gold.objects.filter(task__project=project).order_by("pk").values_list("pk", "preferred", "ratings")
    digest = hashlib.sha256(repr(list(golds)).encode()).digest()
    return (*(int(each or 0) for each in found.values()), int.from_bytes(digest[:8]))


def comparisons(
    project: Project, which: Which = ALL, *, with_gold: bool = False, told: Telling = NOBODY, steps: float = 0
) -> Table:
    """Values are signed strengths, classes their signs; “both bad” is a tie. Reading them is so many steps."""
    tasks = project.tasks.filter(kind=Task.Kind.COMPARISON, num_judged__gt=0).exclude(control=Task.Control.REPEAT)
    pairs_of = _pairs_of(tasks if with_gold else tasks.questions())
    judged = which.narrow(Judgment.objects.counted().in_project(project)).filter(task__kind=Task.Kind.COMPARISON)
    told.advance(steps / 3)
    day = TruncDate("created_at")
    rows = list(judged.order_by("pk").values_list("task_id", "annotator_id", day, "preferred_id", "strength"))
    told.advance(steps / 3)
    found = _compared([row for row in rows if row[0] in pairs_of], pairs_of)
    told.advance(steps / 3)
    return found


class _Pair(NamedTuple):
    """An unordered pair of texts: the same for whichever task asks about it, in whichever order."""

    unit: tuple[Any, ...]
    prompt: int
    positive: int
    """The response whose choice counts as positive: the one with the lower hash."""


def _pairs_of(tasks: TaskQuerySet) -> dict[int, _Pair]:
    """By the task's id. Read once a task, not once a judgment."""
    rows = tasks.order_by().values_list(
        *("pk", "prompt_id", "response_a_id", "response_b_id"),
        *("response_a__content_hash", "response_b__content_hash"),
    )
    found = {}
    for pk, prompt, first, second, hash_a, hash_b in rows.iterator(chunk_size=5000):
        low, high = sorted((hash_a, hash_b))
        found[pk] = _Pair((prompt, low, high), prompt, first if hash_a == low else second)
    return found


def _compared(rows: Sequence[tuple[Any, ...]], pairs_of: Mapping[int, _Pair]) -> Table:
    """Of (task, person, day, preferred response, strength), the oldest first: 100,000 at once, not one by one."""
    tasks, people, days, preferred, strengths = zip(*rows, strict=True) if rows else ((),) * 5
    numbers: dict[tuple[Any, ...], int] = {}
    pairs = [pairs_of[task] for task in tasks]
    strength = np.asarray(strengths, dtype=np.float64)
    is_positive = np.fromiter((each == pair.positive for each, pair in zip(preferred, pairs, strict=True)), np.bool_)
    values = np.where(is_positive, strength, -strength)
    return table(
        units=[numbers.setdefault(pair.unit, len(numbers)) for pair in pairs],
        people=people,
        prompts=[pair.prompt for pair in pairs],
        values=values,
        classes=np.sign(values),
        days=np.asarray(days, dtype="datetime64[D]"),
    )


def _pair(person: int, prompt: int, moment: datetime.datetime, value: float, hash_a: str, hash_b: str) -> Row:
    """The value is positive when the text with the lower hash is better: the same for whoever judged the pair."""
    if hash_a > hash_b:
        hash_a, hash_b, value = hash_b, hash_a, -value
    return Row((prompt, hash_a, hash_b), person, prompt, value, moment)


def rankings(project: Project, which: Which = ALL) -> Table:
    """Rankings as their pairs: who stands higher, +1 or -1, or 0 where two share a place."""
    judgments = which.narrow(Judgment.objects.votes().in_project(project)).filter(task__kind=Task.Kind.RANKING)
    rows = (
        Rank.objects.filter(judgment__in=judgments)
        .order_by("judgment_id", "response_id")
        .values_list(
            *("judgment_id", "judgment__annotator_id", "judgment__task__prompt_id", "judgment__created_at"),
            *("rank", "response__content_hash"),
        )
    )
    return tabled(_ranked(rows.iterator(chunk_size=5000)))


def _ranked(rows: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
    for _same, ranked in itertools.groupby(rows, key=lambda row: row[0]):
        for one, other in itertools.combinations(ranked, 2):
            _judgment, person, prompt, moment, first, hash_a = one
            *_rest, second, hash_b = other
            yield _pair(person, prompt, moment, float(np.sign(second - first)), hash_a, hash_b)


def ratings(project: Project, which: Which = ALL) -> dict[int, Table]:
    """Criterion id to what was given on it: a unit is an answer."""
    judgments = which.narrow(Judgment.objects.votes().in_project(project)).filter(task__kind=Task.Kind.RATING)
    rows = (
        Rating.objects.filter(judgment__in=judgments)
        .order_by("pk")
        .values_list(
            *("criterion_id", "judgment__annotator_id", "judgment__task__prompt_id", "judgment__created_at"),
            *("value", "response__content_hash"),
        )
    )
    found: dict[int, list[Row]] = defaultdict(list)
    for criterion, person, prompt, moment, value, text in rows.iterator(chunk_size=5000):
        found[criterion].append(Row((prompt, text), person, prompt, value, moment))
    return {criterion: tabled(given) for criterion, given in found.items()}


def pairs(
    project: Project, which: Which = ALL, *, with_gold: bool = False, told: Telling = NOBODY, steps: float = 0
) -> Table:
    """All that was said about which of two answers is better: comparisons, rankings, and the order of ratings.

    Values are signs. What one person said of a pair in two kinds of task stands as two units.
    with_gold: gold comparisons too, which say something about people.
    """
    tables = [comparisons(project, which, with_gold=with_gold, told=told, steps=steps), rankings(project, which)]
    tables += [orders(rated) for _criterion, rated in sorted(ratings(project, which).items())]
    ends = np.cumsum([0, *(int(each.units.max(initial=-1)) + 1 for each in tables)])
    return table(
        units=np.concatenate([each.units + start for each, start in zip(tables, ends[:-1], strict=True)]),
        people=np.concatenate([each.people for each in tables]),
        prompts=np.concatenate([each.prompts for each in tables]),
        values=np.concatenate([each.classes for each in tables]),
        days=np.concatenate([each.days for each in tables]),
    )


def tabled(rows: Iterable[Row]) -> Table:
    """Oldest first. Units are numbered as they come; days are those of the site's time zone."""
    numbers: dict[tuple[Any, ...], int] = {}
    columns = [
        (numbers.setdefault(row.unit, len(numbers)), row.person, row.prompt, row.value, row.moment) for row in rows
    ]
    units, people, prompts, values, moments = zip(*columns, strict=True) if columns else ((), (), (), (), ())
    zone = timezone.get_current_timezone()
    return table(
        units=units,
        people=people,
        prompts=prompts,
        values=values,
        days=np.asarray([moment.astimezone(zone).date() for moment in moments], dtype="datetime64[D]"),
    )
