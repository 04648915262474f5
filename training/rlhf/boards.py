"""A run's curves where people already look: TensorBoard for every run, Weights & Biases where its key is set.

    with boards(run, config, events):
        ...                                 what `events` is told from here on, they are told too

TensorBoard reads `tensorboard/` in the run's folder (tensorboard --logdir var/runs). Weights & Biases gets settings and
numbers, never prompts or answers; WANDB_API_KEY switches it on, WANDB_PROJECT names the project. events.jsonl stays
the run's truth: a board that fails is left out, with a warning.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from training.rlhf.config import Config, to_dict
from training.rlhf.rundir import EventLog, RunDir, write_text

NUM_TEXTS = 4
"""Answers to fixed prompts that TensorBoard keeps of each step: it shows few texts at once."""


class Board(Protocol):
    """Whoever is told every event of a run."""

    def __call__(self, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files of a run. A resumed run writes on in a file of its own, which takes back the steps it repeats."""

    def __init__(self, run: RunDir, config: Config) -> None:
        self._folder = run.tensorboard
        self._settings = json.dumps(to_dict(config), indent=1)
        self._writer: SummaryWriter | None = None
        self._first_step = 0

    def __call__(self, event: Mapping[str, Any]) -> None:
        step = event.get("step", 0)
        if event["type"] == "resumed":
            self._first_step = step + 1
        elif event["type"] == "metrics":
            for name, value in event["values"].items():
                self._open().add_scalar(name, value, step, walltime=event["time"])
        elif event["type"] == "sample":
            for item in event["items"][:NUM_TEXTS]:
                self._open().add_text(f"sample/{item['prompt_id']}", item["text"], step, walltime=event["time"])
        elif event["type"] == "checkpoint":
            self._open().flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=self._first_step)
            self._writer.add_text("settings", f"```\n{self._settings}\n```", self._first_step)
        return self._writer


class WeightsAndBiases:
    """One run there for one folder here, however often it is resumed."""

    def __init__(self, run: RunDir, config: Config) -> None:
        import wandb  # noqa: PLC0415 - installed by those who have a key

        identity = run.path / "wandb_id"
        if not identity.exists():
            write_text(identity, uuid.uuid4().hex[:12])
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "plumbline"),
            id=identity.read_text(encoding="utf-8"),
            name=f"{to_dict(config)['kind']} {run.path.name}",
            dir=str(run.path),
            config=to_dict(config),
            resume="allow",
        )

    def __call__(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "metrics":  # a step that comes again has the same values, and is dropped there
            self._run.log(event["values"], step=event["step"])

    def close(self) -> None:
        self._run.finish()


@contextlib.contextmanager
def boards(run: RunDir, config: Config, events: EventLog) -> Iterator[None]:
    """Inside, every event goes to the boards as well."""
    told: list[Board] = [TensorBoard(run, config)]
    if os.environ.get("WANDB_API_KEY"):
        try:
            told.append(WeightsAndBiases(run, config))
        except ImportError:
            events.warning(
                "WANDB_API_KEY is set, but wandb is not installed where this run trains (pip install wandb): the run "
                "goes on without Weights & Biases."
            )
        except Exception as error:  # the network, the key, their server: none of it is worth a run
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            events.warning(f"Weights & Biases cannot be reached ({reason}): the run goes on without it.")
    events.listeners += told
    try:
        yield
    finally:
        for board in told:
            events.listeners.remove(board)
            board.close()
