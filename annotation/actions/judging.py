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
from annotation.actions.keeping import keep_parts, unsaved
from annotation.models import Assignment, Draft, Event, Judgment, Project, Response, Revision, Task, User
from annotation.statements import Insert, joining, prepared
from annotation.webhooks import announce_judgment

# The person's membership first, as a claim does: else a claim in another tab, which looked before this verb ended,
# could lend the person again the task whose lease had run out and that they are judging now. Rows are locked in the
# order they are named, and what is read of a locked row is its newest version.
LOCK = """
SELECT assignment.status, task.is_open, coalesce(
    membership.seen_guidelines_id,
    (SELECT id FROM annotation_guidelines WHERE project_id = task.project_id ORDER BY version DESC LIMIT 1)
)
FROM annotation_assignment assignment
JOIN annotation_task task ON task.id = assignment.task_id
JOIN annotation_membership membership
    ON membership.user_id = assignment.annotator_id AND membership.project_id = task.project_id
WHERE assignment.id = %(assignment)s
FOR NO KEY UPDATE OF membership, task, assignment
"""

JUDGMENT = Insert(Judgment)
KEEP = f"""
WITH kept AS (
    {JUDGMENT.sql} ON CONFLICT (submission_key) DO NOTHING RETURNING id
), counted AS (
    UPDATE annotation_task SET num_judged = num_judged + %(num_judged)s, num_leased = num_leased - %(num_leased)s
    WHERE id = %(task_id)s AND EXISTS (SELECT FROM kept)
), ended AS (
    UPDATE annotation_assignment SET status = 'judged' WHERE id = %(assignment_id)s AND EXISTS (SELECT FROM kept)
), sent AS (
    DELETE FROM annotation_draft WHERE assignment_id = %(assignment_id)s AND EXISTS (SELECT FROM kept)
)
SELECT id FROM kept
"""


class Judged(NamedTuple):
    """What became of a submit. `notice` is a sentence for the person when their judgment is kept but does not count."""

    judgment: Judgment
    is_new: bool
    notice: str = ""


class Undone(NamedTuple):
    """The reopened assignment, and the judgment whose values prefill the form."""

    assignment: Assignment
    judgment: Judgment


@joining
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
    reasons: Collection[str] = (),
    corrections: Mapping[int, str] | None = None,
    active_seconds: float | None = None,
) -> Judged:
    """Keep what the annotator said; a submit sent twice counts once, whatever its key.

    preferred, strength: the better response and by how much (1 to 3), or None and 0 for a tie; see Assignment.as_shown.
    ratings: criterion id to value, for a rating task. ranks: response id to place, 1 the best, for a ranking.
    reasons: of the project's reason chips. corrections: response id to the corrected text.
    active_seconds: time at work, idle time taken out.
    Raises PermissionDenied when the assignment is another's, ValueError with a sentence when the answer will not do.
    A lease that ran out is taken again while there is a place; else the judgment is kept with is_current False.
    """
    place = lock(assignment, by=by)
    task = assignment.task
    if not place.is_leased and (earlier := _earlier(assignment, submission_key)):
        return Judged(earlier, is_new=False, notice="" if earlier.is_current else _not_counted())
    said = Answer.said(
        preferred=preferred,
        strength=strength,
        both_bad=both_bad,
        ratings=ratings,
        ranks=ranks,
        rationale=rationale,
        flags=flags,
        reasons=reasons,
        corrections=corrections,
        active_seconds=active_seconds,
    )
    answer = checked(task, said)
    judgment = _keep(place, assignment, answer, submission_key=submission_key)
    if judgment is None:  # this key was kept before: the form was sent twice, and the first was undone meanwhile
        earlier = _earlier(assignment, submission_key)
        assert earlier
        return Judged(earlier, is_new=False, notice="" if earlier.is_current else _not_counted())
    assignment.status = Assignment.Status.JUDGED
    if place.is_free:
        announce_judgment(Event.JUDGMENT_CREATED, judgment, task=task, by=by)
    return Judged(judgment, is_new=True, notice="" if place.is_free else _not_counted())


@transaction.atomic
def skip(assignment: Assignment, *, by: User, reason: str, note: str = "") -> Assignment:
    """Give the task to others for good, with the reason. Skipping twice is skipping once."""
    lock(assignment, by=by)
    if reason not in Assignment.SkipReason.values:
        raise ValueError(_("Choose why you skip this task."))
    if assignment.status == Assignment.Status.JUDGED:
        raise ValueError(_("You have judged this task already: undo that first."))
    if assignment.status == Assignment.Status.LEASED:
        Task.objects.filter(pk=assignment.task_id).update(num_leased=F("num_leased") - 1)
    assignment.skip_reason, assignment.skip_note = reason, note.strip()
    Draft.objects.filter(assignment=assignment).delete()
    _move(assignment, Assignment.Status.SKIPPED, "skip_reason", "skip_note")
    return assignment


