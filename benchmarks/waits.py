"""How long a person waits for pages and acts of a large project: from the request to the last byte of its answer.

    python -m benchmarks.waits --tasks 100000 --out docs/results.md

A project of so many comparisons and as many judgments: half of its tasks are judged by two people, one of whom did half
of the work. The requests go through Django's whole stack in this process, in the order of the table: those that change
much come last. Its database lies under --var; each call fills a new project. Beside the time on the wall stands the
processor time here and in the database's process: on a busy machine that is what can be compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.database import database_seconds, own_database
from benchmarks.report import Spent, spent_table, write

NUM_PEOPLE = 20
LEND = """
INSERT INTO annotation_assignment (task_id, annotator_id, status, is_swapped, "order", leased_at, expires_at,
                                   skip_reason, skip_note)
SELECT task.id, (%(people)s::bigint[])[place], 'judged', false, '{}', now(), now(), '', ''
FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM annotation_task WHERE project_id = %(project)s) task,
     LATERAL (VALUES (1), (2 + number %% (%(num_people)s - 1))) AS chosen (place)
WHERE number <= %(num)s / 2
"""
JUDGE = """
INSERT INTO annotation_judgment (task_id, annotator_id, assignment_id, is_current, submission_key, preferred_id,
                                 strength, both_bad, flags, rationale, reasons, active_seconds, created_at)
SELECT task.id, lent.annotator_id, lent.id, true, gen_random_uuid(),
       CASE WHEN (task.id + lent.annotator_id) %% 3 = 0 THEN task.response_a_id ELSE task.response_b_id END,
       1 + task.id %% 3, false, '{}', 'It answers what was asked.', '{}', 20,
       now() - (task.id %% 60) * interval '1 day'
FROM annotation_assignment lent JOIN annotation_task task ON task.id = lent.task_id
WHERE task.project_id = %(project)s
"""
COUNT = """
UPDATE annotation_task SET num_judged = 2
WHERE project_id = %(project)s AND EXISTS (SELECT FROM annotation_judgment WHERE task_id = annotation_task.id)
"""
WRITE = """
INSERT INTO training_generation (response_id, version_id, run_id, settings, reward, logprob, num_tokens, has_ended,
                                 created_at)
SELECT response.id, %(version)s, %(run)s, '{"temperature": 1.0, "max_response_tokens": 256, "seed": 0}',
       sin(response.id), -90, 110, true, now()
FROM annotation_response response JOIN annotation_prompt prompt ON prompt.id = response.prompt_id
WHERE prompt.project_id = %(project)s AND response.source = %(source)s
"""


def fill(num: int) -> tuple[Any, Any, list[Any]]:
    """An admin of the installation, a project of so many tasks and judgments, and its people: who did half first."""
    from django.db import connection, transaction  # noqa: PLC0415  after django.setup()

    from annotation import actions  # noqa: PLC0415
    from annotation.models import Role, User  # noqa: PLC0415
    from benchmarks.annotation import seeding  # noqa: PLC0415

    stamp = int(time.time())
    admin = User.objects.create_superuser(f"admin-{stamp}", password=seeding.PASSWORD)
    people = User.objects.bulk_create(User(username=f"annotator-{stamp}-{each}") for each in range(NUM_PEOPLE))
    project = seeding.make_project(f"Waits {stamp}", people=people, overlap=3)
    actions.add_member(project, user=admin, role=Role.ADMIN)
    seeding.make_tasks(project, num, overlap=3)
    values = {"project": project.pk, "people": [each.pk for each in people], "num_people": NUM_PEOPLE, "num": num}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in (LEND, JUDGE, COUNT):
            cursor.execute(statement, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) annotation_task, annotation_assignment, annotation_judgment")
    return admin, project, people


class Visits:
    """Requests in the admin's name, and what each of them took."""

    def __init__(self, admin: Any) -> None:
        from django.test import Client  # noqa: PLC0415  after django.setup()

        self.browser = Client(SERVER_NAME="localhost")
        self.browser.force_login(admin)
        self.rows: list[Spent] = []

    def get(self, what: str, path: str, /) -> None:
        self._timed(what, lambda: self.browser.get(path))

    def post(self, what: str, path: str, /, **values: Any) -> None:
        self._timed(what, lambda: self.browser.post(path, values))

    def _timed(self, what: str, ask: Any) -> None:
        wall, own, database = time.monotonic(), time.process_time(), database_seconds()
        answer = ask()
        size = sum(map(len, answer)) if answer.streaming else len(answer.content)
        row = (what, time.monotonic() - wall, time.process_time() - own, database_seconds() - database)
        sys.stderr.write(f"{what}: {answer.status_code}, {size:,} bytes, {row[1]:.2f} s {row[2]:.2f} {row[3]:.2f}\n")
        assert answer.status_code in (200, 302), f"{what}: {answer.status_code}: {answer.content[:2000]!r}"
        self.rows.append(row)


def measure(num: int) -> list[Spent]:
    admin, project, people = fill(num)
    visits = Visits(admin)
    here = f"/projects/{project.slug}"
    visits.browser.get(f"{here}/")  # compiles templates
    look(visits, here)
    take_out(visits, here)
    change(visits, here, project, people)
    return visits.rows


