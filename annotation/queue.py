"""Which task this annotator gets next: claim, renew, release, expire.

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

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, When
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import Assignment, Judgment, Membership, Project, Task, User
from annotation.models.work import REPEAT_AFTER

# Where a person's next task may stand. The whole queue would do, and is what the last look goes through; but one who is
# far ahead of the others has had thousands of the open tasks already, and each of them costs 2 µs to pass over.
LOOKS = (
    # The oldest of the highest priority: where freed places and new urgent tasks are.
    """AND task.id IN (
        SELECT first.id FROM annotation_task first
        WHERE first.project_id = %(project)s AND first.control = ''
          AND NOT first.is_withdrawn AND first.overlap > (first.num_judged + first.num_leased)
        ORDER BY first.priority DESC, first.id LIMIT 25
    )""",
    # Behind the task the person had last.
    """AND task.id > %(last_task)s
       AND task.priority = (SELECT last.priority FROM annotation_task last WHERE last.id = %(last_task)s)""",
    # Anywhere.
    "",
)
NO_QUESTION = "AND FALSE"
"""The last look, when no question is left: at the repeats that were asked of this person."""

CLAIM = """
WITH question AS (
    SELECT task.id, task.kind, task.repeat_of_id
    FROM annotation_task task
    WHERE task.project_id = %(project)s AND task.control = ''
      AND NOT task.is_withdrawn AND task.overlap > (task.num_judged + task.num_leased)
      AND NOT EXISTS (
          SELECT FROM annotation_assignment own
          WHERE own.task_id = task.id AND own.annotator_id = %(user)s AND own.status <> 'expired'
          OFFSET 0  -- looked up task by task: as a join, the planner may read everything the person ever had
      )
      {look}
    ORDER BY task.priority DESC, task.id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
), control AS (
    -- Now and then in the place of a question: a gold task, or a repeat whose first judgment lies far enough back.
    SELECT task.id, task.kind, task.repeat_of_id
    FROM annotation_task task
    WHERE %(mixes_in)s AND (%(is_last_look)s OR EXISTS (SELECT FROM question))
      AND task.project_id = %(project)s AND task.control <> ''
      AND NOT task.is_withdrawn AND task.overlap > (task.num_judged + task.num_leased)
      AND CASE WHEN task.control = 'gold' THEN NOT %(is_last_look)s
          ELSE task.reserved_for_id = %(user)s AND EXISTS (
              SELECT FROM annotation_judgment said
              WHERE said.task_id = task.repeat_of_id AND said.annotator_id = %(user)s AND said.is_current
                AND said.created_at < (
                    SELECT since.created_at FROM annotation_judgment since
                    WHERE since.annotator_id = %(user)s AND since.is_current
                    ORDER BY since.created_at DESC OFFSET %(repeat_after)s - 1 LIMIT 1
                )
          ) END
      AND NOT EXISTS (
          SELECT FROM annotation_assignment own
          WHERE own.task_id = task.id AND own.annotator_id = %(user)s AND own.status <> 'expired'
          OFFSET 0
      )
    ORDER BY random()
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
), picked AS (
    SELECT * FROM control
    UNION ALL
    SELECT * FROM question WHERE NOT EXISTS (SELECT FROM control)
), sides AS (
    -- The order shown: as before when the person had it before; a repeat's is the other way round; else what this task
    -- was shown less often; else a coin that leans against what this person saw more often.
    SELECT picked.id, picked.kind, before.id AS before_id, CASE
        WHEN picked.kind <> 'comparison' THEN FALSE
        WHEN before.id IS NOT NULL THEN before.is_swapped
        WHEN first.id IS NOT NULL THEN NOT first.is_swapped
        WHEN others.lead <> 0 THEN others.lead < 0
        ELSE random() < 0.5 - 0.25 * sign(%(swap_lead)s)
    END AS is_swapped
    FROM picked
    LEFT JOIN annotation_assignment before ON before.task_id = picked.id AND before.annotator_id = %(user)s
    LEFT JOIN annotation_assignment first ON first.task_id = picked.repeat_of_id AND first.annotator_id = %(user)s
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE is_swapped) - count(*) FILTER (WHERE NOT is_swapped) AS lead
        FROM annotation_assignment WHERE task_id = picked.id AND status IN ('leased', 'judged')
    ) others
), counted AS (
    UPDATE annotation_task task SET num_leased = num_leased + 1 FROM picked WHERE task.id = picked.id
), remembered AS (
    -- The place in the queue is that of the questions: it stays where it is for what was mixed in.
    UPDATE annotation_membership SET last_task_id = coalesce(
        (SELECT question.id FROM question WHERE question.id = sides.id), last_task_id
    ), swap_lead = swap_lead + CASE
        WHEN sides.kind <> 'comparison' OR sides.before_id IS NOT NULL THEN 0
        WHEN sides.is_swapped THEN 1
        ELSE -1
    END
    FROM sides WHERE annotation_membership.id = %(membership)s
)
INSERT INTO annotation_assignment
    (task_id, annotator_id, status, is_swapped, "order", leased_at, expires_at, skip_reason, skip_note)
