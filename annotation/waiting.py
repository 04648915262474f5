"""How much work waits for somebody, counted no further than a person cares."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from django.utils import timezone

from annotation.models import Project, User
from annotation.models.work import REPEAT_AFTER
from annotation.statements import prepared

MOST = 1000
"""Tasks of a project that are counted; beyond it there are more."""

NOT_HAD = """NOT EXISTS (
            SELECT FROM annotation_assignment had
            WHERE had.task_id = task.id AND had.annotator_id = %(user)s AND had.status <> 'expired'
            OFFSET 0  -- looked up task by task: as a join, the planner may read everything the person ever had
        )"""
# The conditions, and the order, of the index open_tasks_in_order: so the count ends after MOST entries of it.
WAITING = f"""
SELECT project.id, (
    SELECT count(*) FROM (
        SELECT 1 FROM annotation_assignment own JOIN annotation_task task ON task.id = own.task_id
        WHERE own.annotator_id = %(user)s AND own.status = 'leased' AND own.expires_at > %(now)s
          AND task.project_id = project.id
        UNION ALL (
            SELECT 1 FROM annotation_task task
            WHERE task.project_id = project.id AND task.control = ''
              AND task.is_open
              AND {NOT_HAD}
            ORDER BY task.priority DESC, task.id
            LIMIT %(most)s + 1
        )
        UNION ALL
        SELECT 1 FROM annotation_task task
        WHERE task.project_id = project.id AND task.control <> '' AND task.is_open
          AND CASE WHEN task.control = 'gold' THEN EXISTS (
              SELECT FROM annotation_task question
              WHERE question.project_id = project.id AND question.control = '' AND question.is_open
                AND {NOT_HAD.replace("task.id", "question.id")}
          ) ELSE task.reserved_for_id = %(user)s AND EXISTS (
              SELECT FROM annotation_judgment said
              WHERE said.task_id = task.repeat_of_id AND said.annotator_id = %(user)s AND said.is_current
                AND said.created_at < (
                    SELECT since.created_at FROM annotation_judgment since
                    WHERE since.annotator_id = %(user)s AND since.is_current
                    ORDER BY since.created_at DESC OFFSET %(repeat_after)s - 1 LIMIT 1
                )
          ) END
          AND {NOT_HAD}
    ) waits
)
FROM unnest(%(projects)s::bigint[]) project (id)
"""


class Waiting(NamedTuple):
    """is_more: there are more than `num`."""

    num: int
    is_more: bool


def waiting(user: User, projects: Collection[Project]) -> dict[int, Waiting]:
    """For each project's id, what the queue can still give this person, in one query.

    What they hold, and what they have not had of the open questions, the due repeats and, while a question is left, the
    gold tasks.

    Gold tasks count as long as they may come, and when they are held: so each label makes the number one lower,
    whatever was judged. A number that stood still, or rose when one was lent, would give them away.
    """
    asked = {
        "user": user.pk,
        "projects": [project.pk for project in projects],
        "now": timezone.now(),
        "most": MOST,
        "repeat_after": REPEAT_AFTER,
    }
    return {pk: Waiting(min(num, MOST), num > MOST) for pk, num in prepared(WAITING, asked)}
