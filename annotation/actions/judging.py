"""What an annotator does with a task they hold: judge it, skip it, undo the last.

Each verb holds the row locks of the person's membership and of the task from its first line, so a second submit, an
expiry or a claim, by the person or by others, comes before or after it, never between.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Mapping
from typing import NamedTuple

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.actions.answers import Answer, checked
from annotation.models import Assignment, Judgment, Membership, Project, Rank, Rating, Response, Task, User


class Judged(NamedTuple):
    """What became of a submit. `notice` is a sentence for the person when their judgment is kept but does not count."""

    judgment: Judgment
    is_new: bool
    notice: str = ""


class Undone(NamedTuple):
    """The reopened assignment, and the judgment whose values prefill the form."""

    assignment: Assignment
    judgment: Judgment


@transaction.atomic
def judge(
    assignment: Assignment,
    *,
    by: User,
    submission_key: uuid.UUID,
    preferred: Response | None = None,
    strength: int | None = None,
    both_bad: bool = False,
    ratings: Mapping[int, int] | None = None,
    ranks: Mapping[int, int] | None = None,
    rationale: str = "",
    flags: Collection[str] = (),
    corrections: Mapping[int, str] | None = None,
    active_seconds: float | None = None,
) -> Judged:
    """Keep what the annotator said; a submit sent twice counts once, whatever its key.

    preferred, strength: the better response and by how much (1 to 3), or None and 0 for a tie; see Assignment.as_shown.
    ratings: criterion id to value, for a rating task. ranks: response id to place, 1 the best, for a ranking.
    corrections: response id to the corrected text.
    active_seconds: time at work, idle time taken out.
    Raises PermissionDenied when the assignment is another's, ValueError with a sentence when the answer will not do.
    A lease that ran out is taken again while there is a place; else the judgment is kept with is_current False.
    """
    _lock(assignment, by=by)
    task = assignment.task
    if earlier := _earlier(assignment, submission_key):
        return Judged(earlier, is_new=False, notice="" if earlier.is_current else _not_counted())
    answer = checked(
        task,
        Answer(
            preferred=preferred,
            strength=strength,
            both_bad=both_bad,
            ratings=dict(ratings or {}),
            ranks=dict(ranks or {}),
            rationale=rationale.strip(),
            flags=list(dict.fromkeys(flags)),
            corrections=dict(corrections or {}),
            active_seconds=active_seconds,
        ),
    )
    is_counted = _take_place(task, assignment)
    judgment = _keep(task, assignment, answer, submission_key=submission_key, is_current=is_counted)
    _move(assignment, Assignment.Status.JUDGED)
    return Judged(judgment, is_new=True, notice="" if is_counted else _not_counted())


@transaction.atomic
def skip(assignment: Assignment, *, by: User, reason: str, note: str = "") -> Assignment:
    """Give the task to others for good, with the reason. Skipping twice is skipping once."""
    _lock(assignment, by=by)
    if reason not in Assignment.SkipReason.values:
        raise ValueError(_("Choose why you skip this task."))
    if assignment.status == Assignment.Status.JUDGED:
        raise ValueError(_("You have judged this task already: undo that first."))
    if assignment.status == Assignment.Status.LEASED:
        Task.objects.filter(pk=assignment.task_id).update(num_leased=F("num_leased") - 1)
    assignment.skip_reason, assignment.skip_note = reason, note.strip()
    _move(assignment, Assignment.Status.SKIPPED, "skip_reason", "skip_note")
    return assignment


@transaction.atomic
def undo(user: User, *, project: Project) -> Undone | None:
    """Reopen the user's last judgment in this project; None when there is none left.

    The judgment is kept, but counts no more; its place is lent to the user again.
    """
    last = Judgment.objects.counted().of(user).in_project(project).order_by("-created_at", "-id").first()
    if last is None:
        return None
    assignment = Assignment.objects.with_content().get(pk=last.assignment_id)
    _lock(assignment, by=user)
    # Two undos at once reopen one judgment: the second finds it done when it gets the lock.
    if Judgment.objects.filter(pk=last.pk, is_current=True).update(is_current=False):
        Task.objects.filter(pk=assignment.task_id).update(
            num_judged=F("num_judged") - 1, num_leased=F("num_leased") + 1
        )
        assignment.leased_at = timezone.now()
        assignment.expires_at = assignment.leased_at + datetime.timedelta(seconds=project.lease_seconds)
        _move(assignment, Assignment.Status.LEASED, "leased_at", "expires_at")
    last.is_current = False
    return Undone(assignment, last)


def _lock(assignment: Assignment, *, by: User) -> None:
    """Lock the person's membership and the task, and read the assignment anew under the locks.

    Of `assignment.task` only what never changes may be used after this; its counters move by F().
    """
    if assignment.annotator_id != by.pk:
        raise PermissionDenied(_("This task was given to somebody else."))
    # The person's membership first, as a claim does: else a claim in another tab, which looked before this verb ended,
    # could lend the person again the task whose lease had run out and that they are judging now.
    Membership.objects.select_for_update(no_key=True).filter(user=by, project=assignment.task.project).first()
    Task.objects.select_for_update(no_key=True).values_list("pk").get(pk=assignment.task_id)
    assignment.status = Assignment.objects.values_list("status", flat=True).get(pk=assignment.pk)


def _earlier(assignment: Assignment, submission_key: uuid.UUID) -> Judgment | None:
    """The judgment this submit repeats: the one of its key, or the one the assignment already has."""
    found = Judgment.objects.filter(Q(submission_key=submission_key) | Q(assignment=assignment))
    for judgment in sorted(found, key=lambda judgment: (judgment.is_current, judgment.pk), reverse=True):
        if judgment.assignment_id != assignment.pk:
            raise ValueError(_("This form was already sent for another task: load the page again."))
        if judgment.submission_key == submission_key or assignment.status == Assignment.Status.JUDGED:
            return judgment
    return None


def _take_place(task: Task, assignment: Assignment) -> bool:
    """Turn the lease into a counted judgment, or a lost lease into a new place; False when all places are taken."""
    if assignment.status == Assignment.Status.LEASED:
        Task.objects.filter(pk=task.pk).update(num_leased=F("num_leased") - 1, num_judged=F("num_judged") + 1)
        return True
    return Task.objects.open().filter(pk=task.pk).update(num_judged=F("num_judged") + 1) == 1


def _keep(
    task: Task, assignment: Assignment, answer: Answer, *, submission_key: uuid.UUID, is_current: bool
) -> Judgment:
    judgment = Judgment.objects.create(
        task=task,
        annotator_id=assignment.annotator_id,
        assignment=assignment,
        submission_key=submission_key,
        is_current=is_current,
        preferred=answer.preferred,
        strength=answer.strength,
        both_bad=answer.both_bad,
        flags=answer.flags,
        rationale=answer.rationale,
        guidelines_id=task.project.guidelines.order_by("-version").values_list("pk", flat=True).first(),
        active_seconds=answer.active_seconds,
    )
    Rating.objects.bulk_create(
        Rating(judgment=judgment, criterion_id=criterion, response_id=task.response_a_id, value=value)
        for criterion, value in answer.ratings.items()
    )
    Rank.objects.bulk_create(
        Rank(judgment=judgment, response_id=response, rank=place) for response, place in answer.ranks.items()
    )
    if answer.corrections:
        judgment.corrections.add(*_corrections(task, answer, author_id=assignment.annotator_id))
    return judgment


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


def _move(assignment: Assignment, status: Assignment.Status, *also: str) -> None:
    assignment.status = status
    assignment.save(update_fields=["status", *also])


def _not_counted() -> str:
    return _(
        "Your time for this task had run out and others took it. Your judgment is kept, but it does not count here."
    )
