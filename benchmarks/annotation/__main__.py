"""Labelling under load, measured: how long people wait for the next task, labels a second, and what each costs.

    python -m benchmarks.annotation                  (or: make bench)       about half an hour on two CPU cores
    python -m benchmarks.annotation --tasks 1000 --overlaps 1 --annotators 32 --seconds 10

People without thinking time, each with a login, a connection and a task page of their own, label for --seconds after
--warm-up; then the database is read: every judgment that was acknowledged is stored, no task has more than its overlap,
nobody judged one twice. Server, database (with fsync) and generator share the machine. Beside it the ceiling: the same
server answering one SELECT and one INSERT a label by views that do nothing else.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings

from benchmarks.annotation.product import environment
from benchmarks.report import write


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="open at the start")
    parser.add_argument("--overlaps", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--annotators", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=1, help="so often each is measured, in turns")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=5)
    parser.add_argument("--out", type=Path, help="Markdown file whose part on labelling is replaced")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    # Not below a home folder: PostgreSQL's unprivileged account must be able to enter it.
    var = Path(tempfile.mkdtemp(prefix="plumbline-bench-"))
    var.chmod(0o755)
    os.environ |= environment(var)
    os.environ.pop("DATABASE_URL", None)
    django.setup()
    from benchmarks.annotation.labelling import measure  # noqa: PLC0415 - its models need Django set up

    try:
        report = measure(
            var, sizes=asked.tasks, overlaps=asked.overlaps, crowds=asked.annotators, rounds=asked.rounds,
            seconds=asked.seconds, warm_up=asked.warm_up,
        )  # fmt: skip
    finally:
        settings.POSTGRES.stop()
        shutil.rmtree(var)
    table = report.markdown(command=" ".join(["python -m benchmarks.annotation", *sys.argv[1:]]))
    sys.stdout.write("\n" + table)
    if asked.out:
        write(asked.out, table, part="labelling", title="Labelling under load")


if __name__ == "__main__":
    main()
