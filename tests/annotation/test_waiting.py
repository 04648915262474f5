"""How much work waits is told at once, however much there is."""

import json
from typing import Any

import pytest
from django.db import connection

from annotation.models import Project, Task, User
from annotation.waiting import WAITING, waiting
from tests.annotation.conftest import make_tasks, text_of

# Many tasks in a moment: answers of one prompt, each to be rated.
MANY = """
WITH made AS (
    INSERT INTO annotation_response (prompt_id, text, source, content_hash, metadata, created_at)
    SELECT %(prompt)s, 'Answer', 's', 'many ' || n, '{}', now() FROM generate_series(1, %(num)s) n RETURNING id
)
INSERT INTO annotation_task (project_id, prompt_id, kind, response_a_id, overlap, priority, num_judged, num_leased,
                             is_withdrawn, control, candidate_ids, created_at)
SELECT %(project)s, %(prompt)s, 'rating', id, 1, 0, %(num_judged)s, 0, false, '', '{}', now() FROM made
"""


def make_many(project: Project, num: int, *, num_judged: int = 0) -> None:
    prompt = project.prompts.order_by("pk").first() or make_tasks(project, 1)[0].prompt
    values = {"prompt": prompt.pk, "project": project.pk, "num": num, "num_judged": num_judged}
    with connection.cursor() as cursor:
        cursor.execute(MANY.replace("'many '", f"'many {num_judged} '"), values)
        cursor.execute("ANALYZE annotation_task, annotation_response, annotation_assignment")


def test_it_is_counted_so_far_and_no_further(project: Project, alice: User) -> None:
    make_many(project, 999)
    assert waiting(alice, [project]) == {project.pk: (1000, False)}
    assert "1000 tasks wait" in text_of(alice, "/")
    Task.objects.create(
        project=project, prompt=project.prompts.get(), kind="rating", response_a=project.prompts.get().responses.first()
    )
    assert waiting(alice, [project]) == {project.pk: (1000, True)}
    assert "1,000+ tasks wait" in text_of(alice, "/")
    assert "1,000+ tasks wait for you." in text_of(alice, f"/projects/{project.slug}/")


def test_many_tasks_are_not_read(project: Project, alice: User) -> None:
    make_many(project, 40_000, num_judged=1)
    make_many(project, 40_000)

    def read(node: dict[str, Any]) -> float:
        """Rows of tasks that were looked at."""
        own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        here = own if node.get("Relation Name") == "annotation_task" else 0
        return float(here) + sum(map(read, node.get("Plans", [])))

    values = {"user": alice.pk, "projects": [project.pk], "now": "2026-01-01", "most": 1000, "repeat_after": 10}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {WAITING}", values)
        (plan,) = cursor.fetchone()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    assert 1001 <= read(plan[0]["Plan"]) < 1100
    assert "open_tasks_in_order" in json.dumps(plan)


@pytest.mark.parametrize("num_projects", [0, 3])
def test_one_query_however_many_projects(
    project: Project, alice: User, num_projects: int, django_assert_num_queries: Any
) -> None:
    projects = [project, *(Project.objects.create(name=f"{n}", slug=f"{n}") for n in range(num_projects))]
    with django_assert_num_queries(1):
        assert {found.num for found in waiting(alice, projects).values()} == {0}
