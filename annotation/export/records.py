"""Judgments as they were given: raw, by rating, and as corrected texts to learn from."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Literal

from annotation.models import Judgment, Project, Response, Task
from annotation.models.work import JudgmentQuerySet

CHUNK = 500
"""Rows fetched at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correction:
    """A text that an annotator put in the place of a response: better than it, and a demonstration of the prompt."""

    id: int
    prompt_id: int
    messages: list[dict[str, str]]
    response_id: int
    original: str
    text: str
    annotator: str
    is_simulated: bool
    judgment_id: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class RatedResponse:
    """One value that one annotator gave one response on one criterion."""

    prompt_id: int
    messages: list[dict[str, str]]
    response_id: int
    text: str
    source: str
    criterion: str
    value: int
    scale_max: int
    annotator: str
    is_simulated: bool
    judgment_id: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class RawJudgment:
    """One judgment with everything that was kept of it; what import takes back without loss."""

    id: int
    kind: str
    prompt_id: int
    prompt_external_id: str
    messages: list[dict[str, str]]
    response_a_id: int
    response_b_id: int | None
    text_a: str
    text_b: str | None
    source_a: str
    source_b: str | None
    annotator: str
    is_simulated: bool
    preferred: Literal["a", "b"] | None
    strength: int | None
    both_bad: bool
    ratings: dict[str, int]
    flags: list[str]
    rationale: str
    corrections: list[tuple[str, str]]
    """(“a” or “b”, the corrected text)."""
    shown: Literal["ab", "ba"] | None
    """The order on the page, left to right; None for a rating."""
    guidelines_version: int | None
    active_seconds: float | None
    leased_at: datetime.datetime
    judged_at: datetime.datetime


def judgments(project: Project, *, include_simulated: bool = True) -> Iterator[RawJudgment]:
    """Every judgment that counts, oldest first."""
    rows = (
        _rows(project, include_simulated=include_simulated)
        .select_related("assignment", "guidelines", "task__response_a", "task__response_b")
        .prefetch_related("ratings__criterion", "corrections")
        .order_by("pk")
    )
    for judgment in rows.iterator(chunk_size=CHUNK):
        yield _raw(judgment)


def ratings(project: Project, *, include_simulated: bool = True) -> Iterator[RatedResponse]:
    """Every value that was given, by judgment and criterion."""
    rows = (
        _rows(project, include_simulated=include_simulated)
        .filter(task__kind=Task.Kind.RATING)
        .prefetch_related("ratings__criterion", "ratings__response")
        .order_by("pk")
    )
    for judgment in rows.iterator(chunk_size=CHUNK):
        for rating in sorted(judgment.ratings.all(), key=lambda rating: rating.criterion.key):
            yield RatedResponse(
                prompt_id=judgment.task.prompt_id,
                messages=judgment.task.prompt.messages,
                response_id=rating.response_id,
                text=rating.response.text,
                source=rating.response.source,
                criterion=rating.criterion.key,
                value=rating.value,
                scale_max=rating.criterion.scale_max,
                annotator=judgment.annotator.username,
                is_simulated=judgment.annotator.is_simulated,
                judgment_id=judgment.pk,
            )


def corrections(project: Project, *, include_simulated: bool = True) -> Iterator[Correction]:
    """Every correction, oldest first. As a pair they are in preferences(); as demonstrations they are these texts."""
    rows = (
        _rows(project, include_simulated=include_simulated)
        .filter(corrections__isnull=False)
        .distinct()
        .prefetch_related("corrections__parent")
        .order_by("pk")
    )
    for judgment in rows.iterator(chunk_size=CHUNK):
        for correction in sorted(judgment.corrections.all(), key=lambda response: response.pk):
            if correction.parent is not None:
                yield _correction(judgment, correction, original=correction.parent)


def _rows(project: Project, *, include_simulated: bool) -> JudgmentQuerySet:
    rows = Judgment.objects.counted().in_project(project).select_related("annotator", "task__prompt")
    return rows if include_simulated else rows.filter(annotator__is_simulated=False)


def _correction(judgment: Judgment, correction: Response, *, original: Response) -> Correction:
    return Correction(
        id=correction.pk,
        prompt_id=judgment.task.prompt_id,
        messages=judgment.task.prompt.messages,
        response_id=original.pk,
        original=original.text,
        text=correction.text,
        annotator=judgment.annotator.username,
        is_simulated=judgment.annotator.is_simulated,
        judgment_id=judgment.pk,
    )


def _raw(judgment: Judgment) -> RawJudgment:
    task = judgment.task
    sides: dict[int | None, Literal["a", "b"]] = {task.response_a_id: "a", task.response_b_id: "b"}
    corrected = sorted(judgment.corrections.all(), key=lambda response: response.pk)
    return RawJudgment(
        id=judgment.pk,
        kind=task.kind,
        prompt_id=task.prompt_id,
        prompt_external_id=task.prompt.external_id,
        messages=task.prompt.messages,
        response_a_id=task.response_a_id,
        response_b_id=task.response_b_id,
        text_a=task.response_a.text,
        text_b=task.response_b.text if task.response_b else None,
        source_a=task.response_a.source,
        source_b=task.response_b.source if task.response_b else None,
        annotator=judgment.annotator.username,
        is_simulated=judgment.annotator.is_simulated,
        preferred=sides[judgment.preferred_id] if judgment.preferred_id else None,
        strength=judgment.strength,
        both_bad=judgment.both_bad,
        ratings={rating.criterion.key: rating.value for rating in judgment.ratings.all()},
        flags=judgment.flags,
        rationale=judgment.rationale,
        corrections=[(sides[row.parent_id], row.text) for row in corrected],
        shown=None if task.response_b is None else "ba" if judgment.assignment.is_swapped else "ab",
        guidelines_version=judgment.guidelines.version if judgment.guidelines else None,
        active_seconds=judgment.active_seconds,
        leased_at=judgment.assignment.leased_at,
        judged_at=judgment.created_at,
    )
