"""What a benchmark reports: rows of a Markdown table, seconds, and bootstrap intervals. Standard library only."""

import datetime
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path


@dataclass
class Report:
    """Rows of the table, in the order in which they were measured."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Markdown lines that follow the table."""

    def add(self, name: str, value: str) -> None:
        self.rows.append((name, value))
        sys.stdout.write(f"{name}: {value}\n")
        sys.stdout.flush()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started

    def markdown(self, *, command: str) -> str:
        libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "Django"))
        lines = [
            f"`{command}`, {datetime.date.today()}, Python {platform.python_version()}, {libraries}, "
            f"{os.cpu_count()} CPU cores.",
            "",
            "| what | figure |",
            "| --- | --- |",
            *(f"| {name} | {value} |" for name, value in self.rows),
            f"| seconds in all | {sum(self.seconds.values()):.0f} ("
            + ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items())
            + ") |",
        ]
        return "\n".join([*lines, "", *self.notes] if self.notes else lines) + "\n"


def interval(values: list[float], *, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """The 95 % percentile interval of the mean, by drawing the values anew with replacement."""
    rng = random.Random(seed)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(draws))
    return means[int(0.025 * draws)], means[int(0.975 * draws)]


def with_interval(values: list[float]) -> str:
    low, high = interval(values)
    return f"{statistics.fmean(values):.3f} ({low:.3f} to {high:.3f})"


def wins(ours: list[float], theirs: list[float]) -> float:
    """Share of all pairs (one of ours, one of theirs) that ours wins; a tie is half a win."""
    points = [1.0 if a > b else 0.5 if a == b else 0.0 for a in ours for b in theirs]
    return statistics.fmean(points)


def write(path: Path, table: str, *, part: str, title: str) -> None:
    """Replace what stands between the part's markers in the file, or add the part at the end."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    text = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    if begin not in text:
        text += f"\n## {title}\n\n{begin}\n{end}\n"
    before, rest = text.split(begin, 1)
    path.write_text(f"{before}{begin}\n{table}{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def conditions(command: str) -> str:
    """The line above a table: what was run, when, on what, and how busy it was."""
    load = os.getloadavg()[0]
    return f"`{command}`, {datetime.date.today()}, {os.cpu_count()} CPU cores, load {load:.1f} at the end.\n\n"


Spent = tuple[str, float, float, float]
"""What was done, and its seconds: on the wall, of processor by the web, of processor by the database."""


def spent_table(about: str, rows: list[Spent], command: str) -> str:
    head = f"{conditions(command)}| {about} | s on the wall | s of processor, web | s of processor, database |\n"
    body = "".join(f"| {what} | {' | '.join(f'{each:.2f}' for each in spent)} |\n" for what, *spent in rows)
    return f"{head}| --- | --- | --- | --- |\n{body}"
