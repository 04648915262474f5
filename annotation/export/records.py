"""Judgments as they were given: raw, by rating, and as corrected texts to learn from."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from annotation.export.batches import batches
from annotation.models import Judgment, Project, Rank, Rating, Task
from annotation.models.work import JudgmentQuerySet


class Correction(NamedTuple):
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


class RatedResponse(NamedTuple):
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


class Ranked(NamedTuple):
    """A response of a ranking and the place it got, 1 the best."""

    id: int
    text: str
    source: str
    rank: int


class RawJudgment(NamedTuple):
    """One judgment with everything that was kept of it; what import takes back without loss.

    Of a ranking, `ranked` holds all responses, and response_a is the first of them.
    """

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
    reasons: list[str]
    corrections: list[tuple[str | int, str]]
    """(“a” or “b”, or the number of a ranking's response; the corrected text)."""
    shown: Literal["ab", "ba"] | None
    """The order on the page, left to right; None for a rating or a ranking."""
    ranked: list[Ranked]
    shown_order: list[int] | None
    """Of a ranking: the numbers of the responses in the order of the page."""
    control: str
    """“gold” or “repeat”: no vote, but a measure of the annotator; else empty."""
    gold: dict[str, Any] | None
    """The right answer of a gold task, as an imported line names it."""
    guidelines_version: int | None
    active_seconds: float | None
    leased_at: datetime.datetime
    judged_at: datetime.datetime


class _Given(NamedTuple):
    """A judgment as the database has it, in the order of PATHS."""

    id: int
    preferred_id: int | None
    strength: int | None
    both_bad: bool
    flags: list[str]
    rationale: str
    reasons: list[str]
    active_seconds: float | None
    judged_at: datetime.datetime
    annotator: str
    is_simulated: bool
    guidelines_version: int | None
    is_swapped: bool
    order: list[int]
    leased_at: datetime.datetime
    control: str
    gold_id: int | None
    gold_preferred_id: int | None
    gold_ratings: dict[str, Any] | None
    gold_note: str | None
    kind: str
    prompt_id: int
    prompt_external_id: str
    messages: list[dict[str, str]]
    response_a_id: int
    text_a: str
    source_a: str
    response_b_id: int | None
    text_b: str | None
    source_b: str | None


PATHS = (
    *("pk", "preferred_id", "strength", "both_bad", "flags", "rationale", "reasons", "active_seconds", "created_at"),
    *("annotator__username", "annotator__is_simulated", "guidelines__version"),
    *("assignment__is_swapped", "assignment__order", "assignment__leased_at"),
    *("task__control", "task__gold__id", "task__gold__preferred_id", "task__gold__ratings", "task__gold__note"),
    *("task__kind", "task__prompt_id", "task__prompt__external_id", "task__prompt__messages"),
    *("task__response_a_id", "task__response_a__text", "task__response_a__source"),
    *("task__response_b_id", "task__response_b__text", "task__response_b__source"),
)


ORDERS = {
    "": ("pk",),
    "task": ("task_id", "pk"),
    "prompt": ("task__prompt_id", "annotator_id", "task__response_a_id", "pk"),
}


def judgments(
    project: Project,
    *,
    include_simulated: bool = True,
    votes_by: Literal["", "task", "prompt"] = "",
    kind: Task.Kind | None = None,
) -> Iterator[RawJudgment]:
    """Every judgment that counts, oldest first. votes_by: only votes, those of a task together, or of a prompt those
    of each person. kind: only of tasks of this kind.
    """
    found = _rows(project, include_simulated=include_simulated)
    rows = found.votes() if votes_by else found
    if kind is not None:
        rows = rows.filter(task__kind=kind)
    for batch in batches(rows.order_by(*ORDERS[votes_by]).values_list(*PATHS)):
        given = [_Given._make(row) for row in batch]
        values = _values_of([row.id for row in given if row.kind == Task.Kind.RATING])
        corrected = _corrected_in([row.id for row in given])
        ranked = _ranked_in([row.id for row in given if row.kind == Task.Kind.RANKING])
        for row in given:
            yield _raw(row, values.get(row.id, {}), corrected.get(row.id, []), ranked.get(row.id, []))


def ratings(project: Project, *, include_simulated: bool = True) -> Iterator[RatedResponse]:
    """Every value that was given as a vote, by judgment and criterion."""
    rows = (
        _rows(project, include_simulated=include_simulated)
        .votes()
        .filter(task__kind=Task.Kind.RATING, ratings__isnull=False)
        .order_by("pk", "ratings__criterion__key")
        .values_list(
            *("task__prompt_id", "task__prompt__messages"),
            *("ratings__response_id", "ratings__response__text", "ratings__response__source"),
            *("ratings__criterion__key", "ratings__value", "ratings__criterion__scale_max"),
            *("annotator__username", "annotator__is_simulated", "pk"),
        )
    )
    for batch in batches(rows):
        yield from map(RatedResponse._make, batch)


def corrections(project: Project, *, include_simulated: bool = True) -> Iterator[Correction]:
    """Every correction, oldest first. As a pair they are in preferences(); as demonstrations they are these texts."""
    rows = (
        _rows(project, include_simulated=include_simulated)
        .filter(corrections__parent__isnull=False)
        .order_by("pk", "corrections__pk")
        .values_list(
            *("corrections__pk", "task__prompt_id", "task__prompt__messages"),
            *("corrections__parent_id", "corrections__parent__text", "corrections__text"),
            *("annotator__username", "annotator__is_simulated", "pk"),
        )
    )
    for batch in batches(rows):
        yield from map(Correction._make, batch)


def _rows(project: Project, *, include_simulated: bool) -> JudgmentQuerySet:
    rows = Judgment.objects.counted().in_project(project)
    return rows if include_simulated else rows.filter(annotator__is_simulated=False)


def _values_of(judgment_ids: list[int]) -> dict[int, dict[str, int]]:
    """Judgment id to its ratings: criterion key to value."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    if judgment_ids:
        rows = Rating.objects.filter(judgment__among=judgment_ids).order_by("criterion__position", "criterion_id")
        for pk, key, value in rows.values_list("judgment_id", "criterion__key", "value"):
            found[pk][key] = value
    return found


def _corrected_in(judgment_ids: list[int]) -> dict[int, list[tuple[int | None, str]]]:
    """Judgment id to its corrections: (what is corrected, the new text), oldest first."""
    found: dict[int, list[tuple[int | None, str]]] = defaultdict(list)
    rows = Judgment.corrections.through.objects.filter(judgment__among=judgment_ids).order_by("response_id")
    for pk, parent_id, text in rows.values_list("judgment_id", "response__parent_id", "response__text"):
        found[pk].append((parent_id, text))
    return found


def _ranked_in(judgment_ids: list[int]) -> dict[int, list[Ranked]]:
    """Judgment id to the responses it ranks, by their ids."""
    found: dict[int, list[Ranked]] = defaultdict(list)
    if judgment_ids:
        rows = Rank.objects.filter(judgment__among=judgment_ids).order_by("response_id")
        for row in rows.values_list("judgment_id", "response_id", "response__text", "response__source", "rank"):
            found[row[0]].append(Ranked(row[1], row[2], row[3], row[4]))
    return found


def _gold(row: _Given, names: dict[int | None, Any]) -> dict[str, Any] | None:
    """The right answer as docs/formats.md writes it; names: what the line calls its responses."""
    if row.gold_id is None:
        return None
    note = {"note": row.gold_note} if row.gold_note else {}
    if row.kind == Task.Kind.RATING:
        return {"ratings": row.gold_ratings, **note}
    key = "best" if row.kind == Task.Kind.RANKING else "preferred"
    return {key: names.get(row.gold_preferred_id), **note}


def _raw(
    row: _Given, values: dict[str, int], corrected: list[tuple[int | None, str]], ranked: list[Ranked]
) -> RawJudgment:
    a, b = row.response_a_id, row.response_b_id
    sides: dict[int | None, Literal["a", "b"]] = {a: "a"} if b is None else {a: "a", b: "b"}
    numbers: dict[int | None, int] = {response.id: number for number, response in enumerate(ranked, start=1)}
    names: dict[int | None, Any] = {**(numbers or sides)}
    return RawJudgment(
        id=row.id,
        kind=row.kind,
        prompt_id=row.prompt_id,
        prompt_external_id=row.prompt_external_id,
        messages=row.messages,
        response_a_id=a,
        response_b_id=b,
        text_a=row.text_a,
        text_b=row.text_b,
        source_a=row.source_a,
        source_b=row.source_b,
        annotator=row.annotator,
        is_simulated=row.is_simulated,
        preferred=sides.get(row.preferred_id),
        strength=row.strength,
        both_bad=row.both_bad,
        ratings=values,
        flags=row.flags,
        rationale=row.rationale,
        reasons=row.reasons,
        corrections=[(names[parent], text) for parent, text in corrected],
        shown=None if b is None else "ba" if row.is_swapped else "ab",
        ranked=ranked,
        shown_order=[numbers[pk] for pk in row.order] if ranked else None,
        control=row.control,
        gold=_gold(row, names),
        guidelines_version=row.guidelines_version,
        active_seconds=row.active_seconds,
        leased_at=row.leased_at,
        judged_at=row.judged_at,
    )
