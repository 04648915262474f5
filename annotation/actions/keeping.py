"""An answer that was checked becomes rows: the judgment, its ratings, ranks and corrections."""

from __future__ import annotations

import uuid

from annotation.actions.answers import Answer
from annotation.models import Assignment, Judgment, Rank, Rating, Response, Task


def unsaved(assignment: Assignment, answer: Answer, *, submission_key: uuid.UUID, guidelines: int | None) -> Judgment:
    """The judgment's own row, not yet in the database."""
    return Judgment(
        task=assignment.task,
        annotator_id=assignment.annotator_id,
        assignment=assignment,
        submission_key=submission_key,
        preferred=answer.preferred,
        strength=answer.strength,
        both_bad=answer.both_bad,
        flags=answer.flags,
        rationale=answer.rationale,
        reasons=answer.reasons,
        guidelines_id=guidelines,
        active_seconds=answer.active_seconds,
    )


def keep_parts(judgment: Judgment, answer: Answer) -> None:
    """The rows that belong to a judgment that is in the database."""
    task = judgment.task
    if answer.ratings:
        Rating.objects.bulk_create(
            Rating(judgment=judgment, criterion_id=criterion, response_id=task.response_a_id, value=value)
            for criterion, value in answer.ratings.items()
        )
    if answer.ranks:
        Rank.objects.bulk_create(
            Rank(judgment=judgment, response_id=response, rank=place) for response, place in answer.ranks.items()
        )
    if answer.corrections:
        judgment.corrections.add(*_corrections(task, answer, author_id=judgment.annotator_id))


def _corrections(task: Task, answer: Answer, *, author_id: int) -> list[Response]:
    return Response.objects.bulk_create(
        Response(
            prompt_id=task.prompt_id,
            text=text,
            source=Response.CORRECTION,
            content_hash=Response.hash_of(text),
            parent_id=original,
            author_id=author_id,
        )
        for original, text in answer.corrections.items()
    )
