"""/projects/<slug>/leaderboard/ : which sources give the better answers, by what people chose. For reviewers."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.awaited import Awaited
from annotation.leaderboard import Leaderboard, Standing, leaderboard, outcomes_of
from annotation.leaderboard.standings import CONTROLLED, DRAWING, RAW, READING
from annotation.models import Judgment, Project, Role
from annotation.progress import Telling
from annotation.spreadsheets import csv_file
from annotation.views.access import PersonRequest, person_required, project_for
from annotation.votes import Voters, fingerprint

WIDTH, MARGIN = 160, 6


class Wanted(NamedTuple):
    """Whose labels, and of which kinds. Nonsense in the address is the usual."""

    voters: Voters
    with_ratings: bool
    with_chats: bool

    @classmethod
    def of(cls, request: HttpRequest) -> Wanted:
        voters = request.GET.get("voters", "")
        wanted = (request.GET.get(name) == "1" for name in ("ratings", "chats"))
        return cls(Voters(voters) if voters in Voters.values else Voters.PEOPLE, *wanted)


@dataclasses.dataclass(frozen=True)
class Row:
    """A source with its place in the drawing: the estimate, and its interval as a line."""

    standing: Standing
    x: float
    low: float
    high: float


@person_required
@require_safe
def board(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.REVIEWER)
    wanted = Wanted.of(request)
    found, waits = board_of(project, wanted).on(request)
    context = {
        "project": project,
        "role": project.role_of(request.user),
        "wanted": wanted,
        "voters": Voters.choices,
        "board": found,
        "waits": waits,
        "rows": rows_of(found.standings) if found else [],
        "matrix": list(zip(found.standings, found.matchups, strict=True)) if found else [],
        "num_simulated": Judgment.objects.votes().in_project(project).filter(annotator__is_simulated=True).count(),
    }
    return render(request, "annotation/leaderboard.html", context)


@person_required
@require_safe
def board_csv(request: PersonRequest, slug: str) -> StreamingHttpResponse:
    """The table; with ?table=matchups, each source against each other."""
    project = project_for(request, slug, role=Role.REVIEWER)
    found = board_of(project, Wanted.of(request)).get()
    standings = found.standings if found else []
    if request.GET.get("table") == "matchups":
        matchups = [
            (row.source, column.source, cell.share, cell.num_votes)
            for row, cells in zip(standings, found.matchups if found else [], strict=True)
            for column, cell in zip(standings, cells, strict=True)
            if cell is not None
        ]
        return csv_file(f"{slug}-win-rates.csv", ["source", "against", "share_won", "comparisons"], matchups)
    head = [
        *("source", "best_place", "worst_place", "rating", "rating_low", "rating_high"),
        *("rating_at_equal_length", "equal_length_low", "equal_length_high"),
        *("wins_against_average", "comparisons", "prompts"),
    ]
    rows = [
        (
            *(each.source, each.best, each.worst),
            *each.rating[:3],
            *each.controlled[:3],
            *(each.wins_against_average, each.num_votes, each.num_prompts),
        )
        for each in standings
    ]
    return csv_file(f"{slug}-leaderboard.csv", head, rows)


def board_of(project: Project, wanted: Wanted) -> Awaited[Leaderboard | None]:
    mark = fingerprint(project)

    def count(told: Telling) -> Leaderboard | None:
        told.expect(READING + DRAWING + RAW + CONTROLLED)
        outcomes = outcomes_of(project, **wanted._asdict())
        told.advance(READING)
        return leaderboard(outcomes, told=told)

    return Awaited(part="standings", key=(project.pk, *mark, *wanted), count=count, num=mark[0])


def rows_of(standings: list[Standing]) -> list[Row]:
    ratings = [each.rating for each in standings]
    ends = [end for rating in ratings for end in (rating.low, rating.high, rating.value) if end is not None]
    lowest, width = min(ends), (max(ends) - min(ends)) or 1.0

    def place(value: float | None) -> float:
        assert value is not None, "every source has a rating"
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - lowest) / width, 1)

    return [
        Row(each, place(own.value), *(place(own.value if end is None else end) for end in (own.low, own.high)))
        for each, own in zip(standings, ratings, strict=True)
    ]
