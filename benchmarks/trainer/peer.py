"""The same steps by TRL and by Plumbline, in turns on one machine: what counts is the ratio.

    python -m benchmarks.trainer.peer --folder /path/to/peer          (or: make bench-peers)
    python -m benchmarks.trainer.peer --sizes tiny --steps 3 --pairs 5
    python -m benchmarks.trainer.peer --sizes small --steps 1 --count-first --pairs 1       about twelve minutes

TRL 1.12 (the last line of releases with PPO) and TRL 1.16 (its RewardTrainer) are installed into --folder, outside the
repository, at the first run. A B A B …: each figure is the median of its runs, each ratio the median of the ratios of
neighbours, once in seconds and once in processor seconds, which other work on the machine disturbs less.
"""

import argparse
import datetime
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.report import write
from benchmarks.trainer import world as worlds
from benchmarks.trainer.clock import COUNT_FIRST
from benchmarks.trainer.floor import product_rate, update_operations
from benchmarks.trainer.runs import THREADS, Measured, measured, ours

PINS = ("transformers==5.23.0", "datasets==5.2.0", "peft==0.21.2", "accelerate==1.15.0")
TRL = {"trl_ppo": "1.12.0", "trl_reward": "1.16.0"}
SHARED = {"value_trunk": "shared"}
LORA = {"lora_rank": worlds.LORA_RANK, "lora_alpha": worlds.LORA_RANK}


class Case(NamedTuple):
    """What is compared: our settings against the peer's switches."""

    name: str
    kind: str
    settings: dict[str, Any]
    switches: tuple[str, ...]


CASES = {
    "own": Case("PPO, a value model of its own", "policy", {}, ()),
    "shared": Case("PPO, value and policy on one trunk", "policy", SHARED, ()),
    "lora": Case("PPO, LoRA, one trunk", "policy", SHARED | LORA, ("--lora-rank", str(worlds.LORA_RANK))),
    "reward": Case("reward model", "reward", {}, ()),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(worlds.SIZES), default=list(worlds.SIZES))
    parser.add_argument("--shapes", nargs="+", choices=["full", "ragged"], default=["full", "ragged"])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--steps", type=int, default=4, help="a run; a reward model's is four times as long")
    parser.add_argument("--count-first", action="store_true", help="where steps are long; else the first only warms up")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "plumbline-peer")
    parser.add_argument("--out", type=Path, help="Markdown file whose part on the trainer's peer is replaced")
    return parser.parse_args()


