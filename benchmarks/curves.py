"""How quickly a run's page is there with 20 curves of 100,000 points each, and what each look for new points costs.

    python -m benchmarks.curves --steps 100000 --out docs/results.md      (two minutes; needs a Chromium)

A policy run is filled as the worker fills it: a row a step, and their summaries. Then its page is opened by the
product's own web server in Chromium, and the requests that the page sends are asked of Django's whole stack in this
process: the page, all points, and those of the last steps alone. Processor time stands beside the time on the wall,
because that is what can be compared on a busy machine. Its database lies under --var.
"""

from __future__ import annotations

import argparse
import datetime
import math
import random
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.annotation.product import environment, plumbline
from benchmarks.database import database_seconds, own_database
from benchmarks.report import conditions, write
from tests.browser import driving

VISITS = 5
NEW_STEPS = 20
"""What a fast run writes between two looks of a page."""
PASSWORD = "a-password-of-the-benchmark"
CONFIG = {"algorithm": "ppo", "length_penalty": 0.1, "score_of_heads": "lowest"}
"""With charts for parts of the reward and for the reward model's heads: more lines than most runs have."""
Row = tuple[str, str, str, str]

WATCH = """
const IN_SIGHT = (chart) => chart.getBoundingClientRect().top < innerHeight;
const charts = () => [...document.querySelectorAll(".chart:not([data-chart=watched])")];
const watch = (which, told) => {
  const found = charts().filter(which);
  const isDone = found.length && found.every((chart) => chart.dataset.drawn);
  if (!isDone) return requestAnimationFrame(() => watch(which, told));
  const channel = new MessageChannel();
  channel.port1.onmessage = () => { window[told] = performance.now(); };
  channel.port2.postMessage(0);
};
watch(IN_SIGHT, "inSightAt");
watch(() => true, "drawnAt");
"""
SEEN = {
    "first paint in Chromium": "() => performance.getEntriesByName('first-contentful-paint')[0].startTime",
    "charts in sight drawn with all points": "() => window.inSightAt",
    "every chart drawn with all points": "() => window.drawnAt",
}


def fill(num: int) -> tuple[Any, Any]:
    """An admin and a running run with `num` steps of every metric that its charts show."""
    from annotation import actions  # noqa: PLC0415  after django.setup()
    from annotation.models import Role, User  # noqa: PLC0415
    from training.models import Run  # noqa: PLC0415

    stamp = int(time.time())
    project = actions.create_project(f"Curves {stamp}", by=None)
    admin = User.objects.create_user(f"admin-{stamp}", password=PASSWORD)
    actions.add_member(project, user=admin, role=Role.ADMIN)
    now = datetime.datetime.now(datetime.UTC)
    run = Run.objects.create(
        project=project, kind="policy", status="running", config=CONFIG, total_steps=2 * num, step=num, started_at=now,
        heartbeat_at=now,
    )  # fmt: skip
    for first in range(0, num, 5000):
        add_steps(run, range(first, min(first + 5000, num)))
    return admin, run


def add_steps(run: Any, steps: range) -> None:
    """As training/follow.py keeps what a trainer writes."""
    from training.models import Metric  # noqa: PLC0415  after django.setup()
    from training.points import keep_blocks  # noqa: PLC0415

    rng, metrics = random.Random(steps.start), metrics_of(run)
    Metric.objects.bulk_create(
        Metric(
            run=run, step=step, time=1_700_000_000.0 + step,
            values={name: math.sin(place + step / 9000) + rng.gauss(0, 0.2) for place, name in enumerate(metrics)},
        )
        for step in steps
    )  # fmt: skip
    keep_blocks(run, set(steps))


def metrics_of(run: Any) -> list[str]:
    from training import curves  # noqa: PLC0415  after django.setup()

    lines = {line.metric for chart in curves.of(run.kind, run.chart_settings) for line in chart.lines}
    return sorted(lines | {"kl/sequence"})


def ask(admin: Any, run: Any, num: int) -> list[Row]:
    """What the page's own requests cost the server."""
    from django.test import Client  # noqa: PLC0415  after django.setup()

    browser = Client(SERVER_NAME="127.0.0.1")
    browser.force_login(admin)
    there = f"/runs/{run.pk}/"
    page = visit(browser, "the page, without points", there)
    points = visit(browser, "all points, once", f"{there}curves.json?x=&smooth=&after=-1")
    add_steps(run, range(num, num + NEW_STEPS))
    last = num - 2  # what the page has seen: the newest step of a running run waits for the next
    new = visit(browser, f"the points of {NEW_STEPS} new steps", f"{there}curves.json?x=&smooth=&after={last}")
    found = browser.get(f"{there}curves.json?x=&smooth=&after={last}").json()["lines"]
    assert found and all(len(line["x"]) == NEW_STEPS for line in found.values()), "only the new points"
    return [page, points, new]


def visit(browser: Any, what: str, path: str) -> Row:
    seconds, answer = [], browser.get(path)  # the first one compiles the templates
    assert answer.status_code == 200, answer.status_code
    for _visit in range(VISITS):
        wall, own, database = time.monotonic(), time.process_time(), database_seconds()
        browser.get(path)
        seconds.append((time.monotonic() - wall, time.process_time() - own, database_seconds() - database))
    wall, own, database = (statistics.median(column) for column in zip(*seconds, strict=True))
    size = f"{len(answer.content) / 1000:,.0f} kB"
    return what, f"{1000 * wall:.0f} ms", f"{1000 * own:.0f} + {1000 * database:.0f} ms", size


def watch(admin: Any, run: Any, var: Path) -> list[Row]:
    """When the page is painted in Chromium, and when the charts in sight and all charts are drawn with all points."""
    from django.conf import settings  # noqa: PLC0415  after django.setup()

    times = []
    with plumbline(var, database=settings.POSTGRES.pid()) as target, driving.chromium() as browser:
        page = browser.new_context(base_url=f"http://{target.host}:{target.port}").new_page()
        page.goto("/login/")
        page.get_by_label("Username").fill(admin.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda address: "/login" not in address)
        page.add_init_script(WATCH)
        for _visit in range(VISITS + 1):
            page.goto(f"/runs/{run.pk}/")
            page.wait_for_function("() => window.drawnAt")
            times.append([page.evaluate(when) for when in SEEN.values()])
    first, *later = times
    middle = [statistics.median(column) for column in zip(*later, strict=True)]
    return [
        (what, f"{usual:.0f} ms", "", f"{empty:.0f} ms with an empty cache")
        for what, usual, empty in zip(SEEN, middle, first, strict=True)
    ]


def table(rows: list[Row], num: int, num_lines: int, command: str) -> str:
    body = f"| {num_lines} curves of {num:,} points | on the wall | processor, web + database | beside it |\n"
    body += "| --- | --- | --- | --- |\n"
    return conditions(command) + body + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--var", type=Path, default=Path("var/bench-curves"), help="where its database lies")
    parser.add_argument("--out", type=Path, help="a Markdown file whose part “curves” is replaced")
    options = parser.parse_args()
    options.var.mkdir(parents=True, exist_ok=True)
    var = options.var.resolve()
    with own_database(var, **environment(var), DJANGO_ALLOW_ASYNC_UNSAFE="true"):
        admin, run = fill(options.steps)
        rows = [*watch(admin, run, var), *ask(admin, run, options.steps)]
        command = f"python -m benchmarks.curves --steps {options.steps}"
        found = table(rows, options.steps, len(metrics_of(run)), command)
    print(found)
    if options.out:
        write(options.out, found, part="curves", title="The page of a long run")


if __name__ == "__main__":
    main()
