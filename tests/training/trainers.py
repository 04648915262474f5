"""Trainer processes as the tests find and watch them."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from training.rlhf.rundir import RunDir, read_events


def trainers_in(folder: Path) -> list[int]:
    """Process ids of the trainers that work in this run's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            is_dead = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            if "training.rlhf" in words and str(folder) in words and not is_dead:
                found.append(int(entry.name))
    return found


def last_step(folder: Path) -> int:
    """The newest step that the run's events name."""
    steps = [event["step"] for event in read_events(RunDir(folder).events, 0)[0] if event["type"] == "progress"]
    return steps[-1] if steps else 0


def wait_until(condition: Callable[[], object], *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def send(folder: Path, sign: int) -> None:
    for pid in trainers_in(folder):
        os.kill(pid, sign)
