"""Runs that are killed at random moments and started again, until one life reaches the end.

    python -m tests.rlhf.killing FOLDER

Of the runs FOLDER/KIND[-WHAT]/*, the one called `whole` lives once, undisturbed; the others die at least once. Every
life is a fork of this process, which has loaded the libraries and computed nothing, so a life costs its own work
alone. What kills is the kernel: a timer of processor time (SIGPROF, which nobody handles) anywhere; SIGKILL at a
random call or return of any function, of Python or C, while a checkpoint is written; or the limit of a file's size
(SIGXFSZ), which leaves half a file. Prints a line a death.
"""

import os
import random
import resource
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

from training.rlhf import checkpoint, train_dpo, train_ilql, train_policy, train_reward, train_sft
from training.rlhf.__main__ import main as command

LOADED = (train_dpo, train_ilql, train_policy, train_reward, train_sft)
"""Here once, so that no life has to load them."""
LARGEST_FILE = 100_000
"""Bytes: about that of the largest files in the checkpoints of the tests' models."""
MOST_DEATHS = 2


class Death(NamedTuple):
    """When a life ends."""

    way: Literal["time", "call", "size"]
    at: float
    """Seconds of processor time; or the number of the call or return inside the writing of checkpoints."""
    size: int = 0
    """The first file of more bytes than this, from then on."""


class Whole(NamedTuple):
    """What an undisturbed life took."""

    seconds: float
    num_calls: int


class Writing:
    """Takes the place of save_checkpoint: does the same, and counts calls and returns until it is time to die."""

    def __init__(self, death: Death | None) -> None:
        self._save = checkpoint.save_checkpoint
        self._death = death if death and death.way != "time" else None
        self.num_calls = 0

    def __call__(self, *arguments: Any) -> Path:
        sys.setprofile(self._count)
        try:
            return self._save(*arguments)
        finally:
            sys.setprofile(None)

    def _count(self, _frame: FrameType, _event: str, _argument: Any) -> None:
        self.num_calls += 1
        if self._death is None or self.num_calls < self._death.at:
            return
        if self._death.way == "call":
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and would raise OSError
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._death.size, self._death.size))
        self._death = None


def live(kind: str, run: Path, death: Death | None) -> tuple[int, Whole]:
    """One life of the command: its exit code (negative: the signal that ended it), and what it took."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            checkpoint.save_checkpoint = writing = Writing(death)
            if death and death.way == "time":
                signal.setitimer(signal.ITIMER_PROF, death.at)
            code = command([kind, str(run)])
            os.write(writer, str(writing.num_calls).encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        num_calls = int(pipe.read() or 0)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), Whole(usage.ru_utime + usage.ru_stime, num_calls)


def kill_until_done(kind: str, run: Path, chance: random.Random, whole: Whole) -> None:
    """Lives of one run: the first is killed for certain, the later ones where they come so far, the last is left."""
    for life in range(MOST_DEATHS + 1):
        way = chance.choice(("time", "call", "size"))
        death: Death | None = Death(way, chance.randint(1, whole.num_calls), chance.randint(1, LARGEST_FILE))
        if way == "time":
            death = Death(way, chance.uniform(0.01, 0.7) * whole.seconds)
        code, _ = live(kind, run, death if life < MOST_DEATHS else None)
        if code == 0:
            return
        print(run.parent.name, run.name, signal.Signals(-code).name, *death, flush=True)  # noqa: T201


def main(folder: Path) -> None:
    for runs in sorted(folder.iterdir()):
        kind = runs.name.split("-")[0]
        code, whole = live(kind, runs / "whole", None)
        assert code == 0, code
        for run in sorted(set(runs.iterdir()) - {runs / "whole"}):
            kill_until_done(kind, run, random.Random(f"{runs.name}/{run.name}"), whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
