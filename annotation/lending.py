"""The statements that read a person's task, content and all: the next one, found and lent; and one they hold.

Finding and lending is one statement, so any number of people may ask at once. Who calls it holds the membership's lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.models import Assignment, Project, Prompt, Response, Task
from annotation.statements import Columns, Row

# What a page shows. Where an answer comes from is left out: annotators never learn it.
UNSHOWN = ("source", "content_hash", "parent", "author", "metadata", "external_id", "created_at")
ASSIGNMENT = Columns(Assignment, "chosen")
TASK = Columns(Task, "task")
PROJECT = Columns(Project, "project")
PROMPT = Columns(Prompt, "prompt", but=UNSHOWN)
RESPONSE_A, RESPONSE_B = (Columns(Response, name, but=UNSHOWN) for name in ("response_a", "response_b"))

CONTENT = f"""SELECT {ASSIGNMENT.sql},
    EXISTS (SELECT FROM annotation_judgment said WHERE said.assignment_id = chosen.id)
        OR EXISTS (SELECT FROM annotation_draft draft WHERE draft.assignment_id = chosen.id),
    {TASK.sql}, {PROMPT.sql}, {RESPONSE_A.sql}, {RESPONSE_B.sql}"""
ITS_CONTENT = """\
JOIN annotation_task task ON task.id = chosen.task_id
JOIN annotation_prompt prompt ON prompt.id = task.prompt_id
JOIN annotation_response response_a ON response_a.id = task.response_a_id
LEFT JOIN annotation_response response_b ON response_b.id = task.response_b_id"""

LOOK = """
    SELECT task.id, task.kind, task.repeat_of_id
    FROM {tasks}
    WHERE {when}
      AND task.project_id = %(project)s AND task.control = '' AND task.is_open
      AND NOT EXISTS (
          SELECT FROM annotation_assignment had
          WHERE had.task_id = task.id AND had.annotator_id = %(user)s AND had.status <> 'expired'
          OFFSET 0  -- looked up task by task: as a join, the planner may read everything the person ever had
      )
      {where}
    ORDER BY {order}
    LIMIT 1
    FOR NO KEY UPDATE OF task SKIP LOCKED
"""

# Where a person's next task may stand. The whole queue would do, and is what the last look goes through; but one who is
# far ahead of the others has had thousands of the open tasks already, and each of them costs 2 µs to pass over.
# The oldest of the highest priority: where freed places and new urgent tasks are.
FIRST_LOOK = LOOK.format(
    tasks="""(
        SELECT id, priority FROM annotation_task
        WHERE project_id = %(project)s AND control = '' AND is_open
        ORDER BY priority DESC, id LIMIT 25
    ) first JOIN annotation_task task ON task.id = first.id""",
    when="EXISTS (SELECT FROM may_lend)",
    where="",
    order="first.priority DESC, first.id",  # as they come: the first that will do ends the look
)
LOOK_BEHIND_THE_LAST = LOOK.format(
    tasks="annotation_task task",
    when="EXISTS (SELECT FROM may_lend) AND NOT EXISTS (SELECT FROM at_the_front)",
    where="""AND task.id > %(last_task)s
      AND task.priority = (SELECT last.priority FROM annotation_task last WHERE last.id = %(last_task)s)""",
    order="task.priority DESC, task.id",
)
LOOK_ANYWHERE = LOOK.format(
    tasks="annotation_task task",
    when="EXISTS (SELECT FROM may_lend) AND NOT EXISTS (SELECT FROM at_the_front) AND NOT EXISTS (SELECT FROM behind)",
    where="",
    order="task.priority DESC, task.id",
)

NEXT = f"""
WITH held AS MATERIALIZED (
    SELECT own.id, own.leased_at,
           EXISTS (SELECT FROM annotation_judgment said WHERE said.assignment_id = own.id) AS is_undone
    FROM annotation_assignment own JOIN annotation_task task ON task.id = own.task_id
    WHERE own.annotator_id = %(user)s AND own.status = 'leased' AND own.expires_at > %(now)s
      AND task.project_id = %(project)s
), again AS (
    -- What the person holds already and the page does not: what they undid last, else the oldest.
    SELECT id FROM held WHERE id <> ALL (%(beside)s::bigint[])
    ORDER BY CASE WHEN is_undone THEN leased_at END DESC NULLS LAST, leased_at, id
    LIMIT 1
), may_lend AS (
    SELECT WHERE NOT EXISTS (SELECT FROM again) AND (SELECT count(*) FROM held) < %(most_held)s
), at_the_front AS ({FIRST_LOOK}
), behind AS ({LOOK_BEHIND_THE_LAST}
), anywhere AS ({LOOK_ANYWHERE}
), question AS (
    SELECT * FROM at_the_front UNION ALL SELECT * FROM behind UNION ALL SELECT * FROM anywhere
), control AS (
    -- Now and then in the place of a question: a gold task, or a repeat whose first judgment lies far enough back.
    -- When no question is left: the repeats that were asked of this person.
    SELECT task.id, task.kind, task.repeat_of_id
    FROM annotation_task task
    WHERE EXISTS (SELECT FROM may_lend) AND (%(mixes_in)s::boolean OR NOT EXISTS (SELECT FROM question))
      AND task.project_id = %(project)s AND task.control <> '' AND task.is_open
      AND CASE WHEN task.control = 'gold' THEN EXISTS (SELECT FROM question)
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
          SELECT FROM annotation_assignment had
          WHERE had.task_id = task.id AND had.annotator_id = %(user)s AND had.status <> 'expired'
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
        ELSE random() < 0.5 - 0.25 * sign(%(swap_lead)s::bigint)
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
), lent AS (
    INSERT INTO annotation_assignment
        (task_id, annotator_id, status, is_swapped, "order", leased_at, expires_at, skip_reason, skip_note)
    SELECT id, %(user)s, 'leased', is_swapped, '{{}}', %(now)s, %(expires_at)s, '', '' FROM sides
    ON CONFLICT (task_id, annotator_id) DO UPDATE
        SET status = 'leased', leased_at = excluded.leased_at, expires_at = excluded.expires_at
    RETURNING *
), chosen AS (
    SELECT * FROM lent UNION ALL SELECT * FROM annotation_assignment WHERE id = (SELECT id FROM again)
)
{CONTENT}
FROM chosen
{ITS_CONTENT}
"""

HELD = f"""
{CONTENT}, {PROJECT.sql}
FROM annotation_assignment chosen
{ITS_CONTENT}
JOIN annotation_project project ON project.id = task.project_id
JOIN annotation_membership membership ON membership.project_id = project.id
WHERE chosen.id = %(assignment)s AND chosen.annotator_id = %(user)s
  AND membership.user_id = %(user)s AND NOT membership.is_paused
"""


def read(row: Row, project: Project | None = None) -> Assignment:
    """The assignment of a row of NEXT, whose project is known, or of HELD."""
    values: Iterator[Any] = iter(row)
    assignment: Assignment = ASSIGNMENT.instance(values)
    assignment.was_touched = next(values)
    task = assignment.task = TASK.instance(values)
    task.prompt = PROMPT.instance(values)
    task.response_a, task.response_b = RESPONSE_A.instance(values), RESPONSE_B.instance(values)
    task.project = project or PROJECT.instance(values)
    return assignment
