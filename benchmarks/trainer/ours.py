"""One measured run of ours in a process of its own: the real loop over a run folder, its steps timed.

    python -m benchmarks.trainer.ours KIND RUN_DIR

The line that it prints is read by runs.py. A step begins when the step before has said its metrics, so everything the
loop does in between counts.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.trainer.clock import Clock
from training.rlhf.rundir import EventLog, RunDir
from training.rlhf.train_policy import train_policy
from training.rlhf.train_reward import train_reward

LOOPS = {"policy": train_policy, "reward": train_reward}


class TimedEvents(EventLog):
    """Events that mark the end of each step."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path)
        self._clock = clock
        self.last: dict[str, float] = {}

    def metrics(self, *, step: int, values: Mapping[str, float], **more: Any) -> None:
        super().metrics(step=step, values=values, **more)
        self._clock.mark()
        self.last = dict(values)
        for name in ("sample", "score", "update"):
            if f"time/{name}" in values:
                self._clock.phase(name, values[f"time/{name}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=LOOPS)
    parser.add_argument("run_dir", type=Path)
    asked = parser.parse_args()
    run = RunDir(asked.run_dir)
    config = run.read_config(asked.kind)
    torch.set_num_threads(config.num_threads)
    clock = Clock()
    with TimedEvents(run.events, clock) as events:
        LOOPS[asked.kind](config, run, events, clock.begin)  # asked whether to stop, before each step
    clock.report(length=events.last.get("response/length"), last=events.last)


if __name__ == "__main__":
    main()
