"""The same crowd at Label Studio and at Plumbline, in turns on one machine: what counts is the ratio.

    python -m benchmarks.annotation.peer                    (or: make bench-peers)      about an hour on two CPU cores
    python -m benchmarks.annotation.peer --tasks 1000 --annotators 32 --seconds 10 --pairs 2

The peer is installed into --folder (outside the repository) at the first run. A B A B …: each figure is the median of
its runs, each ratio the median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
from django.conf import settings

from benchmarks.annotation import label_studio
from benchmarks.annotation.load import Run, run
from benchmarks.annotation.product import environment, plumbline
from benchmarks.report import write


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--annotators", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--warm-up", type=float, default=3)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "plumbline-peer")
    parser.add_argument("--out", type=Path, help="Markdown file whose part on the peer is replaced")
    return parser.parse_args()


def texts() -> Iterator[dict[str, str]]:
    """The same questions and answers as ours."""
    from benchmarks.annotation import seeding  # noqa: PLC0415 - its models need Django set up

    questions, answers = seeding.questions(), seeding.answers()
    for number in itertools.count():
        yield {
            "prompt": f"Order {number}: {questions[number % len(questions)]}",
            "left": f"{answers[number % len(answers)]}{number}",
            "right": f"{answers[(7 * number + 3) % len(answers)]}{number}",
        }


def row(num_tasks: int, theirs: list[Run], ours: list[Run]) -> str:
    def rates(runs: list[Run]) -> float:
        return statistics.median(run.labels_per_second for run in runs)

    def times(runs: list[Run], which: str) -> str:
        return f"{statistics.median(statistics.median(getattr(run, which)) for run in runs):.0f}"

    ratio = statistics.median(
        our.labels_per_second / max(their.labels_per_second, 1e-9) for our, their in zip(ours, theirs, strict=True)
    )
    others = statistics.median(run.usage.others_cores for run in [*theirs, *ours])
    cells = [
        f"{num_tasks:,}", theirs[0].num_annotators, times(theirs, "next"), times(theirs, "submit"),
        f"{rates(theirs):.1f}", f"{sum(theirs[0].cpu_ms()):.0f}",
        times(ours, "waits"), f"{rates(ours):.0f}", f"{sum(ours[0].cpu_ms()):.1f}",
        f"**{ratio:.0f}**", f"{others:.2f}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


HEAD = (
    "| tasks | annotators | their next p50 ms | submit p50 ms | labels/s | CPU ms a label "
    "| our wait p50 ms | labels/s | CPU ms a label | ratio of labels/s | others |\n" + "| --- " * 11 + "|"
)


def main() -> None:
    asked = arguments()
    asked.folder.mkdir(parents=True, exist_ok=True)
    asked.folder.chmod(0o755)
    var = Path(tempfile.mkdtemp(prefix="plumbline-bench-"))
    var.chmod(0o755)
    os.environ |= environment(var)
    os.environ.pop("DATABASE_URL", None)
    django.setup()
    from benchmarks.annotation import labelling, seeding  # noqa: PLC0415

    studio = label_studio.LabelStudio(asked.folder.resolve())
    studio.install()
    rows = [HEAD]
    num_people = max(asked.annotators)
    try:
        studio.prepare(num_people=num_people)
        database = labelling.database_of(var)
        people = seeding.make_people(num_people)
        with studio.serving() as theirs, plumbline(var, database=database) as ours:
            their_cookies = label_studio.people(theirs, num_people)
            our_cookies = labelling.people_of(ours, people)
            for num_tasks in asked.tasks:
                their_project = label_studio.make_project(theirs, their_cookies[0], texts(), num_tasks=num_tasks)
                our_project = labelling.seeded(num_tasks, overlap=1, people=people)
                for num in asked.annotators:
                    span = {"seconds": asked.seconds, "warm_up": asked.warm_up}
                    pairs = []
                    for _ in range(asked.pairs):
                        their_run = run(theirs, cookies=their_cookies[:num], project=their_project, **span)
                        our_run, _found = labelling.labelled(
                            ours, our_project, num_tasks=num_tasks, overlap=1, cookies=our_cookies[:num], **span
                        )
                        pairs.append((their_run, our_run))
                    rows.append(row(num_tasks, [a for a, _b in pairs], [b for _a, b in pairs]))
                    sys.stdout.write(rows[-1] + "\n")
                    sys.stdout.flush()
                    for their, _our in pairs:
                        sys.stdout.writelines(f"  Label Studio: {problem}\n" for problem in their.problems[:3])
    finally:
        settings.POSTGRES.stop()
        studio.stop()
    command = " ".join(["python -m benchmarks.annotation.peer", *sys.argv[1:]])
    table = (
        f"`{command}`, {datetime.date.today()}, Label Studio {label_studio.VERSION}, {os.cpu_count()} CPU cores.\n\n"
    )
    table += "\n".join(rows) + "\n"
    sys.stdout.write("\n" + table)
    if asked.out:
        write(asked.out, table, part="peer", title="Labelling beside Label Studio")


if __name__ == "__main__":
    main()
