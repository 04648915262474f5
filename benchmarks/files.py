"""How quickly files come in and go out, and in how much memory.

    python -m benchmarks.files --lines 100000 --out docs/results.md

Runs in a database of its own under --var, which it starts and leaves behind. A line has a prompt of 50 words and two
answers of 110. Beside the rate stands the processor time a line costs, here and in the database's process: on a busy
machine that is what can be compared.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.database import database_seconds, own_database
from benchmarks.report import conditions, write

WORDS = [f"word{number}" for number in range(3000)]
Row = tuple[str, int, float, float, float, int]
"""What, how many, seconds, seconds of this process, of the database's, RSS in MB."""


def lines(kind: str, num: int) -> Iterator[bytes]:
    rng = random.Random(0)

    def text(length: int) -> str:
        return " ".join(rng.choices(WORDS, k=length))

    for _ in range(num):
        if kind == "pairs":
            yield orjson.dumps({"prompt": text(50), "chosen": text(110), "rejected": text(110)})
        else:
            yield orjson.dumps({"prompt": text(50), "responses": [text(110), text(110)]})


def measured(what: str, num: int, work: Callable[[], Any]) -> Row:
    wall, own, database = time.monotonic(), time.process_time(), database_seconds()
    work()
    row = (what, num, time.monotonic() - wall, time.process_time() - own, database_seconds() - database,
           resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)  # fmt: skip
    print(f"{what}: {num / row[2]:,.0f}/s, RSS {row[5]} MB", flush=True)
    return row


def leave(project: Any, format: Any, file_type: Any) -> None:
    from annotation import export  # noqa: PLC0415  after django.setup()

    found = export.at_one_moment(export.lines(project, format=format))
    for _piece in export.encoded(found, format=format, file_type=file_type):
        pass


def measure(folder: Path, num: int) -> list[Row]:
    from annotation import actions, intake  # noqa: PLC0415  after django.setup()

    rows, stamp = [], int(time.time())
    for kind, what in (("tasks", "tasks in (prompt, two answers, comparison)"), ("pairs", "judged pairs in")):
        project = actions.create_project(f"{kind} {stamp}", by=None)
        path = folder / f"{kind}.jsonl"
        with path.open("wb") as file:
            file.writelines(line + b"\n" for line in lines(kind, num))
        options = intake.Options(source=kind, create_tasks="comparison" if kind == "tasks" else "")
        with path.open("rb") as file:
            rows.append(measured(what, num, partial(intake.import_records, project, intake.read_jsonl(file), options)))
        path.unlink()
    for format in ("judgments", "preferences"):
        for file_type in ("jsonl", "csv", "parquet"):
            rows.append(measured(f"{format} out, {file_type}", num, partial(leave, project, format, file_type)))
    return rows


def table(rows: list[Row], command: str) -> str:
    rule = "| --- | --- | --- | --- | --- | --- |\n"
    text = (
        f"{conditions(command)}| what | lines | lines/s | µs a line, here | µs a line, database | RSS so far |\n{rule}"
    )
    for what, num, wall, own, database, memory in rows:
        costs = f"{own / num * 1e6:.0f} | {database / num * 1e6:.0f}"
        text += f"| {what} | {num:,} | {num / wall:,.0f} | {costs} | {memory} MB |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--var", type=Path, default=Path("var/bench-files"), help="where its database lies")
    parser.add_argument("--out", type=Path, help="a Markdown file whose part “files” is replaced")
    options = parser.parse_args()
    with own_database(options.var):
        found = table(measure(options.var, options.lines), f"python -m benchmarks.files --lines {options.lines}")
    if options.out:
        write(options.out, found, part="files", title="Files in and out")


if __name__ == "__main__":
    main()
