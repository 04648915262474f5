"""Changing what was judged: a new version, the old one kept. The newest counts."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.actions.answers import Answer, checked
from annotation.actions.judging import Judged, locked_sentence
from annotation.actions.keeping import keep_parts, unsaved
from annotation.models import Assignment, Event, Judgment, User
from annotation.places import lock
from annotation.webhooks import announce_judgment


@transaction.atomic
def revise(assignment: Assignment, *, by: User, submission_key: uuid.UUID, answer: Answer) -> Judged:
    """Replace the person's judgment of this assignment by another version; sent twice it counts once.

    Raises PermissionDenied when the assignment is another's, ValueError with a sentence when the answer will not do or
    the judgment cannot be changed any more: undone, taken out of the count, or locked by the project's setting.
    """
    place = lock(assignment, by=by)
    if earlier := Judgment.objects.filter(submission_key=submission_key).first():
        if earlier.assignment_id != assignment.pk:
            raise ValueError(_("This form was already sent for another task: load the page again."))
        return Judged(earlier, is_new=False)
    answer = checked(assignment.task, answer)
    own = Judgment.objects.filter(assignment=assignment)
    if not own.revisable(assignment.task.project).update(is_current=False):
        raise ValueError(locked_sentence(own.order_by("-created_at", "-id").first()))
    judgment = unsaved(assignment, answer, submission_key=submission_key, guidelines=place.guidelines)
    judgment.save()
    keep_parts(judgment, answer)
    announce_judgment(Event.JUDGMENT_REVISED, judgment, task=assignment.task, by=by)
    return Judged(judgment, is_new=True)