def install(folder: Path, name: str) -> Path:
    """The peer's own Python, with our torch and transformers."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        wanted = [f"torch=={torch.__version__}", f"trl=={TRL[name]}", *PINS]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def in_turns(
    cases: list[Case], world: worlds.World, *, steps: int, pairs: int, folder: Path, scratch: Path
) -> dict[str, list[tuple[Measured, Measured]]]:
    """The peer's run and ours by case's name; cases that stand against the same run of the peer share it."""
    name = "trl_ppo" if cases[0].kind == "policy" else "trl_reward"
    steps = steps if cases[0].kind == "policy" else 4 * steps
    command = [
        str(install(folder, name)), "-m", f"benchmarks.trainer.{name}", str(world.folder),
        "--steps", str(steps), "--threads", str(THREADS), *cases[0].switches,
    ]  # fmt: skip
    found: dict[str, list[tuple[Measured, Measured]]] = {case.name: [] for case in cases}
    for _ in range(pairs):
        theirs = measured(command)
        for case in cases:
            own = ours(scratch / "run", world, case.kind, case.settings, steps=steps)
            found[case.name].append((theirs, own))
    return found


def groups(names: list[str]) -> list[list[Case]]:
    """The cases that stand against the same run of the peer, together."""
    together: dict[tuple[str, tuple[str, ...]], list[Case]] = {}
    for name in names:
        together.setdefault((CASES[name].kind, CASES[name].switches), []).append(CASES[name])
    return list(together.values())


HEAD = (
    "| model | what | TRL s a step (sample + score + update) | ours | TRL CPU s | ours | ratio of seconds "
    "| of CPU seconds | TRL MB | ours MB | share of the floor |\n" + "| --- " * 11 + "|"
)


def row(size: worlds.Size, shape: worlds.Shape, case: Case, pairs: list[tuple[Measured, Measured]]) -> str:
    def median(values: list[float]) -> float:
        return statistics.median(values)

    def times(runs: list[Measured]) -> str:
        whole = f"{median([run.second() for run in runs]):.2f}"
        if case.kind != "policy":
            return whole
        parts = [f"{median([run.phase(name) for run in runs]):.2f}" for name in ("sample", "score", "update")]
        return f"{whole} ({' + '.join(parts)})"

    theirs, own = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ratio = median([their.second() / our.second() for their, our in pairs])
    cpu_ratio = median([their.cpu_second() / our.cpu_second() for their, our in pairs])
    cells = [
        size, f"{case.name}, {shape}", times(theirs), times(own),
        f"{median([run.cpu_second() for run in theirs]):.1f}", f"{median([run.cpu_second() for run in own]):.1f}",
        f"**{ratio:.2f}**", f"**{cpu_ratio:.2f}**",
        f"{median([run.grown_mb for run in theirs]):.0f}", f"{median([run.grown_mb for run in own]):.0f}",
        floor_share(size, case, own) if case.kind == "policy" else "",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def floor_share(size: worlds.Size, case: Case, runs: list[Measured]) -> str:
    """The update's floor over its time, in per cent: its multiplications at the rate measured now."""
    length = runs[-1].last["response/length"]
    prompt = worlds.PROMPT_TOKENS if length == worlds.RESPONSE_TOKENS else worlds.PROMPT_TOKENS / 2 + 1
    operations = update_operations(
        worlds.SIZES[size],
        tokens=64 * (prompt + length - 1),
        response_tokens=64 * length,
        passes=4,
        is_shared=case.settings.get("value_trunk") == "shared",
        is_lora="lora_rank" in case.settings,
    )
    seconds = operations / product_rate(worlds.SIZES[size])
    return f"{100 * seconds / statistics.median(run.phase('update') for run in runs):.0f} %"


def main() -> None:
    asked = arguments()
    torch.set_num_threads(THREADS)
    if asked.count_first:
        os.environ[COUNT_FIRST] = "1"
    elif asked.steps < 2:
        raise SystemExit("--steps 1 leaves no step to count: ask for two or more, or for --count-first.")
    rows = [HEAD]
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as scratch:
        for size in asked.sizes:
            for shape in asked.shapes:
                world = worlds.make(Path(scratch) / size / shape, size, shape)
                for group in groups(asked.cases):
                    found = in_turns(
                        group, world, steps=asked.steps, pairs=asked.pairs, folder=asked.folder, scratch=Path(scratch)
                    )
                    for case in group:
                        rows.append(row(size, shape, case, found[case.name]))
                        sys.stdout.write(rows[-1] + "\n")
                    sys.stdout.flush()
    command = " ".join(["python -m benchmarks.trainer.peer", *sys.argv[1:]])
    table = (
        f"`{command}`, {datetime.date.today()}, torch {torch.__version__}, transformers {version('transformers')}, "
        f"TRL {TRL['trl_ppo']} (PPO) and {TRL['trl_reward']} (reward), {os.cpu_count()} CPU cores, {THREADS} threads, "
        f"load {os.getloadavg()[0]:.1f} at the end. MB: what the process grew by after its libraries were loaded.\n\n"
    )
    table += "\n".join(rows) + "\n"
    sys.stdout.write("\n" + table)
    if asked.out:
        part = "-".join(["trainer-peer", *(size for size in asked.sizes if size != "tiny")])
        write(asked.out, table, part=part, title=f"A training step beside TRL, {', '.join(asked.sizes)}")


if __name__ == "__main__":
    main()
