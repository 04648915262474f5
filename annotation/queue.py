"""Which task this annotator gets next: claim, keep, release, expire.

A claim is one SQL statement, so any number of people may ask at once. Everything that changes a task's counters holds
that task's row lock first and its assignments after it, and nothing here waits for a second task: no deadlock.
There is no scheduler: whoever claims first takes back the leases that ran out.

Gold tasks and repeats come at random in the place of a question, so that nothing tells them apart: not their place,
not the time they take, not that nothing else is left. A repeat comes with its sides swapped, after ten other judgments.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Collection

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from annotation.lending import HELD, NEXT, read
from annotation.models import Assignment, Project, Task, User
from annotation.models.work import REPEAT_AFTER
from annotation.standing import Standing, locked_standing
from annotation.statements import joining, prepared

EXPIRE = """
WITH task_with_overdue AS (
    SELECT task.id FROM annotation_task task
    WHERE task.project_id = %(project)s AND task.id IN (
        SELECT task_id FROM annotation_assignment WHERE status = 'leased' AND expires_at <= %(now)s
    )
    FOR NO KEY UPDATE SKIP LOCKED
), expired AS (
    UPDATE annotation_assignment SET status = 'expired'
    WHERE status = 'leased' AND expires_at <= %(now)s AND task_id IN (SELECT id FROM task_with_overdue)
    RETURNING task_id
)
UPDATE annotation_task task SET num_leased = num_leased - ended.num
FROM (SELECT task_id, count(*) AS num FROM expired GROUP BY task_id) ended
WHERE task.id = ended.task_id
RETURNING task.id
"""


MOST_HELD = 8
"""Leases one person may hold at once in a project: the task in front, the next, and some that were undone."""


@joining
def claim(
    user: User, *, project: Project, beside: Collection[int] = (), standing: Standing | None = None
) -> Assignment | None:
    """The user's own live lease, else the first open task they have not judged or skipped; None: no task.

    beside: the assignments (ids) that the asking page holds already, so it gets another one. Of the user's leases
    what they undid last comes first, then the oldest: two pages that hold the same tasks are given the same next one.
    Of the open tasks the highest priority first, then the oldest; a place that was freed behind the first 25 open tasks
    and before the person's last one waits until they have come to the end, or somebody else takes it.
    standing: the person's, where the caller holds its lock already.
    Raises PermissionDenied for who is not in the project, or paused there.
    """
    now = timezone.now()
    # The person's membership is locked, so two tabs asking at the same moment get the same task, not two, and none asks
    # while the other judges.
    standing = standing or locked_standing(user, project)
    if standing.has_overdue:
        expire_overdue(project)
    rows = prepared(
        NEXT,
        {
            "user": user.pk,
            "project": project.pk,
            "now": now,
            "beside": list(beside),
            "membership": standing.membership,
            "last_task": standing.last_task,
            "swap_lead": standing.swap_lead,
            "most_held": MOST_HELD,
            "mixes_in": random.random() < project.control_share,
            "repeat_after": REPEAT_AFTER,
            "expires_at": now + _lease(project),
        },
    )
    assignment = read(rows[0], project) if rows else None
    if assignment and assignment.task.kind == Task.Kind.RANKING and not assignment.order:
        _arrange(assignment)
    return assignment


def held(user: User, pk: int) -> Assignment | None:
    """The user's own assignment with its content, whatever has become of the lease; None while they are not at work
    in its project."""
    rows = prepared(HELD, {"assignment": pk, "user": user.pk})
    return read(rows[0]) if rows else None


def _arrange(assignment: Assignment) -> None:
    """Draw the order in which a ranking's responses are shown.

    A repeat, and every second person of a task, gets the reverse of what was shown before: over two people each
    response stands before each other one as often as behind it, as the sides of a comparison are balanced.
    """
    task = assignment.task
    shown = Assignment.objects.filter(task=task).exclude(order=[]).exclude(status=Assignment.Status.EXPIRED)
    if task.repeat_of_id is not None:
        shown = Assignment.objects.filter(task=task.repeat_of_id, annotator=assignment.annotator_id)
    before = list(shown.order_by("-leased_at", "-id").values_list("order", flat=True))
    if len(before) % 2:
        assignment.order = before[0][::-1]
    else:
        assignment.order = list(task.candidates.values_list("response_id", flat=True))
        random.shuffle(assignment.order)
    assignment.save(update_fields=["order"])


def keep_lent(user: User, *, project: Project, held: Collection[int]) -> set[int]:
    """Start the time of the user's leases anew, those that ran out included while their tasks have a place left.

    Gives back which of `held` (assignments) the user does not hold any more: others took the place, or it is done.
    """
    own = Assignment.objects.of(user).in_project(project).filter(pk__in=held)
    own.filter(status=Assignment.Status.LEASED).update(expires_at=timezone.now() + _lease(project))
    still = set(own.filter(status=Assignment.Status.LEASED).values_list("pk", flat=True))
    for assignment in own.filter(status=Assignment.Status.EXPIRED).select_related("task"):
        if _take_again(assignment, lease=_lease(project)):
            still.add(assignment.pk)
    return set(held) - still


@transaction.atomic
def _take_again(assignment: Assignment, *, lease: datetime.timedelta) -> bool:
    """Lend a task again to whom it was lent; False when no place is left."""
    Task.objects.select_for_update(no_key=True).values_list("pk").get(pk=assignment.task_id)
    if not Task.objects.open().filter(pk=assignment.task_id).update(num_leased=F("num_leased") + 1):
        return False
    now = timezone.now()
    expired = Assignment.objects.filter(pk=assignment.pk, status=Assignment.Status.EXPIRED)
    taken = expired.update(status=Assignment.Status.LEASED, leased_at=now, expires_at=now + lease)
    if not taken:  # judged or taken again in the meantime
        Task.objects.filter(pk=assignment.task_id).update(num_leased=F("num_leased") - 1)
    return taken == 1


@transaction.atomic
def release(assignment: Assignment) -> bool:
    """Give the task back at once, for others or for later; False when it was not lent any more."""
    Task.objects.select_for_update(no_key=True).get(pk=assignment.task_id)
    released = Assignment.objects.filter(pk=assignment.pk, status=Assignment.Status.LEASED).update(
        status=Assignment.Status.EXPIRED
    )
    if released:
        Task.objects.filter(pk=assignment.task_id).update(num_leased=F("num_leased") - 1)
        assignment.status = Assignment.Status.EXPIRED
    return released == 1


def expire_overdue(project: Project) -> int:
    """Free the places of leases that ran out; returns how many tasks got a place back."""
    return len(prepared(EXPIRE, {"project": project.pk, "now": timezone.now()}))


def _lease(project: Project) -> datetime.timedelta:
    return datetime.timedelta(seconds=project.lease_seconds)
