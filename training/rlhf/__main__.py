"""The command: python -m training.rlhf KIND RUN_DIR [--parent PID]

KIND is sft, reward, dpo, ilql, policy, generate, evaluate or compare. Everything it reads and writes lies in RUN_DIR;
run again after a kill, it goes on from the newest checkpoint. SIGTERM or Ctrl-C: the step is finished, a checkpoint
written, and the run ends as cancelled (SIGUSR1: as interrupted). With the setting `processes` above 1 torchrun starts
this command once for each of them. Exit codes: 0 done or cancelled, 1 our error, 2 the person's, 75 interrupted (run
it again).
"""

import argparse
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TextIO

from training.rlhf.config import KINDS, Config, TrainingConfig
from training.rlhf.launch import end_with_parent, is_launched, launch, note_end, rank
from training.rlhf.memory import Encodes, Estimate, available, needed_by, refuse_too_large
from training.rlhf.rundir import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_OUR_ERROR,
    EXIT_USER_ERROR,
    EventLog,
    RunDir,
    SilentLog,
    StopCheck,
    Stopped,
    StopReason,
)

Trainer = Callable[[Any, RunDir, EventLog, StopCheck], dict[str, Any]]


class StopFlag:
    """Whether somebody asked the run to stop: a signal, or the death of the process that started it."""

    def __init__(self, parent: int | None) -> None:
        self._parent = parent
        self._reason: StopReason | None = None
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(sign, self._note)

    def __call__(self) -> StopReason | None:
        if self._reason:
            return self._reason
        if self._parent is not None and os.getppid() != self._parent:
            return "interrupted"  # whoever takes the run over must not find an orphan still training in its folder
        return None

    def _note(self, sign: int, _frame: FrameType | None) -> None:
        self._reason = "interrupted" if sign == signal.SIGUSR1 else "cancelled"


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
    if is_launched():
        end_with_parent()
    with _errors_into(run.stderr) as person:
        try:
            processes = _processes(given.kind, run)
            if processes > 1 and not is_launched():
                return launch(given.kind, run, processes, stop)
            with _held(run, lock_wait_seconds) as events:
                code = _run_and_report(given.kind, run, events, stop, person)
        except ValueError as error:  # the folder is in use: its events belong to the other process
            print(error, file=person)
            code = EXIT_USER_ERROR
    if rank() == 0:
        note_end(code)
    return code


def _processes(kind: str, run: RunDir) -> int:
    try:
        return int(getattr(run.read_config(kind), "processes", 1))
    except ValueError:
        return 1  # the run itself says what is wrong with its config


@contextmanager
def _held(run: RunDir, lock_wait_seconds: float) -> Iterator[EventLog]:
    """The folder and its events; of several processes the first one alone writes, the others into the void."""
    if rank() == 0:
        with run.lock(wait_seconds=lock_wait_seconds), run.open_events() as events:
            run.remove_leftovers()
            yield events
    else:
        with tempfile.TemporaryDirectory() as scratch, SilentLog() as events:
            run.artifact = Path(scratch) / run.artifact.name
            yield events


def _run_and_report(kind: str, run: RunDir, events: EventLog, stop: StopCheck, person: TextIO) -> int:
    """Run to the end and leave exactly one sentence about it; the exit code."""
    try:
        config = run.read_config(kind)
        summary = _run(kind, config, run, events, stop)
    except Stopped as stopped:
        if stopped.reason == "interrupted":
            return EXIT_INTERRUPTED
        events.done(status="cancelled", summary={"steps": stopped.step})
        return EXIT_DONE
    except Exception as error:
        with run.stderr.open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        sentence, is_theirs = explained(error)
        owner: Literal["user", "plumbline"] = "user" if is_theirs else "plumbline"
        code = EXIT_USER_ERROR if is_theirs else EXIT_OUR_ERROR
        if rank():
            note_end(code, sentence, owner=owner)
        else:
            events.error(sentence, owner=owner)
            print(sentence, file=person)
        return code
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


def _device(config: Config) -> str:
    import torch  # noqa: PLC0415

    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


def _free_memory(config: Config) -> int | None:
    """Bytes that this process may take: of the GPU, or its part of the machine's memory."""
    import torch  # noqa: PLC0415

    if _device(config) == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    free = available()
    return None if free is None else free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _encoder(config: Config) -> Encodes | None:
    """How the run will encode its data; None where that cannot be had, of which the run itself speaks."""
    from training.rlhf.data import Encoder  # noqa: PLC0415
    from training.rlhf.model import load_tokenizer  # noqa: PLC0415

    if not isinstance(config, TrainingConfig):
        return None
    try:
        return Encoder(
            load_tokenizer(config.model, config.revision),
            max_prompt_tokens=config.max_prompt_tokens,
            max_response_tokens=config.max_response_tokens,
        )
    except ValueError:
        return None


def _run(kind: str, config: Config, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """The loop of the kind, with the other processes where there are several, and with the boards."""
    needed, free = needed_by(config, run, device=_device(config), encoder=_encoder(config)), _free_memory(config)
    if needed is not None and free is not None:
        refuse_too_large(needed, free=free)
    trainer = _trainer(kind, config)
    from training.rlhf.boards import boards  # noqa: PLC0415 - loads torch, as trainers do
    from training.rlhf.distributed import agreed, joined  # noqa: PLC0415
    from training.rlhf.peak import Peak  # noqa: PLC0415

    if is_launched() and not isinstance(config, TrainingConfig):
        raise ValueError(f"a {kind} run works in one process: start it without torchrun.")
    with joined(config.device), nullcontext() if rank() else boards(run, config, events):
        peak = Peak(_device(config))
        try:
            summary = trainer(config, run, events, agreed(stop))
        except Stopped:
            _say_memory(events, taken=peak.num_bytes(), needed=needed)
            raise
        _say_memory(events, taken=peak.num_bytes(), needed=needed)
        return summary


def _say_memory(events: EventLog, *, taken: int | None, needed: Estimate | None) -> None:
    """What was taken, beside what was expected; nothing of a kind that nobody estimates, or where nobody can tell."""
    if needed is not None and taken is not None:
        events.memory(peak=taken, estimated=needed.total)


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
