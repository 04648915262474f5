"""A person's place at a task, under lock: what every verb of theirs begins with."""

from __future__ import annotations

from typing import NamedTuple

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from annotation.lending import ASSIGNMENT, PROJECT, RESPONSE_A, RESPONSE_B, TASK
from annotation.models import Assignment, User
from annotation.standing import STANDING, Standing, moments
from annotation.statements import prepared

# The person's membership first, as a claim does: else a claim in another tab, which looked before this verb ended,
# could lend the person again the task whose lease had run out and that they are judging now. Rows are locked in the
# order they are named, and what is read of a locked row is its newest version.
THEIRS = "FOR NO KEY UPDATE OF membership, task, chosen"
LOCK = f"""
SELECT chosen.status, task.is_open, {STANDING}
FROM annotation_assignment chosen
JOIN annotation_task task ON task.id = chosen.task_id
JOIN annotation_membership membership
    ON membership.user_id = chosen.annotator_id AND membership.project_id = task.project_id
WHERE chosen.id = %(assignment)s
{THEIRS}
"""
TAKE = f"""
SELECT {ASSIGNMENT.sql}, {TASK.sql}, {RESPONSE_A.sql}, {RESPONSE_B.sql}, {PROJECT.sql}, {STANDING}
FROM annotation_assignment chosen
JOIN annotation_task task ON task.id = chosen.task_id
JOIN annotation_response response_a ON response_a.id = task.response_a_id
LEFT JOIN annotation_response response_b ON response_b.id = task.response_b_id
JOIN annotation_project project ON project.id = task.project_id
JOIN annotation_membership membership
    ON membership.user_id = chosen.annotator_id AND membership.project_id = task.project_id
WHERE chosen.id = %(assignment)s AND chosen.annotator_id = %(user)s AND NOT membership.is_paused
{THEIRS}
"""


class Place(NamedTuple):
    """What stands under the locks of a verb."""

    is_leased: bool
    """Whether the person still holds the task."""
    is_free: bool
    """Whether a judgment of theirs can count: they hold the task, or it has a place left."""
    standing: Standing

    @property
    def guidelines(self) -> int | None:
        """The guidelines (id) the person has read; the newest, when they have read none."""
        return self.standing.read_guidelines or self.standing.guidelines


def lock(assignment: Assignment, *, by: User) -> Place:
    """Lock the person's membership and the task, and read the assignment anew under the locks.

    Of `assignment.task` only what never changes may be used after this; its counters move by F().
    Raises PermissionDenied when the assignment is another's, or the person is not in the project.
    """
    if assignment.annotator_id != by.pk:
        raise PermissionDenied(_("This task was given to somebody else."))
    rows = prepared(LOCK, moments() | {"assignment": assignment.pk})
    if not rows:
        raise PermissionDenied(_("You are not at work in this project. Ask one of its admins to add you."))
    assignment.status, is_open, *standing = rows[0]
    return _place(assignment, is_open, Standing(*standing))


def take(user: User, pk: int) -> tuple[Assignment, Place] | None:
    """The user's own assignment with all that a judgment of it is checked against, and its place, locked.

    In one statement, because it begins every label. None while the user is not at work in its project.
    """
    rows = prepared(TAKE, moments() | {"assignment": pk, "user": user.pk})
    if not rows:
        return None
    values = iter(rows[0])
    assignment: Assignment = ASSIGNMENT.instance(values)
    task = assignment.task = TASK.instance(values)
    task.response_a, task.response_b = RESPONSE_A.instance(values), RESPONSE_B.instance(values)
    task.project = PROJECT.instance(values)
    return assignment, _place(assignment, task.is_open, Standing(*values))


def _place(assignment: Assignment, is_open: bool, standing: Standing) -> Place:
    is_leased = assignment.status == Assignment.Status.LEASED
    return Place(is_leased, is_leased or is_open, standing)