SELECT id, %(user)s, 'leased', is_swapped, '{{}}', %(now)s, %(expires_at)s, '', '' FROM sides
ON CONFLICT (task_id, annotator_id) DO UPDATE
    SET status = 'leased', leased_at = excluded.leased_at, expires_at = excluded.expires_at
RETURNING id
"""

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
"""


MOST_HELD = 8
"""Leases one person may hold at once in a project: the task in front, the next, and some that were undone."""


@transaction.atomic
def claim(user: User, *, project: Project, beside: Collection[int] = ()) -> Assignment | None:
    """The user's own live lease, else the first open task they have not judged or skipped; None: no task.

    beside: the assignments (ids) that the asking page holds already, so it gets another one. Of the user's leases
    what they undid last comes first, then the oldest: two pages that hold the same tasks are given the same next one.
    Of the open tasks the highest priority first, then the oldest; a place that was freed behind the first 25 open tasks
    and before the person's last one waits until they have come to the end, or somebody else takes it.
    Raises PermissionDenied for who is not in the project, or paused there.
    """
    # The person's membership is locked, so two tabs asking at the same moment get the same task, not two, and none asks
    # while the other judges.
    membership = Membership.objects.select_for_update(no_key=True).filter(user=user, project=project).first()
    if membership is None or membership.is_paused:
        raise PermissionDenied(_("You are not at work in this project. Ask one of its admins to add you."))
    held = _held(user, project)
    pk = next((pk for pk in held if pk not in beside), None)
    if pk is None and len(held) < MOST_HELD:
        expire_overdue(project)
        pk = _lend(membership, project)
    if pk is None:
        return None
    assignment = Assignment.objects.with_content().get(pk=pk)
    if assignment.task.kind == Task.Kind.RANKING and not assignment.order:
        _arrange(assignment)
    return assignment


def _held(user: User, project: Project) -> list[int]:
    """The user's live leases, those they undid before the others."""
    own = Assignment.objects.live().of(user).in_project(project)
    undone = own.annotate(is_undone=Exists(Judgment.objects.filter(assignment=OuterRef("pk"))))
    newest_undone = Case(When(is_undone=True, then=F("leased_at"))).desc(nulls_last=True)
    return list(undone.order_by(newest_undone, "leased_at", "pk").values_list("pk", flat=True))


def _lend(membership: Membership, project: Project) -> int | None:
    now = timezone.now()
    values = {
        "project": membership.project_id,
        "user": membership.user_id,
        "membership": membership.pk,
        "last_task": membership.last_task_id,
        "swap_lead": membership.swap_lead,
        "now": now,
        "expires_at": now + _lease(project),
        "repeat_after": REPEAT_AFTER,
    }
    mixes_in = random.random() < project.control_share
    with connection.cursor() as cursor:
        for look in (*LOOKS, NO_QUESTION):
            is_last_look = look == NO_QUESTION
            asked = values | {"mixes_in": mixes_in or is_last_look, "is_last_look": is_last_look}
            cursor.execute(CLAIM.format(look=look), asked)
            if row := cursor.fetchone():
                return int(row[0])
    return None


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


def renew(assignment: Assignment) -> bool:
    """Start the lease's time anew, because the person is at work; False when the lease is already lost."""
    expires_at = timezone.now() + _lease(assignment.task.project)
    renewed = Assignment.objects.filter(pk=assignment.pk, status=Assignment.Status.LEASED).update(expires_at=expires_at)
    if renewed:
        assignment.expires_at = expires_at
    return renewed == 1


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
    with connection.cursor() as cursor:
        cursor.execute(EXPIRE, {"project": project.pk, "now": timezone.now()})
        return int(cursor.rowcount)


def _lease(project: Project) -> datetime.timedelta:
    return datetime.timedelta(seconds=project.lease_seconds)
