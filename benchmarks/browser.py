"""How long a person waits after Enter until the next pair is painted, in Chromium against the product's own server.

    python -m benchmarks.browser                     (about a minute on two CPU cores)
    python -m benchmarks.browser --labels 50 --out docs/results.md

One person labels by keyboard: reads for --reading milliseconds, presses a number, presses Enter. In the page, the clock
starts with the key's own time stamp and stops right after the frame in which the next task was drawn: the first task
queued behind requestAnimationFrame. Beside it stands how long the server took to answer, which nobody waits for as long
as the next task is in the page. Afterwards the database is read: every label is stored, none twice.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import django
from django.conf import settings

from benchmarks.annotation.product import environment
from benchmarks.report import Report, write

if TYPE_CHECKING:
    from annotation.models import Project

WATCH = """
window.waits = []; window.answers = [];
let pressed = null;
document.addEventListener("keydown", (event) => { if (event.key === "Enter") pressed = event.timeStamp; }, true);
document.addEventListener("task:arrived", () => {
  const started = pressed, isThere = Boolean(document.querySelector("#task[data-assignment]"));
  if (started === null) return;
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      if (isThere) { window.waits.push(performance.now() - started); pressed = null; }
    };
    channel.port2.postMessage(0);
  });
});
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) if (each.name.endsWith("/judge/")) window.answers.push(each.duration);
}).observe({ type: "resource", buffered: true });
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=1_000, help="open at the start")
    parser.add_argument("--reading", type=int, default=400, help="milliseconds between a task and its key")
    parser.add_argument("--out", type=Path, help="Markdown file whose part on the browser is replaced")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    # Not below a home folder: PostgreSQL's unprivileged account must be able to enter it.
    var = Path(tempfile.mkdtemp(prefix="plumbline-bench-"))
    var.chmod(0o755)
    os.environ |= environment(var) | {"DJANGO_ALLOW_ASYNC_UNSAFE": "true"}
    os.environ.pop("DATABASE_URL", None)
    django.setup()
    report = Report()
    try:
        measure(report, var, asked)
    finally:
        settings.POSTGRES.stop()
        shutil.rmtree(var)
    table = report.markdown(command=" ".join(["python -m benchmarks.browser", *sys.argv[1:]]))
    sys.stdout.write("\n" + table)
    if asked.out:
        write(asked.out, table, part="browser", title="From Enter to the next pair")


def measure(report: Report, var: Path, asked: argparse.Namespace) -> None:
    # Their models need Django set up.
    from annotation.models import Judgment  # noqa: PLC0415
    from benchmarks.annotation import product, seeding  # noqa: PLC0415
    from config.prepare import prepare  # noqa: PLC0415
    from tests.browser import driving  # noqa: PLC0415

    settings.POSTGRES.start()
    settings.POSTGRES.create_database("plumbline")
    prepare()
    (person,) = seeding.make_people(1)
    project = seeding.make_project("Browser", people=[person], overlap=1)
    make_tasks(project, asked.tasks)
    database = settings.POSTGRES.pid()
    assert database
    with product.plumbline(var, database=database) as target, driving.chromium() as browser, report.timed("labelling"):
        page = browser.new_context(base_url=f"http://{target.host}:{target.port}").new_page()
        page.goto("/login/")
        page.locator("[name=username], [name=login]").first.fill(person.username)
        page.locator("[name=password]").fill(seeding.PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda address: "/login" not in address)
        page.add_init_script(WATCH)
        page.goto(f"/projects/{project.slug}/annotate/")
        for number in range(asked.labels):
            page.wait_for_selector("#judgment")
            page.wait_for_timeout(asked.reading)
            page.keyboard.press(str(1 + number % 7))
            page.keyboard.press("Enter")
            page.wait_for_function("(count) => window.waits.length >= count", arg=number + 1)
        driving.wait_until_sent(page)
        waits, answers = (sorted(page.evaluate(f"window.{name}")) for name in ("waits", "answers"))
    counted = Judgment.objects.counted().filter(annotator=person)
    assert counted.count() == asked.labels == counted.values("task").distinct().count(), "a label was lost or doubled"
    for name, times in (("Enter to the next pair painted", waits), ("the server's answer, meanwhile", answers)):
        p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
        report.add(name, f"median {statistics.median(times):.0f} ms, p95 {p95:.0f} ms, of {len(times)}")
    report.add("labels stored, each once", str(asked.labels))
    report.add("load of the machine (1 min, other work included)", f"{os.getloadavg()[0]:.1f}")


def make_tasks(project: Project, num: int) -> None:
    """Comparisons of two answers of usual length."""
    from annotation.models import Prompt, Response, Task  # noqa: PLC0415
    from benchmarks.annotation import seeding  # noqa: PLC0415

    asked, said = seeding.questions(), seeding.answers()
    prompts = Prompt.objects.bulk_create(
        Prompt(project=project, content_hash=str(n), messages=[{"role": "user", "content": asked[n % len(asked)]}])
        for n in range(num)
    )
    pairs = [
        Response.objects.bulk_create(
            Response(prompt=prompt, text=said[(2 * n + side) % len(said)], source=f"{side}", content_hash=f"{side}")
            for n, prompt in enumerate(prompts)
        )
        for side in range(2)
    ]
    Task.objects.bulk_create(
        Task(project=project, prompt=prompt, kind=Task.Kind.COMPARISON, response_a=a, response_b=b)
        for prompt, a, b in zip(prompts, *pairs, strict=True)
    )


if __name__ == "__main__":
    main()
