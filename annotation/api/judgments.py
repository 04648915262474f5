"""Judgments as they were given, in all their versions: what programs follow."""

from __future__ import annotations

import datetime
from typing import Any

from ninja import Query, Router, Schema

from annotation.api.access import READ, TokenRequest, project_for
from annotation.api.paging import Page, PageQuery, page_of
from annotation.api.values import Id, Moment, Text
from annotation.models import Judgment, Role

router = Router(tags=["judgments"])


class CorrectionOut(Schema):
    """response: the corrected answer. corrects: the one it corrects."""

    response: int
    corrects: int | None
    text: str


class RatingOut(Schema):
    criterion: str
    response: int
    value: int


class RankOut(Schema):
    """place: 1 is best; equal places are ties."""

    response: int
    place: int


class JudgmentOut(Schema):
    """What one person said of one task.

    is_current: false for a version that was revised, undone or voided. preferred: the better answer's id, empty for a
    tie, a rating and a ranking. strength: 0 tie, 1 slightly, 2 better, 3 much better. control: on a gold task or a
    repeat, which measure people and are no votes. updated_at: when it was given, or began or ceased to count.
    """

    id: int
    task: int
    kind: str
    control: str
    annotator: str
    is_simulated: bool
    is_current: bool
    is_voided: bool
    preferred: int | None
    strength: int | None
    both_bad: bool
    ratings: list[RatingOut]
    ranks: list[RankOut]
    flags: list[str]
    reasons: list[str]
    rationale: str
    corrections: list[CorrectionOut]
    guidelines_version: int | None
    active_seconds: float | None
    created_at: datetime.datetime
    updated_at: datetime.datetime


class JudgmentQuery(PageQuery):
    """current: true leaves out versions that count no more. updated_since: those that are new or changed since."""

    current: bool | None = None
    task: Id | None = None
    annotator: Text | None = None
    created_since: Moment | None = None
    updated_since: Moment | None = None


@router.get(
    "/projects/{slug}/judgments",
    response=Page[JudgmentOut],
    auth=READ,
    operation_id="list_judgments",
    summary="List or follow judgments",
)
def list_judgments(request: TokenRequest, slug: str, query: Query[JudgmentQuery]) -> object:
    """Oldest first. To follow them, ask again with the last `next_cursor`: no judgment is passed over.

    A revision is a new judgment with a new id. Undoing, revising and voiding make is_current false: to keep a copy
    right, ask from time to time with updated_since, the moment at which your last such pull began less five minutes
    (for what was being written just then), read all pages, and put each judgment in the place of yours with its id.
    """
    project = project_for(request, slug, role=Role.REVIEWER)
    rows = (
        Judgment.objects.in_project(project)
        .select_related("annotator", "task", "guidelines")
        .prefetch_related("ratings__criterion", "ranks", "corrections")
    )
    if query.current is not None:
        rows = rows.filter(is_current=query.current)
    if query.task is not None:
        rows = rows.filter(task=query.task)
    if query.annotator is not None:
        rows = rows.filter(annotator__username=query.annotator)
    if query.created_since is not None:
        rows = rows.since(query.created_since)
    if query.updated_since is not None:
        rows = rows.filter(updated_at__gte=query.updated_since)
    found = page_of(rows, query, follows=True)
    return found.page([judgment_out(judgment) for judgment in found.rows])


def judgment_out(judgment: Judgment) -> JudgmentOut:
    return JudgmentOut(
        id=judgment.pk,
        task=judgment.task_id,
        kind=judgment.task.kind,
        control=judgment.task.control,
        annotator=judgment.annotator.username,
        is_simulated=judgment.annotator.is_simulated,
        is_current=judgment.is_current,
        is_voided=judgment.voiding_id is not None,
        preferred=judgment.preferred_id,
        strength=judgment.strength,
        both_bad=judgment.both_bad,
        flags=judgment.flags,
        reasons=judgment.reasons,
        rationale=judgment.rationale,
        guidelines_version=judgment.guidelines.version if judgment.guidelines else None,
        active_seconds=judgment.active_seconds,
        created_at=judgment.created_at,
        updated_at=judgment.updated_at,
        **_parts(judgment),
    )


def _parts(judgment: Judgment) -> dict[str, Any]:
    """What stands in other rows, each in a stable order."""
    ratings = sorted(judgment.ratings.all(), key=lambda rating: (rating.criterion.position, rating.pk))
    return {
        "ratings": [
            RatingOut(criterion=rating.criterion.key, response=rating.response_id, value=rating.value)
            for rating in ratings
        ],
        "ranks": [
            RankOut(response=rank.response_id, place=rank.rank)
            for rank in sorted(judgment.ranks.all(), key=lambda rank: (rank.rank, rank.response_id))
        ],
        "corrections": [
            CorrectionOut(response=row.pk, corrects=row.parent_id, text=row.text)
            for row in sorted(judgment.corrections.all(), key=lambda row: row.pk)
        ],
    }
