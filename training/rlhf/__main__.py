"""The command: python -m training.rlhf KIND RUN_DIR [--parent PID]

KIND is sft, reward, dpo, ilql, policy, generate, evaluate or compare. Everything it reads and writes lies in
RUN_DIR; run again after a kill, it goes on from the newest checkpoint. SIGTERM or Ctrl-C: the step is finished, a
checkpoint written, and the run ends as cancelled. Exit codes:
0 done or cancelled, 1 our error, 2 the person's, 75 interrupted (run it again).
"""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from training.rlhf.config import KINDS, Config
from training.rlhf.rundir import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_OUR_ERROR,
    EXIT_USER_ERROR,
    EventLog,
    RunDir,
    StopCheck,
    Stopped,
    StopReason,
)

Trainer = Callable[[Any, RunDir, EventLog, StopCheck], dict[str, Any]]


class StopFlag:
    """Whether somebody asked the run to stop: a signal, or the death of the process that started it."""

    def __init__(self, parent: int | None) -> None:
        self._parent = parent
        self._cancelled = False
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, self._cancel)

    def __call__(self) -> StopReason | None:
        if self._cancelled:
            return "cancelled"
        if self._parent is not None and os.getppid() != self._parent:
            return "interrupted"  # whoever takes the run over must not find an orphan still training in its folder
        return None

    def _cancel(self, _sign: int, _frame: FrameType | None) -> None:
        self._cancelled = True


def main(arguments: list[str] | None = None, *, lock_wait_seconds: float = 60.0) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.rlhf", description="Train, use or measure a model.")
    parser.add_argument("kind", choices=list(KINDS), metavar="KIND", help=f"one of {', '.join(KINDS)}")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder with config.json and the data")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process is no longer the parent")
    given = parser.parse_args(arguments)
    stop = StopFlag(given.parent)
    if not given.run_dir.is_dir():
        print(f"{given.run_dir} is not a folder: name one with a config.json.", file=sys.stderr)  # noqa: T201
        return EXIT_USER_ERROR
    run = RunDir(given.run_dir)
    with _errors_into(run.stderr) as person:
        try:
            with run.lock(wait_seconds=lock_wait_seconds), run.open_events() as events:
                return _run_and_report(given.kind, run, events, stop, person)
        except ValueError as error:  # the folder is in use: its events belong to the other process
            print(error, file=person)
            return EXIT_USER_ERROR


def _run_and_report(kind: str, run: RunDir, events: EventLog, stop: StopCheck, person: TextIO) -> int:
    """Run to the end and leave exactly one sentence about it; the exit code."""
    try:
        run.remove_leftovers()
        config = run.read_config(kind)
        trainer = _trainer(kind, config)
        with _boards(run, config, events):
            summary = trainer(config, run, events, stop)
    except Stopped as stopped:
        if stopped.reason == "interrupted":
            return EXIT_INTERRUPTED
        events.done(status="cancelled", summary={"steps": stopped.step})
        return EXIT_DONE
    except Exception as error:
        with run.stderr.open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        sentence, is_theirs = explained(error)
        events.error(sentence, owner="user" if is_theirs else "plumbline")
        print(sentence, file=person)
        return EXIT_USER_ERROR if is_theirs else EXIT_OUR_ERROR
    events.done(status="succeeded", summary=summary)
    return EXIT_DONE


def explained(error: Exception) -> tuple[str, bool]:
    """A sentence about the error, and whether the person who started the run can do something about it."""
    if isinstance(error, ValueError):
        return str(error), True
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "There was not enough memory: lower micro_batch_size, or the longest prompt and response.", True
    if isinstance(error, OSError) and error.errno is not None:
        return f"The run's folder could not be read or written: {error.strerror} ({error.filename}).", True
    return (
        f"The trainer met an error of its own ({type(error).__name__}); stderr.txt in the run's folder has it.",
        False,
    )


def _trainer(kind: str, config: Config) -> Trainer:
    """The function of a kind. Imported here, so that --help and a wrong config answer before torch has loaded."""
    # before torch: threads that spin while they wait starve each other on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch  # noqa: PLC0415

    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    if kind == "sft":
        from training.rlhf.train_sft import train_sft  # noqa: PLC0415

        return train_sft
    if kind == "reward":
        from training.rlhf.train_reward import train_reward  # noqa: PLC0415

        return train_reward
    if kind == "dpo":
        from training.rlhf.train_dpo import train_dpo  # noqa: PLC0415

        return train_dpo
    if kind == "ilql":
        from training.rlhf.train_ilql import train_ilql  # noqa: PLC0415

        return train_ilql
    if kind == "policy":
        from training.rlhf.train_policy import train_policy  # noqa: PLC0415

        return train_policy
    if kind == "generate":
        from training.rlhf.generate import generate  # noqa: PLC0415

        return generate
    if kind == "compare":
        from training.rlhf.compare import compare  # noqa: PLC0415

        return compare
    from training.rlhf.evaluate import evaluate  # noqa: PLC0415

    return evaluate


def _boards(run: RunDir, config: Config, events: EventLog) -> AbstractContextManager[None]:
    from training.rlhf.boards import boards  # noqa: PLC0415 - loads torch, as trainers do

    return boards(run, config, events)


class _errors_into:
    """Inside, what the process writes to standard error goes to the file; gives the stream that a person reads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> TextIO:
        sys.stderr.flush()
        self._saved = os.dup(2)
        with self._path.open("ab") as log:
            os.dup2(log.fileno(), 2)
        self._person = os.fdopen(os.dup(self._saved), "w")
        return self._person

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        os.close(self._saved)
        self._person.close()


if __name__ == "__main__":
    sys.exit(main())
