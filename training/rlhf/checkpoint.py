"""The whole state of a loop, saved so that a killed run goes on bit for bit (on the same machine's CPU).

A checkpoint is a folder: weights.safetensors (trainable weights only: frozen ones come back from the model's folder),
optimizer.safetensors, random.safetensors (torch's generators; nothing else draws) and state.json (format, step,
progress, what the run was asked, and the hashes of the other files). It appears by a rename and goes by one, so there
is no half of one. The last two and the best are kept. One that the disk damaged all the same is put aside, with a
warning.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.rlhf.config import Config, to_dict
from training.rlhf.data import data_hash
from training.rlhf.distributed import cut_like, fill, from_first, whole
from training.rlhf.rundir import EventLog, RunDir, StopCheck, Stopped, discard, new_folder, write_text

FORMAT = 2
"""What the numbers in a checkpoint mean; raised when they come to mean something else. Checkpoints that name none are
of format 1, in which a value head on the policy's trunk learned, and was read, at the trunk's rate."""
NUM_KEPT = 2
TENSOR_FILES = ("weights.safetensors", "optimizer.safetensors", "random.safetensors")
CHANGEABLE = {"checkpoint_every", "micro_batch_size", "activation_checkpointing", "processes"}
"""Settings that a resumed run may change, for want of memory, say: what is learned does not depend on them."""


@dataclass(kw_only=True)
class LoopState:
    """Everything in a loop that changes from step to step."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    generators: Mapping[str, torch.Generator] = field(default_factory=dict)
    """Generators of the loop's own; torch's global ones are always saved."""
    progress: dict[str, Any] = field(default_factory=dict)
    """JSON values, such as the KL coefficient. `best_step` names a checkpoint that is kept."""
    step: int = 0
    """Steps done."""


def asked(config: Config, *data_files: Path) -> dict[str, Any]:
    """What a run was asked: its settings and the hashes of its data. A checkpoint of another question is refused."""
    return {"config": to_dict(config), "data": {path.name: data_hash(path) for path in data_files if path.is_file()}}


def note_best(state: LoopState, loss: float) -> None:
    """Remember the step of the lowest validation loss; its checkpoint is kept."""
    if loss < state.progress.get("best_validation_loss", float("inf")):
        state.progress |= {"best_validation_loss": loss, "best_step": state.step}


class Checkpoints:
    """When a run of this question saves its state, and where it goes on.

    every: steps between saves; question: what `asked` gives.
    """

    def __init__(
        self, run: RunDir, events: EventLog, state: LoopState, *, question: Mapping[str, Any], every: int
    ) -> None:
        self._run = run
        self._events = events
        self._state = state
        self._question = question
        self._every = every
        self._saved_step = 0

    def resume(self) -> bool:
        """Fill the state from the newest checkpoint; False when the run begins."""
        found = load_newest_checkpoint(self._run, self._events, self._state, self._question)
        self._saved_step = self._state.step
        return found

    def save(self) -> None:
        """Save now, unless this step is saved already."""
        if self._saved_step < self._state.step:
            save_checkpoint(self._run, self._events, self._state, self._question)
            self._saved_step = self._state.step

    def save_if_due(self, *, total_steps: int) -> None:
        if self._state.step % self._every == 0 or self._state.step == total_steps:
            self.save()

    def stop_if_asked(self, stop: StopCheck) -> None:
        """Between two steps: save and raise Stopped when somebody asked for it."""
        if reason := stop():
            self.save()
            raise Stopped(reason, step=self._state.step)


def save_checkpoint(run: RunDir, events: EventLog, state: LoopState, question: Mapping[str, Any]) -> Path:
    """Write the state as checkpoints/step_000200, say so in the events, and delete what is no longer kept.

    Of several processes each gives its shards, and the first one writes.
    """
    path = run.checkpoint_path(state.step)
    tensors = (_weights(state), _optimizer_tensors(state), _random_states(state))
    from_first(lambda: _write(path, dict(zip(TENSOR_FILES, tensors, strict=True)), events, state, question))
    events.checkpoint(step=state.step, path=path.relative_to(run.path).as_posix())
    from_first(lambda: _discard_old(run, state))
    return path


