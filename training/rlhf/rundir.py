"""What lies in a run's folder: its names, and how it is written so that a kill at any moment leaves it readable.

    run = RunDir("var/runs/7")
    with run.lock(), run.open_events() as events:
        events.progress(step=1, total_steps=100)
    events, offset = read_events(run.events, 0)

Standard library only: the web half reads a run with this without loading torch. Files and folders are written beside,
flushed to the disk and renamed. events.jsonl alone is appended to; a reader takes complete lines only, a writer cuts
off the torn last line of a killed process before it goes on.
"""

import contextlib
import fcntl
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from training.rlhf.config import Config, from_dict, to_dict

EXIT_DONE, EXIT_OUR_ERROR, EXIT_USER_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 75

StopReason = Literal["cancelled", "interrupted"]
StopCheck = Callable[[], StopReason | None]
"""Asked by a loop after each step; when it names a reason, the loop writes a checkpoint and raises Stopped."""


class Stopped(Exception):
    """A loop has ended early, on purpose, with its checkpoint written."""

    def __init__(self, reason: StopReason, *, step: int) -> None:
        super().__init__(f"{reason} after step {step}")
        self.reason: StopReason = reason
        self.step = step


class RunDir:
    """The names inside one run's folder, and the atomic ways to fill it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.preferences = self.path / "preferences.jsonl"
        self.prompts = self.path / "prompts.jsonl"
        self.demonstrations = self.path / "demonstrations.jsonl"
        self.responses = self.path / "responses.jsonl"
        self.likelihoods = self.path / "likelihoods.jsonl"
        self.events = self.path / "events.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.artifact = self.path / "artifact"
        self.stderr = self.path / "stderr.txt"
        self.tensorboard = self.path / "tensorboard"

    def write_config(self, config: Config) -> None:
        write_text(self.config, json.dumps(to_dict(config), indent=1, ensure_ascii=False) + "\n")

    def read_config(self, kind: str) -> Config:
        """The config of the run; ValueError with a sentence when it is missing, torn or wrong."""
        if not self.config.is_file():
            raise ValueError(f"{self.path} has no config.json: write one with the settings of a {kind} run.")
        try:
            values = json.loads(self.config.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self.config} is not JSON ({error}): correct it there.") from None
        if not isinstance(values, dict):
            raise ValueError(f"{self.config} must hold one object of settings, not {type(values).__name__}.")
        return from_dict(kind, values)

    @contextlib.contextmanager
    def lock(self, *, wait_seconds: float = 60.0) -> Iterator[None]:
        """Hold the folder as its only trainer; ValueError when another one still does after the wait.

        The kernel gives the lock back when its holder dies, however it dies.
        """
        with (self.path / "trainer.lock").open("a") as handle:
            deadline = time.monotonic() + wait_seconds
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise ValueError(
                            f"another trainer still works in {self.path} after {wait_seconds:.0f} s: "
                            "wait until it ends, or end it, and start again."
                        ) from None
                    time.sleep(0.1)
            yield

    def open_events(self) -> "EventLog":
        return EventLog(self.events)

    def checkpoint_path(self, step: int) -> Path:
        return self.checkpoints / f"step_{step:06d}"

    def whole_checkpoints(self) -> list[tuple[int, Path]]:
        """(step, folder) of every checkpoint, oldest first. A half-written one has another name until it is whole."""
        found = [path for path in self.checkpoints.glob("step_*") if path.is_dir()]
        return sorted((int(path.name.removeprefix("step_")), path) for path in found)

    def remove_leftovers(self) -> None:
        """Delete what a killed process had not finished writing, and bring back what it had only moved aside."""
        for folder in (self.path, self.checkpoints):
            for aside in folder.glob(".old-*"):
                target = folder / aside.name.removeprefix(".old-")
                if not target.exists():
                    aside.rename(target)
            for leftover in [path for mark in ("new", "old", "gone") for path in folder.glob(f".{mark}-*")]:
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()


def write_text(path: Path, text: str) -> None:
    """Replace the file's content whole or not at all."""
    beside = path.with_name(f".new-{path.name}")
    with beside.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    beside.replace(path)
    _sync_folder(path.parent)


