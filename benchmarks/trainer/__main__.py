"""What a step of our own trainer costs as it grows, and whether its memory does: no peer needed.

    python -m benchmarks.trainer                  (or: make bench)       about ten minutes on two CPU cores
    python -m benchmarks.trainer --size tiny --steps 3 --many-steps 200
    python -m benchmarks.trainer --parts many     the many small steps alone

Rows (16 to 256 rollouts) and tokens (answers of 16 to 256), each over a factor of 16: the slope of log(processor
seconds a step) over log(rows or tokens) is 1 where the cost grows in proportion, and less where a part of it is there
anyway. Then many steps of a very small batch in one process: the processor time of the first n steps over n, over a
factor of 16 again, and what its memory grows by after the first tenth.
"""

import argparse
import datetime
import itertools
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from scipy import stats

from benchmarks.report import write
from benchmarks.trainer import runs
from benchmarks.trainer import world as worlds

FACTORS = (1, 2, 4, 8, 16)
PARTS = ("rows", "tokens", "many")
SMALLEST_ROWS, SMALLEST_TOKENS = 16, 16
ONE_PASS = {"num_minibatches": 1, "ppo_epochs": 1}
TINY_BATCH = {**ONE_PASS, "rollout_batch_size": 2, "max_response_tokens": 4, "num_threads": 1}


class Slope(NamedTuple):
    """Of a straight line through points, by least squares."""

    value: float
    error: float
    """Half the width of its 95 % interval."""

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.value - self.error:.2f} to {self.value + self.error:.2f})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(worlds.SIZES), default="tiny")
    parser.add_argument("--steps", type=int, default=4, help="a run; the first is not counted")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--many-steps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="Markdown file whose part on the trainer's growth is replaced")
    return parser.parse_args()


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """x, y: of at least three points."""
    found = stats.linregress(x, y)
    return Slope(float(found.slope), float(stats.t.ppf(0.975, len(x) - 2) * found.stderr))


def exponent(x: Sequence[float], y: Sequence[float]) -> Slope:
    return slope([math.log(value) for value in x], [math.log(value) for value in y])


def growth(name: str, world: worlds.World, scratch: Path, *, steps: int) -> tuple[list[str], Slope]:
    """One line a factor: what a step costs, and what a thousand of its response tokens cost; and the exponent."""
    lines, grown, costs = [], [], []
    for factor in FACTORS:
        rows, tokens = (SMALLEST_ROWS * factor, 32) if name == "rows" else (32, SMALLEST_TOKENS * factor)
        settings: dict[str, Any] = {**ONE_PASS, "rollout_batch_size": rows, "max_response_tokens": tokens}
        run = runs.ours(scratch / "run", world, "policy", settings, steps=steps)
        grown += [float(factor)] * len(run.cpu_seconds)
        costs += run.cpu_seconds
        cost = run.cpu_second()
        a_thousand = 1e6 * cost / (rows * tokens)
        cells = [name, f"{rows} × {tokens}", f"{run.second():.2f}", f"{cost:.2f}", f"{a_thousand:.0f}"]
        lines.append("| " + " | ".join([*cells, f"{run.grown_mb:.0f}"]) + " |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    return lines, exponent(grown, costs)


def many(world: worlds.World, scratch: Path, *, steps: int) -> str:
    """Memory and pace over many small steps, in a few sentences."""
    run = runs.ours(scratch / "run", world, "policy", TINY_BATCH, steps=steps)
    tenth = len(run.memory_mb) // 10
    late = range(tenth, len(run.memory_mb))
    drift = slope([step / 1000 for step in late], run.memory_mb[tenth:])
    total = list(itertools.accumulate(run.cpu_seconds))
    counts = [len(total) // (16 // factor) for factor in FACTORS]
    of_steps = exponent(counts, [total[count - 1] for count in counts])
    first, last = (1000 * statistics.median(part) for part in (run.cpu_seconds[:tenth], run.cpu_seconds[-tenth:]))
    return (
        f"{steps:,} steps of 2 answers of up to 4 tokens by a `nano` model in one process and thread: "
        f"{run.memory_mb[tenth]:.1f} MB resident after a tenth of them, {run.memory_mb[-1]:.1f} MB at the end; between "
        f"them, by a straight line, {drift} MB a thousand steps. Processor time over steps: exponent {of_steps}; a "
        f"step took {first:.1f} CPU ms in the first tenth, {last:.1f} in the last."
    )


HEAD = (
    "| what grows | rollouts × tokens | s a step | CPU s a step | CPU ms a 1,000 response tokens | MB |\n"
    + "| --- " * 6
    + "|"
)


def growing(asked: argparse.Namespace, scratch: Path) -> str:
    """The table of what grows, and its exponents."""
    lines, exponents = [HEAD], []
    for name in (part for part in ("rows", "tokens") if part in asked.parts):
        world = worlds.make(scratch / name, asked.size, "full")
        of_name, exponent_of = growth(name, world, scratch, steps=asked.steps)
        lines += of_name
        exponents.append(f"of {name} {exponent_of}")
    about = (
        f"`{asked.size}` model, prompts of {worlds.PROMPT_TOKENS} tokens, one pass over each batch, {runs.THREADS} "
        "threads. MB: what the process grew by.\n\n"
    )
    return about + "\n".join(lines) + f"\n\nExponents of processor time, 1 is in proportion: {', '.join(exponents)}.\n"


def report(asked: argparse.Namespace, text: str, *, part: str, title: str) -> None:
    """Print it under what was run, when and where, and put it into the file that was named."""
    command = " ".join(["python -m benchmarks.trainer", *sys.argv[1:]])
    head = (
        f"`{command}`, {datetime.date.today()}, torch {torch.__version__}, {os.cpu_count()} CPU cores, load "
        f"{os.getloadavg()[0]:.1f} at the end. All intervals are of 95 %.\n\n"
    )
    sys.stdout.write("\n" + head + text)
    if asked.out:
        write(asked.out, head + text, part=part, title=title)


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        scratch = Path(folder)
        if {"rows", "tokens"} & set(asked.parts):
            report(asked, growing(asked, scratch), part="trainer-growth", title="A training step as it grows")
        if "many" in asked.parts:
            small = worlds.make(scratch / "nano", "nano", "full", prompt_tokens=4)
            text = many(small, scratch, steps=asked.many_steps) + "\n"
            report(asked, text, part="trainer-many-steps", title="Many training steps in one process")


if __name__ == "__main__":
    main()