def _write(
    path: Path, files: Mapping[str, dict[str, Tensor]], events: EventLog, state: LoopState, question: Mapping[str, Any]
) -> None:
    with new_folder(path) as folder:
        for name, tensors in files.items():
            save_file(tensors, folder / name)
        hashes = {name: data_hash(folder / name) for name in TENSOR_FILES}
        record = {"format": FORMAT, "step": state.step, "progress": state.progress, "asked": question, "files": hashes}
        write_text(folder / "state.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
        events.sync()  # or a power cut could leave the steps and take what was said of them


def _discard_old(run: RunDir, state: LoopState) -> None:
    kept = {step for step, _ in run.whole_checkpoints()[-NUM_KEPT:]} | {state.step, state.progress.get("best_step")}
    for step, old in run.whole_checkpoints():
        if step not in kept:
            discard(old)


def load_newest_checkpoint(run: RunDir, events: EventLog, state: LoopState, question: Mapping[str, Any]) -> bool:
    """Fill `state` from the newest sound checkpoint and say so; False when there is none.

    ValueError with a sentence when settings or data are not those that the checkpoint was made with, or when another
    version of this code made it, which meant other numbers.
    """
    path = from_first(lambda: _newest_sound(run, events))
    if path is None:
        return False
    record = json.loads((path / "state.json").read_text(encoding="utf-8"))
    _refuse_another_format(path, record, state)
    _refuse_another_question(path, record["asked"], question)
    for name, module in state.modules.items():
        load_weights(path, name, module)
    _fill_optimizers(state, load_file(path / "optimizer.safetensors"))
    _fill_random_states(state, load_file(path / "random.safetensors"))
    state.progress.clear()
    state.progress.update(record["progress"])
    state.step = int(record["step"])
    events.resumed(step=state.step)
    best = state.progress.get("best_step")
    if best is not None and best != state.step and not _is_sound(run, events, best, BEST_IS_LOST):
        forget_best(state)
    from_first(lambda: _discard_old(run, state))
    return True


def _newest_sound(run: RunDir, events: EventLog) -> Path | None:
    for step, path in reversed(run.whole_checkpoints()):
        if _look_at(run, events, step, "the run goes on from the one before it, or from the start"):
            return path
    return None


BEST_IS_LOST = (
    "it held the weights of the lowest validation loss, so the best of the other steps are kept, or the last ones"
)


def load_best(run: RunDir, events: EventLog, state: LoopState, name: str) -> None:
    """Put the best step's weights into the module of that name. Where the disk lost them, the last ones stay."""
    step = state.progress.get("best_step")
    if step is None:
        return
    if _is_sound(run, events, step, BEST_IS_LOST):
        load_weights(run.checkpoint_path(step), name, state.modules[name])
    else:
        forget_best(state)


def forget_best(state: LoopState) -> None:
    for key in ("best_step", "best_validation_loss"):
        state.progress.pop(key, None)


def _is_sound(run: RunDir, events: EventLog, step: int, consequence: str) -> bool:
    """Whether the checkpoint is as it was written; if not, it is put aside, with a warning that says what follows."""
    return from_first(lambda: _look_at(run, events, step, consequence))


def _look_at(run: RunDir, events: EventLog, step: int, consequence: str) -> bool:
    path = run.checkpoint_path(step)
    fault = damage(path)
    if not fault:
        return True
    aside = path.with_name(f"damaged_{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    if path.exists():
        path.rename(aside)
    events.warning(
        f"checkpoint {path.name} is damaged ({fault}) and was put aside as {aside.name}: {consequence}. Check the disk."
    )
    return False


def damage(checkpoint: Path) -> str:
    """What is wrong with a checkpoint's files, in a few words; "" when they are as they were written."""
    try:
        record = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        hashes = record["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return "state.json cannot be read"
    for name in TENSOR_FILES:
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
        if data_hash(checkpoint / name) != hashes.get(name):
            return f"{name} is not what was written"
    return ""


def load_weights(checkpoint: Path, name: str, module: nn.Module) -> None:
    """Put one module's saved trainable weights into it, exactly."""
    saved = load_file(checkpoint / "weights.safetensors")
    with torch.no_grad():
        for key, weight in _trainable(module).items():
            fill(weight, saved[f"{name}/{key}"])


def _trainable(module: nn.Module) -> dict[str, Tensor]:
    return {key: weight for key, weight in module.named_parameters() if weight.requires_grad}


def _weights(state: LoopState) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": whole(weight.detach()).cpu().contiguous()
        for name, module in state.modules.items()
        for key, weight in _trainable(module).items()
    }


def _optimizer_tensors(state: LoopState) -> dict[str, Tensor]:
    names = _weight_names(state)
    return {
        f"{owner}/{names[weight]}/{key}": whole(torch.as_tensor(value)).cpu().contiguous()
        for owner, optimizer in state.optimizers.items()
        for weight in _weights_of(optimizer)
        for key, value in optimizer.state.get(weight, {}).items()
    }


def _fill_optimizers(state: LoopState, saved: dict[str, Tensor]) -> None:
    """By the weights' names: how an optimizer groups its weights depends on the number of processes."""
    names = _weight_names(state)
    for owner, optimizer in state.optimizers.items():
        found: dict[str, dict[str, Tensor]] = {}
        for full_key, tensor in saved.items():
            name, key = full_key.removeprefix(f"{owner}/").rsplit("/", 1)
            if full_key.startswith(f"{owner}/"):
                found.setdefault(name, {})[key] = tensor
        values = {
            index: {
                key: cut_like(tensor, weight) if tensor.shape == weight.shape and tensor.dim() else tensor
                for key, tensor in found[names[weight]].items()
            }
            for index, weight in enumerate(_weights_of(optimizer))
            if names[weight] in found
        }
        optimizer.load_state_dict({**optimizer.state_dict(), "state": values})


def _weights_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _weight_names(state: LoopState) -> dict[Tensor, str]:
    return {
        weight: f"{name}/{key}" for name, module in state.modules.items() for key, weight in _trainable(module).items()
    }


def _random_states(state: LoopState) -> dict[str, Tensor]:
    states = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states | {f"own/{name}": generator.get_state() for name, generator in state.generators.items()}


def _fill_random_states(state: LoopState, saved: dict[str, Tensor]) -> None:
    torch.set_rng_state(saved["torch"])
    if "cuda" in saved and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved["cuda"])
    for name, generator in state.generators.items():
        generator.set_state(saved[f"own/{name}"])


def _refuse_another_format(path: Path, record: Mapping[str, Any], state: LoopState) -> None:
    made_with = record.get("format", 1)
    if made_with > FORMAT:
        raise ValueError(
            f"{path.name} was made by a newer version of Plumbline (format {made_with}; this one reads up to "
            f"{FORMAT}): install that version to resume, or start a new run."
        )
    is_on_one_trunk = "value" in state.modules and record["asked"]["config"].get("value_trunk") == "shared"
    if made_with < 2 and is_on_one_trunk:
        # Some of them already have the faster head, and nothing in them tells which: so none is scaled by a guess.
        raise ValueError(
            f"{path.name} was made by an earlier version of Plumbline, which does not say how fast its value head "
            "learned, and read wrongly its values may be ten times too large: start a new run with the same settings."
        )


def _refuse_another_question(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in now["config"].items():
        was = before["config"].get(name)
        if was != value and name not in CHANGEABLE:
            raise ValueError(
                f"{path.name} was made with {name} {was!r}, but config.json now says {value!r}: "
                "put it back to resume, or start a new run folder."
            )
    for name, value in now["data"].items():
        if before["data"].get(name) != value:
            raise ValueError(
                f"{name} has changed since {path.name} was made: put it back to resume, or start a new run folder."
            )