@transaction.atomic
def undo(user: User, *, project: Project) -> Undone | None:
    """Reopen the user's last judgment in this project; None when there is none left.

    The judgment is kept, but counts no more; its place is lent to the user again.
    Raises ValueError with a sentence when the project does not let it be changed any more.
    """
    last = Judgment.objects.counted().of(user).in_project(project).order_by("-created_at", "-id").first()
    if last is None:
        return None
    assignment = Assignment.objects.with_content().get(pk=last.assignment_id)
    lock(assignment, by=user)
    # Two undos at once reopen one judgment: the second finds it done when it gets the lock.
    if Judgment.objects.filter(pk=last.pk).revisable(project).update(is_current=False):
        Task.objects.filter(pk=assignment.task_id).update(
            num_judged=F("num_judged") - 1, num_leased=F("num_leased") + 1
        )
        assignment.leased_at = timezone.now()
        assignment.expires_at = assignment.leased_at + datetime.timedelta(seconds=project.lease_seconds)
        _move(assignment, Assignment.Status.LEASED, "leased_at", "expires_at")
        announce_judgment(Event.JUDGMENT_UNDONE, last, task=assignment.task, by=user)
    elif Judgment.objects.counted().filter(pk=last.pk).exists():
        raise ValueError(locked_sentence(last))
    last.is_current = False
    return Undone(assignment, last)


class Place(NamedTuple):
    """What stands under the locks of a verb."""

    is_leased: bool
    """Whether the person still holds the task."""
    is_free: bool
    """Whether a judgment of theirs can count: they hold the task, or it has a place left."""
    guidelines: int | None
    """The guidelines (id) the person has read; the newest, when they have read none."""


def lock(assignment: Assignment, *, by: User) -> Place:
    """Lock the person's membership and the task, and read the assignment anew under the locks.

    Of `assignment.task` only what never changes may be used after this; its counters move by F().
    """
    if assignment.annotator_id != by.pk:
        raise PermissionDenied(_("This task was given to somebody else."))
    rows = prepared(LOCK, {"assignment": assignment.pk})
    if not rows:
        raise PermissionDenied(_("You are not at work in this project. Ask one of its admins to add you."))
    assignment.status, is_free, guidelines = rows[0]
    is_leased = assignment.status == Assignment.Status.LEASED
    return Place(is_leased, is_leased or is_free, guidelines)


def _earlier(assignment: Assignment, submission_key: uuid.UUID) -> Judgment | None:
    """The judgment this submit repeats: the one of its key, or the one the assignment already has."""
    found = Judgment.objects.filter(Q(submission_key=submission_key) | Q(assignment=assignment))
    for judgment in sorted(found, key=lambda judgment: (judgment.is_current, judgment.pk), reverse=True):
        if judgment.assignment_id != assignment.pk:
            raise ValueError(_("This form was already sent for another task: load the page again."))
        if judgment.submission_key == submission_key or assignment.status == Assignment.Status.JUDGED:
            return judgment
    return None


def _keep(place: Place, assignment: Assignment, answer: Answer, *, submission_key: uuid.UUID) -> Judgment | None:
    """The judgment, its place in the task's counters and the end of the lease; None when the key was kept before."""
    judgment = unsaved(assignment, answer, submission_key=submission_key, guidelines=place.guidelines)
    judgment.is_current = place.is_free
    moves = {"num_judged": int(place.is_free), "num_leased": int(place.is_leased)}
    rows = prepared(KEEP, JUDGMENT.values(judgment) | moves)
    if not rows:
        return None
    judgment.pk, judgment._state.adding = rows[0][0], False
    keep_parts(judgment, answer)
    return judgment


def _move(assignment: Assignment, status: Assignment.Status, *also: str) -> None:
    assignment.status = status
    assignment.save(update_fields=["status", *also])


def _not_counted() -> str:
    return _(
        "Your time for that task had run out and others took it. Your judgment is kept, but it does not count here."
    )


def locked_sentence(judgment: Judgment | None) -> str:
    """Why a judgment cannot be changed any more."""
    if judgment is not None and judgment.voiding_id is not None:
        return _("An admin has taken this judgment out of the count: it cannot be changed.")
    if judgment is None or not judgment.is_current:
        return _("This judgment does not count: there is nothing to change.")
    if judgment.task.project.revision == Revision.NEVER:
        return _("In this project a judgment cannot be changed once it was sent.")
    return _("A snapshot has taken this judgment: it cannot be changed any more.")
