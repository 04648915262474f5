"""What the database says after a run: no rule broken, nothing lost, nothing invented."""

from __future__ import annotations

from django.db import connection

from annotation.models import Judgment, Project

BROKEN = {
    "more judgments than the overlap": """
        SELECT count(*) FROM (
            SELECT task.id FROM annotation_task task JOIN annotation_judgment judgment ON judgment.task_id = task.id
            WHERE task.project_id = %s AND judgment.is_current GROUP BY task.id, task.overlap
            HAVING count(*) > task.overlap) over""",
    "judged twice by one person": """
        SELECT count(*) FROM (
            SELECT task.id FROM annotation_task task JOIN annotation_judgment judgment ON judgment.task_id = task.id
            WHERE task.project_id = %s AND judgment.is_current GROUP BY task.id, judgment.annotator_id
            HAVING count(*) > 1) twice""",
    "counters that differ from the rows": """
        SELECT count(*) FROM annotation_task task
        LEFT JOIN (SELECT task_id, count(*) AS num FROM annotation_judgment WHERE is_current GROUP BY task_id) judged
            ON judged.task_id = task.id
        LEFT JOIN (SELECT task_id, count(*) AS num FROM annotation_assignment WHERE status = 'leased' GROUP BY task_id)
            lent ON lent.task_id = task.id
        WHERE task.project_id = %s
          AND (task.num_judged <> coalesce(judged.num, 0) OR task.num_leased <> coalesce(lent.num, 0))""",
}


def num_stored(project: Project) -> int:
    return Judgment.objects.in_project(project).count()


def check(project: Project, *, num_acknowledged: int, num_before: int) -> str:
    """A sentence; raises SystemExit when anything is not as it must be."""
    num = num_stored(project) - num_before
    wrong = {"judgments stored and not acknowledged, or the other way round": num - num_acknowledged}
    with connection.cursor() as cursor:
        for what, statement in BROKEN.items():
            cursor.execute(statement, [project.pk])
            wrong[what] = cursor.fetchone()[0]
    if any(wrong.values()):
        raise SystemExit(f"Wrong in the database after the run: { {what: num for what, num in wrong.items() if num} }")
    return f"{num} stored = {num_acknowledged} acknowledged"
