"""What a step of our own trainer costs as it grows, and whether its memory does: no peer needed.

    python -m benchmarks.trainer                  (or: make bench)       about a quarter of an hour on two CPU cores
    python -m benchmarks.trainer --size tiny --steps 3 --many-steps 200

Rows (16 to 256 rollouts), tokens (answers of 16 to 256) and steps, each over a factor of 16; the cost of one unit is
what should stay the same. Then many steps of a very small batch in one process: its memory at the end beside that after
a tenth of them.
"""

import argparse
import datetime
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import write
from benchmarks.trainer import runs
from benchmarks.trainer import world as worlds

FACTORS = (1, 2, 4, 8, 16)
SMALLEST_ROWS, SMALLEST_TOKENS = 16, 16


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(worlds.SIZES), default="tiny")
    parser.add_argument("--steps", type=int, default=4, help="a run; the first is not counted")
    parser.add_argument("--many-steps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="Markdown file whose part on the trainer's growth is replaced")
    return parser.parse_args()


def growth(name: str, world: worlds.World, scratch: Path, *, steps: int) -> list[str]:
    """One line a factor: what a step costs, and what a thousand of its response tokens cost."""
    lines = []
    for factor in FACTORS:
        rows, tokens = (SMALLEST_ROWS * factor, 32) if name == "rows" else (32, SMALLEST_TOKENS * factor)
        settings: dict[str, Any] = {"rollout_batch_size": rows, "max_response_tokens": tokens, "num_minibatches": 1}
        run = runs.ours(scratch / "run", world, "policy", settings, steps=steps)
        cost = run.cpu_second()
        a_thousand = 1e6 * cost / (rows * tokens)
        cells = [name, f"{rows} × {tokens}", f"{run.second():.2f}", f"{cost:.2f}", f"{a_thousand:.0f}"]
        lines.append("| " + " | ".join([*cells, f"{run.grown_mb:.0f}"]) + " |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    return lines


def many(world: worlds.World, scratch: Path, *, steps: int) -> str:
    """Memory and pace over many small steps, in a sentence."""
    settings = {"rollout_batch_size": 2, "num_minibatches": 1, "ppo_epochs": 1, "max_response_tokens": 4}
    run = runs.ours(scratch / "run", world, "policy", settings, steps=steps)
    tenth = len(run.memory_mb) // 10
    early, late = run.memory_mb[tenth], run.memory_mb[-1]
    first, last = (1000 * statistics.median(part) for part in (run.cpu_seconds[:tenth], run.cpu_seconds[-tenth:]))
    return (
        f"{steps:,} steps of 2 answers in one process: {early:.1f} MB resident after a tenth of them, {late:.1f} MB at "
        f"the end; a step took {first:.1f} CPU ms in the first tenth, {last:.1f} in the last."
    )


def main() -> None:
    asked = arguments()
    head = (
        "| what grows | rollouts × tokens | s a step | CPU s a step | CPU ms a 1,000 response tokens | MB |\n"
        + "| --- " * 6
        + "|"
    )
    lines = [head]
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        scratch = Path(folder)
        world = worlds.make(scratch / "world", asked.size, "full")
        for name in ("rows", "tokens"):
            lines += growth(name, world, scratch, steps=asked.steps)
        small = worlds.make(scratch / "small-world", "tiny", "full", prompt_tokens=4)
        sentence = many(small, scratch, steps=asked.many_steps)
    command = " ".join(["python -m benchmarks.trainer", *sys.argv[1:]])
    table = (
        f"`{command}`, {datetime.date.today()}, torch {torch.__version__}, `{asked.size}` model, prompts of "
        f"{worlds.PROMPT_TOKENS} tokens, {os.cpu_count()} CPU cores, {runs.THREADS} threads, load "
        f"{os.getloadavg()[0]:.1f} at the end. MB: what the process grew by.\n\n"
    )
    table += "\n".join(lines) + f"\n\n{sentence}\n"
    sys.stdout.write("\n" + table)
    if asked.out:
        write(asked.out, table, part="trainer-growth", title="A training step as it grows")


if __name__ == "__main__":
    main()
