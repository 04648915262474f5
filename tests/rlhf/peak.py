"""What a run really takes: peak.py KIND RUN prints the peak of resident memory in bytes above that before it.

Started with MALLOC_MMAP_THRESHOLD_, so that memory which nobody uses is not counted.
"""

import sys
from pathlib import Path

import torch

from training.rlhf.rundir import RunDir
from training.rlhf.train_dpo import train_dpo
from training.rlhf.train_ilql import train_ilql
from training.rlhf.train_policy import train_policy
from training.rlhf.train_reward import train_reward
from training.rlhf.train_sft import train_sft

LOOPS = {"dpo": train_dpo, "ilql": train_ilql, "policy": train_policy, "reward": train_reward, "sft": train_sft}


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main(kind: str, path: str) -> None:
    torch.ones(8, 8) @ torch.ones(8, 8)  # what the library takes for itself
    run = RunDir(path)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status("VmRSS")
    with run.open_events() as events:
        LOOPS[kind](run.read_config(kind), run, events, lambda: None)
    print(status("VmHWM") - before)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
