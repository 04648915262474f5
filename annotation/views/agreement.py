"""/projects/<slug>/agreement/ : how far people agree, on what, who with whom, and since when. For reviewers."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from annotation.agreement import Agreement, Estimate, PairOfPeople
from annotation.agreement_report import Detail, report, subjects
from annotation.gold_accuracy import awaited
from annotation.models import Judgment, Project, Role, User
from annotation.spreadsheets import csv_file
from annotation.views.access import PersonRequest, person_required, project_for
from annotation.votes import Voters, Which

PERIODS = {"": _("all time"), "7": _("7 days"), "30": _("30 days"), "90": _("90 days")}
MATRIX = 12
"""People in the matrix, those who share most; the list below it has all."""


class Wanted(NamedTuple):
    """What the address asks for; nonsense is the usual."""

    by: str
    days: str
    subject: str

    @classmethod
    def of(cls, request: HttpRequest, project: Project) -> Wanted:
        by, days = request.GET.get("by", ""), request.GET.get("days", "")
        if by not in Voters.values:
            people = Judgment.objects.votes().in_project(project).filter(annotator__is_simulated=False)
            by = Voters.PEOPLE if people.exists() else Voters.ALL
        keys = [subject.key for subject in subjects(project)]
        subject = request.GET.get("subject", "")
        return cls(by, days if days in PERIODS else "", subject if subject in keys else keys[0] if keys else "")

    @property
    def which(self) -> Which:
        today = timezone.localdate()
        return Which(by=self.by, since=today - datetime.timedelta(days=int(self.days)) if self.days else None)


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Who agrees with whom: a row a person, a cell for each of the others; None where they share nothing."""

    names: list[str]
    rows: list[tuple[str, list[PairOfPeople | None]]]


@person_required
@require_safe
def agreement(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.REVIEWER)
    wanted = Wanted.of(request, project)
    about = subjects(project)
    figures, waits = report(project, wanted.which, wanted.subject).on(request)
    found = figures.detail if figures else None
    names = names_of(found)
    context = {
        "project": project,
        "role": project.role_of(request.user),
        "wanted": wanted,
        "bys": Voters.choices,
        "periods": PERIODS.items(),
        "waits": waits,
        "subjects": about,
        "lines": figures.lines(about) if figures else [],
        "chosen": next((subject for subject in about if subject.key == wanted.subject), None),
        "detail": found,
        "matrix": matrix_of(found.pairs, names) if found else None,
        "pairs": [(names[pair.first], names[pair.second], pair.agreement) for pair in found.pairs] if found else [],
        "offsets": offsets_of(found, names),
        "num_simulated": Judgment.objects.votes().in_project(project).filter(annotator__is_simulated=True).count(),
    }
    return render(request, "annotation/agreement.html", context)


@person_required
@require_safe
def agreement_csv(request: PersonRequest, slug: str) -> StreamingHttpResponse:
    """One of the page's tables, with the page's filter; an unknown one is the first."""
    project = project_for(request, slug, role=Role.REVIEWER)
    wanted = Wanted.of(request, project)
    name = request.GET.get("table", "")
    found = report(project, wanted.which, wanted.subject).get()
    if name in TABLES and found.detail:
        return csv_file(f"{slug}-agreement-{name}.csv", *TABLES[name](found.detail))
    rows = ([line.subject.label, *cells(line.agreement)] for line in found.lines(subjects(project)))
    return csv_file(f"{slug}-agreement.csv", ["subject", *FIGURES], rows)


@person_required
@require_safe
def consensus(request: PersonRequest, slug: str) -> HttpResponse:
    """How right each consensus is on gold tasks. Apart, and fetched by the page: it takes a second or two."""
    project = project_for(request, slug, role=Role.REVIEWER)
    wanted = Wanted.of(request, project)
    found, waits = awaited(project, wanted.which).on(request)
    people = found.people if found else []
    names = dict(User.objects.filter(pk__in=[person.id for person in people]).values_list("pk", "username"))
    context = {
        "project": project,
        "role": project.role_of(request.user),
        "found": found,
        "waits": waits,
        "people": [(names[person.id], person) for person in people],
    }
    template = "annotation/consensus.html"
    return render(request, template + ("#consensus" if request.htmx else ""), context)


def names_of(found: Detail | None) -> Mapping[int, str]:
    people: set[int] = set()
    if found is not None:
        people |= {person for pair in found.pairs for person in (pair.first, pair.second)}
        people |= set(found.severity.offsets) if found.severity else set()
    return dict(User.objects.filter(pk__in=people).values_list("pk", "username"))


def matrix_of(pairs: Sequence[PairOfPeople], names: Mapping[int, str]) -> Matrix:
    shared: dict[int, int] = {}
    for pair in pairs:
        for person in (pair.first, pair.second):
            shared[person] = shared.get(person, 0) + pair.agreement.num_units
    people = sorted(shared, key=lambda person: (-shared[person], names[person]))[:MATRIX]
    found = {(pair.first, pair.second): pair for pair in pairs}
    rows = [(names[row], [found.get((min(row, column), max(row, column))) for column in people]) for row in people]
    return Matrix([names[person] for person in people], rows)


def offsets_of(found: Detail | None, names: Mapping[int, str]) -> list[tuple[str, Estimate]]:
    """The strictest first."""
    if found is None or found.severity is None:
        return []
    rows = [(names[person], offset) for person, offset in found.severity.offsets.items()]
    return sorted(rows, key=lambda row: row[1].value or 0.0)


# --- CSV --------------------------------------------------------------------------------------------------------

FIGURES = [
    *("alpha_nominal", "alpha_nominal_low", "alpha_nominal_high"),
    *("alpha_ordinal", "alpha_ordinal_low", "alpha_ordinal_high"),
    *("percent_agreement", "percent_agreement_low", "percent_agreement_high"),
    *("questions", "judgments", "people", "prompts", "reason"),
]
Rows = tuple[list[str], Iterable[Sequence[object]]]


def cells(figures: Agreement) -> list[object]:
    estimates = (figures.nominal, figures.ordinal, figures.percent)
    reasons = dict.fromkeys(str(estimate.reason) for estimate in estimates if estimate.reason)
    return [
        *(cell for estimate in estimates for cell in estimate[:3]),
        *(figures.num_units, figures.num_judgments, figures.num_people, figures.num_prompts),
        " ".join(reasons),
    ]


def pair_rows(found: Detail) -> Rows:
    names = names_of(found)
    rows = ([names[pair.first], names[pair.second], *cells(pair.agreement)] for pair in found.pairs)
    return ["person", "other_person", *FIGURES], rows


def period_rows(found: Detail) -> Rows:
    rows = (
        [period.start.isoformat(), "month" if period.is_month else "week", *cells(period.agreement)]
        for period in found.periods
    )
    return ["start", "length", *FIGURES], rows


def severity_rows(found: Detail) -> Rows:
    rows = ([name, *offset] for name, offset in offsets_of(found, names_of(found)))
    return ["person", "offset", "offset_low", "offset_high", "reason"], rows


TABLES: dict[str, Callable[[Detail], Rows]] = {"pairs": pair_rows, "periods": period_rows, "severity": severity_rows}