def write_jsonl(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """One object a line, the whole file or nothing."""
    write_text(path, "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines))


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; it takes the name `path` (replacing what had it) when the block ends without an error."""
    beside = path.with_name(f".new-{path.name}")
    aside = path.with_name(f".old-{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (beside, aside):
        shutil.rmtree(leftover, ignore_errors=True)
    beside.mkdir()
    yield beside
    for file in beside.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    _sync_folder(beside)
    if path.exists():
        path.rename(aside)
    beside.rename(path)
    _sync_folder(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


def discard(folder: Path) -> None:
    """Delete a folder whose name says that it is whole: it loses the name first, and is never half there."""
    gone = folder.with_name(f".gone-{folder.name}")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)


class EventLog:
    """Appends to events.jsonl. `seq` rises by one a line and goes on where an earlier process of the run stopped."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        lines = whole.splitlines()
        self.last_seq = int(json.loads(lines[-1])["seq"]) if lines else 0
        self._first_progress: tuple[float, int] | None = None
        self.listeners: list[Callable[[Mapping[str, Any]], None]] = []
        """Who else is told each event, once it is written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def progress(
        self,
        *,
        step: int,
        total_steps: int,
        epoch: int | None = None,
        phase: str | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """seconds_left: estimated from this process's pace so far unless it is given."""
        now = time.monotonic()
        began, first_step = self._first_progress = self._first_progress or (now, step)
        if seconds_left is None and step > first_step:
            seconds_left = round((now - began) / (step - first_step) * (total_steps - step), 1)
        optional = {"epoch": epoch, "phase": phase, "seconds_left": seconds_left}
        known = {key: value for key, value in optional.items() if value is not None}
        self._append("progress", step=step, total_steps=total_steps, **known)

    def metrics(
        self, *, step: int, values: Mapping[str, float], spreads: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """values: finite floats by `group/name`; spreads: counts of a step's single values, by name (spread.py)."""
        for name, value in values.items():
            assert math.isfinite(value), f"metric {name} is {value} at step {step}"
        counted = {"spreads": spreads} if spreads else {}
        self._append("metrics", step=step, values={name: float(value) for name, value in values.items()}, **counted)

    def sample(self, *, step: int, items: Sequence[Mapping[str, Any]]) -> None:
        """items: {prompt_id, prompt, text, reward, kl, num_tokens, ended} of each fixed prompt."""
        self._append("sample", step=step, items=list(items))

    def checkpoint(self, *, step: int, path: str) -> None:
        """path: relative to the run's folder."""
        self._append("checkpoint", step=step, path=path)

    def artifact(self, *, path: str, model_kind: Literal["policy", "reward"], metrics: Mapping[str, Any]) -> None:
        """path: relative to the run's folder."""
        self._append("artifact", path=path, model_kind=model_kind, metrics=dict(metrics))

    def warning(self, message: str) -> None:
        self._append("warning", message=message)

    def resumed(self, *, step: int) -> None:
        """Steps after this one are written again, with the same values."""
        self._append("resumed", step=step)

    def memory(self, *, peak: int, estimated: int) -> None:
        """Bytes of one process beside its libraries: taken at most, and expected before."""
        self._append("memory", peak=peak, estimated=estimated)

    def done(self, *, status: Literal["succeeded", "cancelled"], summary: Mapping[str, Any]) -> None:
        self._append("done", status=status, summary=dict(summary))

    def error(self, message: str, *, owner: Literal["user", "plumbline"]) -> None:
        self._append("error", message=message, owner=owner)

    def sync(self) -> None:
        """Onto the disk with all that was said; a process that dies needs no such thing, a power cut does."""
        os.fsync(self._file.fileno())

    def _append(self, type_: str, **fields: Any) -> None:
        event = {"seq": self.last_seq + 1, "time": round(time.time(), 3), "type": type_, **fields}
        self._file.write(json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()
        self.last_seq += 1
        for listener in self.listeners:
            listener(event)


class SilentLog(EventLog):
    """For the processes of a run that do not hold its folder: what they say, the first one says."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.listeners = []
        self._first_progress = None

    def __exit__(self, *_: object) -> None:
        pass

    def sync(self) -> None:
        pass

    def _append(self, type_: str, **fields: Any) -> None:
        pass


def read_events(path: str | Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The complete lines from byte `offset` on, and the offset to ask for next. A missing file has no events yet."""
    try:
        with Path(path).open("rb") as handle:
            handle.seek(offset)
            content = handle.read()
    except FileNotFoundError:
        return [], offset
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def _sync_folder(path: Path) -> None:
    """Make a rename inside the folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
