"""A project's agreement as its page shows it: by kind of task and criterion, and one of these taken apart.

What takes seconds (100,000 judgments) is computed once and kept under a mark that changes with the judgments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

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
from annotation.models import Project, Task
from annotation.votes import Which, comparisons, fingerprint, rankings, ratings

T = TypeVar("T")
KEPT_SECONDS = 24 * 3600
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


def overall(project: Project, which: Which) -> list[Line]:
    """A line a subject. Comparisons of texts cost one query, rankings one, all criteria together one."""

    def compute() -> dict[str, Agreement]:
        return {key: agreement(table) for key, table in _tables(project, which).items()}

    figures = _kept(project, which, "overall", compute)
    nothing = agreement(Table.empty())
    return [Line(subject, figures.get(subject.key, nothing)) for subject in subjects(project)]


def detail(project: Project, which: Which, subject: str) -> Detail:
    def compute() -> Detail:
        table = _tables(project, which, only=subject).get(subject, Table.empty())
        busiest = table.shared().busiest(MOST_PEOPLE)
        return Detail(
            pairs=by_pair(busiest),
            num_left_out=table.shared().num_people - busiest.num_people,
            periods=by_period(table),
            severity=severity(table) if subject.startswith("criterion-") else None,
        )

    return _kept(project, which, f"detail-{subject}", compute)


def _tables(project: Project, which: Which, *, only: str = "") -> dict[str, Table]:
    """By the key of their subject."""
    found = {}
    if only in {"", Task.Kind.COMPARISON.value}:
        found[Task.Kind.COMPARISON.value] = comparisons(project, which)
    if only in {"", Task.Kind.RANKING.value}:
        found[Task.Kind.RANKING.value] = rankings(project, which)
    if not only or only.startswith("criterion-"):
        found |= {f"criterion-{pk}": table for pk, table in ratings(project, which).items()}
    return found


def _kept(project: Project, which: Which, what: str, compute: Callable[[], T]) -> T:
    parts = [project.pk, what, which.by, which.since, *fingerprint(project, which)]
    return cast(T, cache.get_or_set("-".join(["agreement", *map(str, parts)]), compute, KEPT_SECONDS))
