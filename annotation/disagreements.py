"""Which questions people disagree about, worst first: one statement over the judgments that count.

How far apart the farthest two are, as a share of what is possible: of a comparison the signed strengths, where not all
chose the same side; of a rating the criterion on which they are farthest apart, two steps at least; of a ranking the
answer whose places differ most. Questions with a verdict are left out.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection

from annotation.models import Project

APART = """
WITH said AS MATERIALIZED (
    SELECT judgment.id, judgment.task_id, task.kind,
        judgment.strength * CASE WHEN judgment.preferred_id = task.response_a_id THEN 1 ELSE -1 END AS signed
    FROM annotation_judgment judgment
    JOIN annotation_task task ON task.id = judgment.task_id
    WHERE task.project_id = %(project)s AND task.control = '' AND task.num_judged >= 2 AND judgment.is_current
        AND NOT EXISTS (SELECT FROM annotation_verdict verdict WHERE verdict.task_id = task.id)
), apart AS (
    SELECT task_id, (max(signed) - min(signed)) / 6.0 AS spread
    FROM said WHERE kind = 'comparison'
    GROUP BY task_id HAVING sign(max(signed)) <> sign(min(signed))
  UNION ALL
    SELECT task_id, max(spread) FROM (
        SELECT said.task_id, (max(rating.value) - min(rating.value)) / (criterion.scale_max - 1.0) AS spread
        FROM said
        JOIN annotation_rating rating ON rating.judgment_id = said.id
        JOIN annotation_criterion criterion ON criterion.id = rating.criterion_id
        WHERE said.kind = 'rating'
        GROUP BY said.task_id, criterion.id, criterion.scale_max HAVING max(rating.value) - min(rating.value) >= 2
    ) by_criterion GROUP BY task_id
  UNION ALL
    SELECT task_id, max(steps) / (count(*) - 1.0) FROM (
        SELECT said.task_id, max(place.rank) - min(place.rank) AS steps
        FROM said JOIN annotation_rank place ON place.judgment_id = said.id
        GROUP BY said.task_id, place.response_id
    ) by_answer GROUP BY task_id HAVING max(steps) > 0 AND count(*) > 1
)
SELECT task_id, spread::float, (SELECT count(*) FROM apart) FROM apart
ORDER BY spread DESC, task_id LIMIT 1 OFFSET %(before)s
"""


class Disagreement(NamedTuple):
    task_id: int
    spread: float
    """0 … 1."""
    place: int
    """From 1, the worst."""
    num: int
    """How many there are."""


def disagreement(project: Project, place: int = 1) -> Disagreement | None:
    """The one at that place, or the last one when there are fewer; None when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(APART, {"project": project.pk, "before": place - 1})
        if row := cursor.fetchone():
            return Disagreement(row[0], row[1], place, row[2])
    return disagreement(project, _last(project)) if place > 1 and _last(project) else None


def _last(project: Project) -> int:
    first = disagreement(project)
    return first.num if first else 0
