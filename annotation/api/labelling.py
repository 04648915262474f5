"""Other front ends: take the next task, judge it, skip it, undo the last, all as the token's own user.

What is sent out tells no more than the page does: no source, no id of an answer, no sign of a control task. Answers
are spoken of by the place they were shown in, from left to right, or from top to bottom, beginning with 0.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated, Any

from django.utils.translation import gettext as _
from ninja import Router, Schema, Status
from pydantic import Field

from annotation import actions, queue
from annotation.actions.answers import Answer
from annotation.api.access import ANNOTATE, TokenRequest, assignment_for, project_for
from annotation.api.content import Message
from annotation.api.problems import Problem, refused
from annotation.api.values import Body, BodyId, Id, Text
from annotation.models import Assignment, Judgment

router = Router(tags=["labelling"])


class AssignmentOut(Schema):
    """One task lent to you. responses: the texts in the order in which they must be shown."""

    id: int
    kind: str
    prompt: list[Message]
    responses: list[str]
    leased_at: datetime.datetime
    expires_at: datetime.datetime


class Claim(Body):
    """beside: assignments that you hold already, to be given another one, such as the next to show."""

    beside: Annotated[list[BodyId], Field(max_length=20)] = []


class NewCorrection(Body):
    """place: of the answer that is corrected."""

    place: Annotated[int, Field(strict=True, ge=0, le=5)]
    text: Text


class NewJudgment(Body):
    """What you say of a task.

    submission_key: a UUID of your own for this judgment; sent twice with the same key it counts once.
    strength: of a comparison, from −3 (the first answer is much better) over 0 (tie) to 3 (the second is much better).
    ratings: of a rating, criterion key to value. ranks: of a ranking, a place from 1 (best) for each answer as shown;
    equal places are ties. reasons: of the project's reason chips. active_seconds: time at work, idle time taken out.
    """

    submission_key: uuid.UUID
    strength: Annotated[int | None, Field(strict=True, ge=-3, le=3)] = None
    both_bad: Annotated[bool, Field(strict=True)] = False
    ratings: dict[str, Annotated[int, Field(strict=True, ge=1, le=9)]] = {}
    ranks: Annotated[list[Annotated[int, Field(strict=True, ge=1, le=6)]], Field(max_length=6)] = []
    flags: list[Judgment.Flag] = []
    reasons: list[Annotated[Text, Field(max_length=100)]] = []
    rationale: Text = ""
    corrections: Annotated[list[NewCorrection], Field(max_length=6)] = []
    active_seconds: Annotated[float | None, Field(strict=True, ge=0, le=86400)] = None


class JudgedOut(Schema):
    """is_new: false when the same key, or this task, was judged before. notice: why it does not count, if so."""

    judgment: int
    is_new: bool
    is_current: bool
    notice: str


class Skip(Body):
    reason: Assignment.SkipReason
    note: Annotated[Text, Field(max_length=2000)] = ""


@router.post(
    "/projects/{slug}/claim",
    response={200: AssignmentOut, 204: None},
    auth=ANNOTATE,
    operation_id="claim_task",
    summary="Take the next task",
)
def claim_task(request: TokenRequest, slug: str, body: Claim | None = None) -> object:
    """The task you hold already, else the next one; 204: none waits for you. Asking twice gives the same task."""
    project = project_for(request, slug)
    assignment = queue.claim(request.user, project=project, beside=body.beside if body else ())
    return Status(204, None) if assignment is None else assignment_out(assignment)


@router.get(
    "/assignments/{assignment_id}",
    response=AssignmentOut,
    auth=ANNOTATE,
    operation_id="read_assignment",
    summary="Read a task that was lent to you",
)
def read_assignment(request: TokenRequest, assignment_id: Id) -> AssignmentOut:
    return assignment_out(assignment_for(request, assignment_id))


@router.post(
    "/assignments/{assignment_id}/judge",
    response=JudgedOut,
    auth=ANNOTATE,
    operation_id="judge_task",
    summary="Judge a task",
)
def judge_task(request: TokenRequest, assignment_id: Id, body: NewJudgment) -> JudgedOut:
    assignment = assignment_for(request, assignment_id)
    with refused():
        judged = actions.judge(
            assignment, by=request.user, submission_key=body.submission_key, **said(assignment, body)
        )
    return judged_out(judged)


@router.post(
    "/assignments/{assignment_id}/revise",
    response=JudgedOut,
    auth=ANNOTATE,
    operation_id="revise_judgment",
    summary="Change what you said of a task",
)
def revise_judgment(request: TokenRequest, assignment_id: Id, body: NewJudgment) -> JudgedOut:
    """A new version, which counts; the old one is kept. As long as the project lets people change what they judged."""
    assignment = assignment_for(request, assignment_id)
    with refused():
        answer = Answer.said(**said(assignment, body))
        revised = actions.revise(assignment, by=request.user, submission_key=body.submission_key, answer=answer)
    return judged_out(revised)


@router.post(
    "/assignments/{assignment_id}/skip", response={204: None}, auth=ANNOTATE, operation_id="skip_task",
    summary="Skip a task",
)  # fmt: skip
def skip_task(request: TokenRequest, assignment_id: Id, body: Skip) -> object:
    """Others get it; you do not get it again."""
    assignment = assignment_for(request, assignment_id)
    with refused():
        actions.skip(assignment, by=request.user, reason=body.reason, note=body.note)
    return Status(204, None)


@router.post(
    "/projects/{slug}/undo",
    response={200: AssignmentOut, 204: None},
    auth=ANNOTATE,
    operation_id="undo_judgment",
    summary="Undo your last judgment",
)
def undo_judgment(request: TokenRequest, slug: str) -> object:
    """The task is lent to you again; 204: there is nothing left to undo."""
    project = project_for(request, slug)
    with refused():
        undone = actions.undo(request.user, project=project)
    return Status(204, None) if undone is None else assignment_out(undone.assignment)


def assignment_out(assignment: Assignment) -> AssignmentOut:
    return AssignmentOut(
        id=assignment.pk,
        kind=assignment.task.kind,
        prompt=[Message(**turn) for turn in assignment.task.prompt.messages],
        responses=[response.text for response in assignment.shown],
        leased_at=assignment.leased_at,
        expires_at=assignment.expires_at,
    )


def judged_out(judged: actions.Judged) -> JudgedOut:
    return JudgedOut(
        judgment=judged.judgment.pk,
        is_new=judged.is_new,
        is_current=judged.judgment.is_current,
        notice=judged.notice,
    )


def said(assignment: Assignment, body: NewJudgment) -> dict[str, Any]:
    """What the verbs take: places become answers, as only the server knows which stood where."""
    preferred, strength = None, None
    if body.strength is not None:
        preferred, strength = assignment.as_shown(body.strength)
    return {
        "preferred": preferred,
        "strength": strength,
        "both_bad": body.both_bad,
        "ratings": rated(assignment, body.ratings),
        "ranks": ranked(assignment, body.ranks),
        "flags": [flag.value for flag in body.flags],
        "reasons": body.reasons,
        "rationale": body.rationale,
        "corrections": corrected(assignment, body.corrections),
        "active_seconds": body.active_seconds,
    }


def rated(assignment: Assignment, ratings: dict[str, int]) -> dict[int, int]:
    criteria = dict(assignment.task.project.criteria.values_list("key", "pk"))
    if unknown := sorted(ratings.keys() - criteria.keys()):
        sentence = _("This project has no criterion “%(key)s”.") % {"key": unknown[0]}
        raise Problem(422, sentence, errors=[(f"body.ratings.{unknown[0]}", sentence)])
    return {criteria[key]: value for key, value in ratings.items()}


def ranked(assignment: Assignment, places: list[int]) -> dict[int, int]:
    if not places:
        return {}
    answers = assignment.shown
    if len(places) != len(answers):
        sentence = _("This task shows %(num)d answers: give each of them a place.") % {"num": len(answers)}
        raise Problem(422, sentence, errors=[("body.ranks", sentence)])
    return {answer.pk: place for answer, place in zip(answers, places, strict=True)}


def corrected(assignment: Assignment, corrections: list[NewCorrection]) -> dict[int, str]:
    answers = assignment.shown
    for number, correction in enumerate(corrections):
        if correction.place >= len(answers):
            sentence = _("This task shows %(num)d answers: their places go from 0 to %(last)d.")
            sentence %= {"num": len(answers), "last": len(answers) - 1}
            raise Problem(422, sentence, errors=[(f"body.corrections[{number}].place", sentence)])
    return {answers[correction.place].pk: correction.text for correction in corrections}
