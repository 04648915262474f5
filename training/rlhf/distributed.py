"""One run on several processes, which torchrun starts: who does which rows, and what they tell each other.

    with joined(config):
        distributed_over_all(model, config)
        for piece in pieces:
            mine = share(piece)
            (mine.weight * loss_sum(mine.rows)).backward()
        loss = total_of_all(loss)

Every process runs the same loop over the same plan and takes every n-th row of each piece, so all of them pass through
the model equally often, as collectives need. Losses are divided by the numbers of the whole step, so gradients are
summed, never averaged, and their number changes no gradient. With LoRA each process holds the whole model and the
adapters' gradients are summed once a step (as DistributedDataParallel does); with full tuning the layers' weights,
gradients and optimizer state are cut into shards (FSDP2, torch's fully_shard). Frozen models are whole in every
process. Rank 0 writes the run's folder. With one process every function here does nothing.
"""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from training.rlhf.config import TrainingConfig
from training.rlhf.rundir import StopCheck

Result = TypeVar("Result")
PATIENCE = datetime.timedelta(hours=2)
"""How long a process waits for the others: one writes a checkpoint or an artifact while they do."""


class Share(NamedTuple):
    """One process's part of a micro-batch."""

    rows: list[int]
    weight: float
    """1; or 0 where there are fewer rows than processes and this one passes a row through the model for company."""


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """Inside, this process works with the others that torchrun started; without torchrun it works alone."""
    if "RANK" not in os.environ:
        yield
        return
    is_gpu = device != "cpu" and torch.cuda.is_available()
    if is_gpu and int(os.environ["LOCAL_WORLD_SIZE"]) > torch.cuda.device_count():
        raise ValueError(
            f"processes asks for {os.environ['LOCAL_WORLD_SIZE']} GPUs here, but torch sees only "
            f"{torch.cuda.device_count()}: lower it, or set device to cpu."
        )
    if is_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if is_gpu else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def num_processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def share(rows: Sequence[int]) -> Share:
    """This process's rows of a piece, never none."""
    mine = list(rows[rank() :: num_processes()])
    return Share(mine, 1.0) if mine else Share(list(rows[:1]), 0.0)


def block(num_rows: int) -> slice:
    """This process's rows of so many, as neighbours; there may be none for it."""
    bounds = [num_rows * index // num_processes() for index in range(num_processes() + 1)]
    return slice(bounds[rank()], bounds[rank() + 1])


def total_of_all(value: float) -> float:
    """The sum of the processes' values, in float64."""
    return float(summed(torch.tensor(value, dtype=torch.float64)))


def summed(tensor: Tensor) -> Tensor:
    """The sum of the processes' tensors, which have one shape; in place where there are several."""
    if num_processes() > 1:
        dist.all_reduce(tensor)
    return tensor


def every(value: Result) -> list[Result]:
    """The values of all processes, in order; any that can be pickled, tensors on the CPU."""
    if num_processes() == 1:
        return [value]
    values: list[Any] = [None] * num_processes()
    dist.all_gather_object(values, value)
    return values


def from_first(function: Callable[[], Result]) -> Result:
    """What the function gives in rank 0, which alone runs it; its error is everybody's error."""
    if num_processes() == 1:
        return function()
    told: list[Any] = [None, None]
    if rank() == 0:
        try:
            told = [function(), None]
        except Exception as error:
            told = [None, error]
    dist.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    result: Result = told[0]
    return result


def agreed(stop: StopCheck) -> StopCheck:
    """Asked by all processes together: the first reason that any of them has to stop."""
    return lambda: next((reason for reason in every(stop()) if reason), None)


def distributed_over_all(model: nn.Module, config: TrainingConfig) -> None:
    """Where every weight learns, cut the model's layers into shards, one a process; with LoRA each keeps it whole.

    Embeddings, last norm and heads stay whole: they may be tied to each other and are read without their module, and
    all but the smallest models have most of their weights in layers.
    """
    if num_processes() == 1 or config.lora_rank:
        return
    blocks = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    for module in list(model.modules()):
        if type(module).__name__ in blocks:
            shard = fully_shard(module, reshard_after_forward=True)
            shard.set_gradient_divide_factor(1.0)  # losses are means of the whole step already: sum
            shard.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def alike(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    """Whole weights and shards apart, because torch works on lists of one sort; no empty list."""
    sorts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for weight in weights:
        sorts[isinstance(weight, DTensor)].append(weight)
    return [sort for sort in sorts if sort]


def clip_gradients(weights: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients of all processes down to a common norm; returns the norm before."""
    sorts = alike(weight for weight in weights if weight.grad is not None)
    norms = [whole(get_total_norm([weight.grad for weight in sort if weight.grad is not None])) for sort in sorts]
    norm = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    for sort in sorts:
        clip_grads_with_norm_(sort, max_norm, norm)
    return float(norm)


def sum_gradients(weights: Iterable[Tensor]) -> None:
    """Add up what the processes found for weights that each of them holds whole; shards have done so by themselves."""
    if num_processes() == 1:
        return
    kept = [weight for weight in weights if not isinstance(weight, DTensor)]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in kept]
    if not kept:
        return
    flat = summed(torch.cat([gradient.flatten() for gradient in gradients]))
    for weight, part in zip(kept, flat.split([weight.numel() for weight in kept]), strict=True):
        weight.grad = part.view_as(weight)


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor in full (all processes must ask); any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_like(value: Tensor, weight: Tensor) -> Tensor:
    """A full tensor, cut into shards as the weight of its shape is."""
    if isinstance(weight, DTensor):
        return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
    return value


def fill(weight: Tensor, value: Tensor) -> None:
    """Copy a full value into a weight, sharded or not."""
    weight.copy_(cut_like(value, weight))


@contextlib.contextmanager
def held_whole(model: nn.Module) -> Iterator[None]:
    """Inside, every process has the model's weights in full and may run it on its own: for sampling."""
    shards = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in shards:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in shards:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


def full_state(model: nn.Module) -> Mapping[str, Tensor] | None:
    """The weights of a sharded model in full, for rank 0 to save; None for a model that is not sharded."""
    if not any(isinstance(weight, DTensor) for weight in model.parameters()):
        return None
    return {name: whole(value.detach()).cpu() for name, value in model.state_dict().items()}
