"""How far a person is in a project, in one statement: what every answer to a judgment tells them."""

from __future__ import annotations

from typing import NamedTuple

from annotation.days import start_of_day
from annotation.models import Project, User
from annotation.statements import prepared

STANDING = """
SELECT (
    SELECT count(*) FROM annotation_judgment said
    WHERE said.annotator_id = %(user)s AND said.created_at >= %(midnight)s AND said.is_current
      -- looked up task by task: as a join, the planner may read all the tasks before
      AND (SELECT task.project_id FROM annotation_task task WHERE task.id = said.task_id) = %(project)s
), coalesce((
    SELECT seen_guidelines_id FROM annotation_membership WHERE user_id = %(user)s AND project_id = %(project)s
), (
    SELECT said.guidelines_id FROM annotation_judgment said JOIN annotation_task task ON task.id = said.task_id
    WHERE said.annotator_id = %(user)s AND said.is_current AND task.project_id = %(project)s
    ORDER BY said.created_at DESC, said.id DESC LIMIT 1
)), (SELECT id FROM annotation_guidelines WHERE project_id = %(project)s ORDER BY version DESC LIMIT 1)
"""


class Standing(NamedTuple):
    num_today: int
    """Judgments that count, since midnight where the server is."""
    seen_guidelines: int | None
    """The version they have read, or judged under last (id)."""
    guidelines: int | None
    """The current version (id)."""


def standing_of(user: User, project: Project) -> Standing:
    rows = prepared(STANDING, {"user": user.pk, "project": project.pk, "midnight": start_of_day()})
    return Standing(*rows[0])
