"""Runs of either side, each in a process of its own, and what they cost."""

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.trainer.clock import PREFIX
from benchmarks.trainer.world import PAIR_TOKENS, PROMPT_TOKENS, RESPONSE_TOKENS, World

THREADS = 2
REPOSITORY = Path(__file__).resolve().parents[2]

POLICY: dict[str, Any] = {
    "rollout_batch_size": 64,
    "num_minibatches": 4,
    "ppo_epochs": 4,
    "learning_rate": 1e-6,
    "kl_coef": 0.05,
    "max_prompt_tokens": PROMPT_TOKENS,
    "max_response_tokens": RESPONSE_TOKENS,
    "replace_missing_eos": False,
    "num_sample_prompts": 1,
}
"""A policy run of 64 rollouts a step and 16 optimizer steps, as the peer's."""
REWARD: dict[str, Any] = {
    "batch_size": 8,
    "learning_rate": 1e-6,
    "max_prompt_tokens": PAIR_TOKENS // 2,
    "max_response_tokens": PAIR_TOKENS,
    "evaluate_every": 10**6,
    "keep_best": False,
}
NEVER = {"sample_every": 10**6}
COMMON = {"device": "cpu", "num_threads": THREADS, "checkpoint_every": 10**6}


@dataclass(frozen=True)
class Measured:
    """The steps of one run that count: those behind its first, which warms everything up, or all."""

    seconds: list[float]
    cpu_seconds: list[float]
    phases: dict[str, list[float]]
    before_mb: float
    """Before anything was loaded, libraries included."""
    peak_mb: float
    memory_mb: list[float] = dataclasses.field(default_factory=list)
    """Resident at the end of each step."""
    last: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def grown_mb(self) -> float:
        return self.peak_mb - self.before_mb

    def second(self) -> float:
        return statistics.median(self.seconds)

    def cpu_second(self) -> float:
        return statistics.median(self.cpu_seconds)

    def phase(self, name: str) -> float:
        """Median seconds of a part of a step; of the rest, what the others leave."""
        if name in self.phases:
            return statistics.median(self.phases[name][-len(self.seconds) :])
        return self.second() - sum(self.phase(other) for other in self.phases)


def ours(folder: Path, world: World, kind: str, settings: Mapping[str, Any], *, steps: int) -> Measured:
    """The loop of `kind` over a run folder that is made, used and deleted."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if kind == "policy":
        reward = world.adapted_reward if "lora_rank" in settings else world.reward
        own = POLICY | NEVER | {"model": str(world.policy), "reward_model": str(reward), "num_steps": steps}
        shutil.copy(world.prompts, folder)
    else:
        own = REWARD | {"model": str(world.reward), "max_steps": steps}
        shutil.copy(world.preferences, folder)
    (folder / "config.json").write_text(json.dumps({"kind": kind, **COMMON, **own, **settings}))
    try:
        return measured([sys.executable, "-m", "benchmarks.trainer.ours", kind, str(folder)])
    finally:
        shutil.rmtree(folder)


def measured(command: Sequence[str]) -> Measured:
    """Run it to its end and read the line it leaves; RuntimeError with its last words where there is none."""
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "passive"}
    environment |= {"TRL_EXPERIMENTAL_SILENCE": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(PREFIX)]
    if not lines:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    values = json.loads(lines[-1].removeprefix(PREFIX))
    names = [field.name for field in dataclasses.fields(Measured)]
    return Measured(**{name: values[name] for name in names if name in values})
