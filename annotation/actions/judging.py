"""What an annotator does with a task they hold: judge it, skip it, undo the last.

Each verb holds the row locks of the person's membership and of the task from its first line, so a second submit, an
expiry or a claim, by the person or by others, comes before or after it, never between.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Mapping
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.actions.answers import Answer, checked
from annotation.actions.keeping import keep_parts, unsaved
from annotation.days import start_of_day
from annotation.models import Assignment, Draft, Event, Judgment, Membership, Project, Response, Revision, Task, User
from annotation.places import Place, lock
from annotation.statements import Insert, joining, prepared
from annotation.webhooks import announce_judgment

JUDGMENT = Insert(Judgment)
KEEP = f"""
WITH kept AS (
    {JUDGMENT.sql} ON CONFLICT (submission_key) DO NOTHING RETURNING id
), counted AS (
    UPDATE annotation_task SET num_judged = num_judged + %(num_judged)s, num_leased = num_leased - %(num_leased)s
    WHERE id = %(task_id)s AND EXISTS (SELECT FROM kept)
), ended AS (
    UPDATE annotation_assignment SET status = 'judged' WHERE id = %(assignment_id)s AND EXISTS (SELECT FROM kept)
), progressed AS (
    UPDATE annotation_membership SET num_today = %(num_today)s, worked_on = %(today)s
    WHERE id = %(membership)s AND EXISTS (SELECT FROM kept)
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
    place: Place | None = None,
) -> Judged:
    """Keep what the annotator said; a submit sent twice counts once, whatever its key.

    preferred, strength: the better response and by how much (1 to 3), or None and 0 for a tie; see Assignment.as_shown.
    ratings: criterion id to value, for a rating task. ranks: response id to place, 1 the best, for a ranking.
    reasons: of the project's reason chips. corrections: response id to the corrected text.
    active_seconds: time at work, idle time taken out. place: where the caller has locked it already.
    Raises PermissionDenied when the assignment is another's, ValueError with a sentence when the answer will not do.
    A lease that ran out is taken again while there is a place; else the judgment is kept with is_current False.
    """
    place = place or lock(assignment, by=by)
    task = assignment.task
    if not place.is_leased and (earlier := _earlier(assignment, submission_key)):
        return _again(earlier)
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
        return _again(earlier)
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
    standing = lock(assignment, by=user).standing
    # Two undos at once reopen one judgment: the second finds it done when it gets the lock.
    if Judgment.objects.filter(pk=last.pk).revisable(project).update(is_current=False):
        Task.objects.filter(pk=assignment.task_id).update(
            num_judged=F("num_judged") - 1, num_leased=F("num_leased") + 1
        )
        assignment.leased_at = timezone.now()
        assignment.expires_at = assignment.leased_at + datetime.timedelta(seconds=project.lease_seconds)
        _move(assignment, Assignment.Status.LEASED, "leased_at", "expires_at")
        if last.created_at >= start_of_day():
            Membership.objects.filter(pk=standing.membership, num_today__gt=0).update(num_today=F("num_today") - 1)
        announce_judgment(Event.JUDGMENT_UNDONE, last, task=assignment.task, by=user)
    elif Judgment.objects.counted().filter(pk=last.pk).exists():
        raise ValueError(locked_sentence(last))
    last.is_current = False
    return Undone(assignment, last)


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
    moves = {
        "num_judged": int(place.is_free),
        "num_leased": int(place.is_leased),
        "membership": place.standing.membership,
        "num_today": place.standing.num_today + place.is_free,
        "today": timezone.localdate(),
    }
    rows = prepared(KEEP, JUDGMENT.values(judgment) | moves)
    if not rows:
        return None
    judgment.pk, judgment._state.adding = rows[0][0], False
    keep_parts(judgment, answer)
    return judgment


def _again(earlier: Judgment) -> Judged:
    return Judged(earlier, is_new=False, notice="" if earlier.is_current else _not_counted())


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
