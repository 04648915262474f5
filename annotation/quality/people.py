"""Everybody's work in a project, in a handful of queries however many people there are."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import TruncWeek

from annotation.agreement.drawing import Estimate
from annotation.agreement.shares import Share
from annotation.models import Assignment, Judgment, Project, User
from annotation.progress import NOBODY, Telling
from annotation.quality import events
from annotation.quality.events import Figure
from annotation.quality.pace import paces_of
from annotation.quality.shares import Sums, clustered

LOOKING, COUNTING = 80, 20
"""About how the time is spent, in hundredths: the trials, and the rest."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
    """What one person did in a project, as far as it counts."""

    num_labels: int = 0
    num_voided: int = 0
    num_skips: int = 0
    num_flagged: int = 0
    """Judgments with a flag."""
    active_seconds: float | None = None
    """Over the labels whose time is known; None where none is."""
    pace: Estimate
    """Labels an hour of active time; its value is None where no time is known."""
    last_label: datetime.datetime | None = None
    shares: dict[Figure, Share]
    """Every figure; its value is None where it is not defined."""


@dataclasses.dataclass(frozen=True)
class Week:
    monday: datetime.date
    num_labels: int
    shares: dict[Figure, Share]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Closely:
    """One person's work, and how it went."""

    work: Person
    weeks: list[Week]
    """From the first week with a label to the last, weeks without one included."""
    everybody: dict[Figure, Share]
    """The figures of everybody of their kind together: people, or simulated annotators."""


def people_of(project: Project, told: Telling = NOBODY) -> dict[int, Person]:
    """By user id: everybody who has judged or skipped something here. Five queries, and one more for every 10,000
    prompts.
    """
    told.expect(LOOKING + COUNTING)
    return _people(project, events.of_people(project, _within(told)).people)


def _people(project: Project, sums: dict[int, dict[Figure, Sums]]) -> dict[int, Person]:
    skips = dict(
        Assignment.objects.in_project(project)
        .filter(status=Assignment.Status.SKIPPED)
        .values_list("annotator")
        .annotate(num=Count("pk"))
        .order_by()
    )
    work = {row.pop("annotator"): row for row in _work(project)}
    paces = paces_of(project)
    return {
        annotator: Person(
            num_skips=skips.get(annotator, 0),
            pace=paces.get(annotator, Estimate(None)),
            shares=_shares(sums.get(annotator, {})),
            **work.get(annotator, {}),
        )
        for annotator in {*work, *skips}
    }


def _within(told: Telling) -> events.Passing:
    return lambda stretches: told.within(LOOKING, stretches)


def nobody() -> Person:
    """Who has done nothing yet."""
    return Person(pace=Estimate(None), shares=_shares({}))


def whole_of(project: Project, told: Telling = NOBODY) -> dict[bool, dict[Figure, Share]]:
    """The figures of all people together, and (under True) of all simulated annotators. It takes LOOKING steps."""
    return _together(events.of_all(project, _within(told)))


def _together(trials: events.Trials) -> dict[bool, dict[Figure, Share]]:
    return {is_simulated: _shares(found) for is_simulated, found in trials.everybody.items()}


def closely(project: Project, annotator: User, told: Telling = NOBODY) -> Closely:
    """One person's work. Six queries, and one more for every 10,000 prompts."""
    told.expect(LOOKING + COUNTING)
    trials = events.of_person(project, annotator, _within(told))
    return Closely(
        work=_people(project, trials.people).get(annotator.pk) or nobody(),
        weeks=_weeks(project, annotator, trials.weeks),
        everybody=_together(trials)[annotator.is_simulated],
    )


def _weeks(project: Project, annotator: User, sums: dict[datetime.datetime, dict[Figure, Sums]]) -> list[Week]:
    counted = Judgment.objects.counted().of(annotator).in_project(project).order_by()
    nums = dict(
        counted.values_list(TruncWeek("created_at", tzinfo=datetime.UTC)).annotate(num=Count("pk"))
    )  # fmt: skip
    if not nums:
        return []
    first, last = min(nums), max(nums)
    mondays = [first + datetime.timedelta(weeks=week) for week in range((last - first).days // 7 + 1)]
    return [Week(monday.date(), nums.get(monday, 0), _shares(sums.get(monday, {}))) for monday in mondays]


def _work(project: Project) -> list[dict[str, Any]]:
    counted = Q(is_current=True)
    rows: Any = (
        Judgment.objects.in_project(project)
        .order_by()
        .values("annotator")
        .annotate(
            num_labels=Count("pk", filter=counted),
            num_voided=Count("pk", filter=Q(voiding__isnull=False)),
            num_flagged=Count("pk", filter=counted & Q(flags__len__gt=0)),
            active_seconds=Sum("active_seconds", filter=counted),
            last_label=Max("created_at", filter=counted),
        )
    )
    return list(rows)


def _shares(sums: dict[Figure, Sums]) -> dict[Figure, Share]:
    return {figure: clustered(sums.get(figure, Sums())) for figure in Figure}
