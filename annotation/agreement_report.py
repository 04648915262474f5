"""A project's agreement as its page shows it: by kind of task and criterion, and one of these taken apart.

What takes seconds (100,000 judgments) is counted once (annotation/awaited.py), for as long as no judgment is new.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from django.core.cache import cache
from django.utils.translation import gettext as _

from annotation.agreement import (
    Agreement,
    PairOfPeople,
    Period,
    Severity,
    Table,
    agreement,
    by_pair,
    by_period,
    severity,
)
from annotation.awaited import DAY, Awaited
from annotation.models import Project, Task
from annotation.progress import NOBODY, Telling
from annotation.votes import Which, comparisons, fingerprint, rankings, ratings

READING, WHOLE, BY_PAIR, BY_PERIOD, BY_SEVERITY = 50, 10, 20, 10, 10
"""About how the time is spent, in hundredths."""
MOST_PEOPLE = 40
"""Pairs are taken apart among those who share most: 40 people are 780 pairs already."""


class Subject(NamedTuple):
    """What people agree about: which answer is better, the order of several, or one criterion."""

    key: str
    label: str


class Line(NamedTuple):
    subject: Subject
    agreement: Agreement


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detail:
    pairs: list[PairOfPeople]
    num_left_out: int
    """People beyond MOST_PEOPLE, who share least with others."""
    periods: list[Period]
    severity: Severity | None
    """Of ratings alone."""


def subjects(project: Project) -> list[Subject]:
    """Those that the project asks about, comparisons first. Two queries."""
    kinds = set(project.tasks.questions().order_by().values_list("kind", flat=True).distinct())
    found = []
    if Task.Kind.COMPARISON in kinds:
        found.append(Subject(Task.Kind.COMPARISON.value, _("Comparisons")))
    if Task.Kind.RANKING in kinds:
        found.append(Subject(Task.Kind.RANKING.value, _("Rankings, by their pairs")))
    if Task.Kind.RATING in kinds:
        found += [Subject(f"criterion-{criterion.pk}", criterion.name) for criterion in project.criteria.all()]
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    overall: Mapping[str, Agreement]
    """By the key of the subject; without those that nobody has judged."""
    detail: Detail | None
    """Of the one subject that was asked for."""

    def lines(self, about: list[Subject]) -> list[Line]:
        nothing = agreement(Table.empty())
        return [Line(subject, self.overall.get(subject.key, nothing)) for subject in about]


def report(project: Project, which: Which, subject: str) -> Awaited[Report]:
    """Comparisons of texts cost two queries, rankings one, all criteria together one."""
    mark = fingerprint(project, which)
    key = (project.pk, which.by, which.since, *mark)

    def count(told: Telling) -> Report:
        told.expect(READING + WHOLE + BY_PAIR + BY_PERIOD + BY_SEVERITY)
        name = "-".join(map(str, ("agreement-overall", *key)))
        overall = cache.get(name)
        tables = _tables(project, which, only=subject if overall else "", told=told)
        if overall is None:
            overall = {each: agreement(table) for each, table in told.within(WHOLE, list(tables.items()))}
            cache.set(name, overall, DAY)
        found = detail(tables.get(subject, Table.empty()), subject, told) if subject else None
        return Report(overall=overall, detail=found)

    return Awaited(part="agreement", key=(*key, subject), count=count, num=mark[0])


def detail(table: Table, subject: str, told: Telling = NOBODY) -> Detail:
    busiest = table.shared().busiest(MOST_PEOPLE)
    pairs = by_pair(busiest, passing=lambda groups: told.within(BY_PAIR, groups))
    periods = by_period(table, passing=lambda starts: told.within(BY_PERIOD, starts))
    return Detail(
        pairs=pairs,
        num_left_out=table.shared().num_people - busiest.num_people,
        periods=periods,
        severity=severity(table) if subject.startswith("criterion-") else None,
    )


def _tables(project: Project, which: Which, *, only: str, told: Telling) -> dict[str, Table]:
    """By the key of their subject."""
    found = {}
    if only in {"", Task.Kind.COMPARISON.value}:
        found[Task.Kind.COMPARISON.value] = comparisons(project, which, told=told, steps=READING)
    if only in {"", Task.Kind.RANKING.value}:
        found[Task.Kind.RANKING.value] = rankings(project, which)
    if not only or only.startswith("criterion-"):
        found |= {f"criterion-{pk}": table for pk, table in ratings(project, which).items()}
    return found
