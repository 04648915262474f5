"""The runs of the benchmark, one after the other on one product, and their table."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import statistics
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from django.conf import settings
from django.db import connection

from annotation.models import Project, User
from benchmarks.annotation import product, seeding, truth
from benchmarks.annotation.ceiling import TABLE
from benchmarks.annotation.load import Cookies, Run, Target, log_in, quantile, run
from config.prepare import prepare

REFILLED_BELOW = 20_000
"""Projects smaller than this are kept full while people label: a thousand tasks would last three seconds."""

NAME_FIELD = "username"
"""What the login form calls the name."""

LEGEND = """\
One request a label: the answer to a submit brings the task after the one at hand, so the wait is both that of the
submit and that of the next task. CPU: web + database + generator. Others: cores that the machine spent on something
else meanwhile. Ceiling: a label is two requests, one SELECT and one INSERT by views that do nothing else, on the same
server behind the same middleware; its share is labels/s over those labels/s, measured just before for 15 s or less."""


@dataclass
class Report:
    server_version: str
    rows: list[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
        sys.stdout.write(self.rows[-1] + "\n")
        sys.stdout.flush()

    def markdown(self, *, command: str) -> str:
        libraries = ", ".join(f"{name} {version(name)}" for name in ("Django", "gunicorn", "psycopg"))
        return (
            "\n".join(
                [
                    f"`{command}`, {datetime.date.today()}, Python {platform.python_version()}, {libraries}, "
                    f"PostgreSQL {self.server_version}, {os.cpu_count()} CPU cores for server, database and generator.",
                    "",
                    *self.rows,
                    "",
                    LEGEND,
                ]
            )
            + "\n"
        )


def server_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])


def measure(
    var: Path, *, sizes: list[int], overlaps: list[int], crowds: list[int], rounds: int, seconds: float,
    warm_up: float,
) -> Report:  # fmt: skip
    database = database_of(var)
    report = Report(server_version())
    report.add("tasks", "overlap", "annotators", "labels/s", "wait p50 ms", "p99 ms", "p99/p50", "CPU ms a label",
               "of the ceiling", "others", "database")  # fmt: skip
    report.add(*["---"] * 11)
    people = seeding.make_people(max(crowds))
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    with product.plumbline(var, database=database) as target, product.ceiling(var, database=database) as bare:
        cookies = people_of(target, people)
        # Everything is made first, and each round then measures all of it: what a size costs stands beside what another
        # did in the same minutes.
        projects = {
            (num_tasks, overlap): seeded(num_tasks, overlap=overlap, people=people)
            for num_tasks in sizes
            for overlap in overlaps
        }
        for _round in range(rounds):
            for (num_tasks, overlap), project in projects.items():
                for num in crowds:
                    span = {"cookies": cookies[:num], "seconds": seconds, "warm_up": warm_up}
                    most = run(bare, **span | {"seconds": min(seconds, 15)}).labels_per_second  # type: ignore[arg-type]
                    done, found = labelled(target, project, num_tasks=num_tasks, overlap=overlap, **span)  # type: ignore[arg-type]
                    add(report, done, found=found, num_tasks=num_tasks, overlap=overlap, ceiling=most)
    return report


def database_of(var: Path) -> int:
    """The embedded database, started and with its tables; its process id."""
    settings.POSTGRES.start()
    settings.POSTGRES.create_database("plumbline")
    prepare()
    database = settings.POSTGRES.pid()
    assert database
    return database


def people_of(target: Target, people: list[User]) -> list[Cookies]:
    names = [person.username for person in people]
    return log_in(target, path="/login/", names=names, password=seeding.PASSWORD, name_field=NAME_FIELD)


def seeded(num_tasks: int, *, overlap: int, people: list[User]) -> Project:
    project = seeding.make_project(f"Tasks {num_tasks} overlap {overlap}", people=people, overlap=overlap)
    seeding.make_tasks(project, num_tasks, overlap=overlap)
    return project


def labelled(
    target: Target, project: Project, *, num_tasks: int, overlap: int, cookies: list[Cookies], seconds: float,
    warm_up: float,
) -> tuple[Run, str]:  # fmt: skip
    before = truth.num_stored(project)
    keeping = kept_full(project, num_tasks, overlap=overlap, num_people=len(cookies))
    with keeping if num_tasks < REFILLED_BELOW else contextlib.nullcontext():
        done = run(target, cookies=cookies, seconds=seconds, warm_up=warm_up, project=project.slug)
    if done.problems:
        raise SystemExit("Requests failed: " + "; ".join(done.problems))
    return done, truth.check(project, num_acknowledged=done.num_acknowledged, num_before=before)


@contextlib.contextmanager
def kept_full(project: Project, num_tasks: int, *, overlap: int, num_people: int) -> Iterator[None]:
    """New tasks come as old ones are done, so that about so many stay open; one that all the people have judged is done
    for them, whatever the overlap."""
    is_over = threading.Event()

    def refill() -> None:
        while not is_over.wait(0.3):
            num_open = project.tasks.open().filter(num_judged__lt=min(overlap, num_people)).count()
            if num_open < 0.7 * num_tasks:
                seeding.make_tasks(project, num_tasks - num_open, overlap=overlap)
        connection.close()

    thread = threading.Thread(target=refill)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def add(report: Report, done: Run, *, found: str, num_tasks: int, overlap: int, ceiling: float) -> None:
    median, slowest = statistics.median(done.waits), quantile(done.waits, 0.99)
    cpu = done.cpu_ms()
    report.add(
        f"{num_tasks:,}", overlap, done.num_annotators, f"{done.labels_per_second:.0f}", f"{median:.1f}",
        f"{slowest:.1f}", f"{slowest / median:.1f}", f"{sum(cpu):.1f} = " + " + ".join(f"{part:.1f}" for part in cpu),
        f"{done.labels_per_second / ceiling:.0%} of {ceiling:.0f}", f"{done.usage.others_cores:.2f}", found,
    )  # fmt: skip