def look(visits: Visits, here: str) -> None:
    pages = {
        "home": "/", "overview": f"{here}/", "overview: people at work": f"{here}/quality/",
        "agreement": f"{here}/agreement/", "agreement, CSV": f"{here}/agreement/csv/",
        "consensus": f"{here}/agreement/consensus/", "adjudicate": f"{here}/adjudicate/",
        "decided": f"{here}/adjudicate/decided/", "leaderboard": f"{here}/leaderboard/",
        "leaderboard, CSV": f"{here}/leaderboard/csv/", "people": f"{here}/people/",
        "people, CSV": f"{here}/people/csv/", "tasks": f"{here}/tasks/",
        "tasks, searched": f"{here}/tasks/?search=refund",
        "tasks, most judged, last page": f"{here}/tasks/?order=-num_judged&page=9999",
        "gold tasks": f"{here}/gold/", "freeze": f"{here}/freeze/", "dashboard": "/dashboard/",
        "new run": "/runs/new/", "new round": f"{here}/chat/", "audit log": f"{here}/audit/",
        "settings": f"{here}/settings/",
    }  # fmt: skip
    for what, path in pages.items():
        visits.get(what, path)


def take_out(visits: Visits, here: str) -> None:
    """Exports of every format, as JSONL; one also as the other files there are."""
    from annotation.export import FORMATS  # noqa: PLC0415  after django.setup()

    for name in FORMATS:
        visits.get(f"export {name}: preview", f"{here}/export/?format={name}")
        visits.get(f"export {name}: file", f"{here}/export/file/?format={name}")
    for file_type in ("csv", "parquet"):
        visits.get(f"export preferences: {file_type}", f"{here}/export/file/?format=preferences&file_type={file_type}")


def change(visits: Visits, here: str, project: Any, people: list[Any]) -> None:
    """What changes the whole project, a person's work, or a person."""
    from benchmarks.annotation.seeding import PASSWORD  # noqa: PLC0415  after django.setup()

    a, b = versions(project)
    both = f"a={a.pk}&b={b.pk}"
    visits.get("model diff", f"/models/compare/?{both}")
    visits.post("model diff: 2,000 pairs to people", "/models/compare/send/", a=a.pk, b=b.pk, num=2000)
    visits.get("new round", f"/models/{b.pk}/round/?opponent={a.pk}")
    visits.post("new round: half of the pairs", f"/models/{b.pk}/round/?opponent={a.pk}", opponent=a.pk,
                num=50_000, random_percent=50, seed=0, overlap=1, priority=0)  # fmt: skip
    visits.post("freeze", f"{here}/freeze/", validation_share=0.1, test_share=0.1, seed=0, include_simulated="on")
    project.criteria.create(name="Helpful", key="helpful", scale_max=5)
    visits.get("new tasks: preview", f"{here}/tasks/new/?what=ratings&overlap=1&priority=0")
    visits.post("new tasks: a rating of each answer", f"{here}/tasks/new/", what="ratings", overlap=1, priority=0)
    for what, changed in (("set the priority", "priority"), ("withdraw", "withdraw"), ("bring back", "restore")):
        visits.post(f"all tasks: {what}", f"{here}/tasks/change/", change=changed, value=3, all="on")
    visits.post("ask again a tenth", f"{here}/gold/repeats/", percent=10)
    person = project.memberships.get(user=people[0])
    visits.get("a person of half the labels", f"{here}/people/{person.pk}/")
    visits.post("their labels out of the count", f"{here}/people/{person.pk}/void/", reason="Tried.", is_sure="True")
    visits.post("and back", f"{here}/voidings/{project.voidings.get().pk}/restore/")
    visits.post("their data as a file", f"/accounts/{people[0].pk}/export/")
    visits.post("their account erased, with texts", f"/accounts/{people[0].pk}/erase/", username=people[0].username,
                password=PASSWORD, with_texts="on")  # fmt: skip


def versions(project: Any) -> list[Any]:
    """Two, of which each has written one answer to every prompt."""
    from django.db import connection  # noqa: PLC0415  after django.setup()

    from training.models import ModelVersion, Run  # noqa: PLC0415

    made = []
    for name, kind in (("model-1", "base"), ("model-2", "policy")):
        made.append(ModelVersion.objects.create(project=project, name=name, kind=kind, location="/nowhere"))
        run = Run.objects.create(project=project, kind="generate", status="succeeded", model=made[-1])
        with connection.cursor() as cursor:
            cursor.execute(WRITE, {"version": made[-1].pk, "run": run.pk, "source": name, "project": project.pk})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) training_generation")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--var", type=Path, default=Path("var/bench-waits"), help="where its database lies")
    parser.add_argument("--out", type=Path, help="a Markdown file whose part “waits” is replaced")
    options = parser.parse_args()
    with own_database(options.var):
        command = f"python -m benchmarks.waits --tasks {options.tasks}"
        found = spent_table(f"{options.tasks:,} tasks, as many judgments", measure(options.tasks), command)
    print(found)
    if options.out:
        write(options.out, found, part="waits", title="Waiting in a large project")


if __name__ == "__main__":
    main()
