"""What each of two processes does in test_distributed.py; started by torchrun: ranks.py FOLDER.

FOLDER/KIND-WAY/alone is run by the first of them before it joins the other, FOLDER/KIND-WAY/together by both.
"""

import contextlib
import sys
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from training.rlhf.__main__ import _held
from training.rlhf.config import PolicyConfig
from training.rlhf.data import Encoded
from training.rlhf.distributed import distributed_over_all, joined, num_processes, rank, share, sum_gradients, whole
from training.rlhf.launch import rank as launched_rank
from training.rlhf.model import add_lora, load_policy
from training.rlhf.rundir import RunDir, SilentLog
from training.rlhf.train_dpo import train_dpo
from training.rlhf.train_ilql import train_ilql
from training.rlhf.train_policy import train_policy
from training.rlhf.train_reward import train_reward
from training.rlhf.train_sft import response_loss_sum, train_sft

LOOPS = {"sft": train_sft, "reward": train_reward, "dpo": train_dpo, "ilql": train_ilql, "policy": train_policy}
ROWS = [Encoded([1, 2, 3 + i], [5 + i] * (1 + i) + [2]) for i in range(5)]
PIECES = [[0, 1, 2], [3], [4]]  # a piece of one row leaves a process with nothing to do
"""Of float64: the gradients of these rows."""


def alone(kind: str, run: RunDir) -> None:
    with run.open_events() as events:
        LOOPS[kind](run.read_config(kind), run, events, lambda: None)


def together(kind: str, run: RunDir) -> None:
    with _held(run, 10.0) as events:
        assert isinstance(events, SilentLog) == bool(rank())
        LOOPS[kind](run.read_config(kind), run, events, lambda: None)


def prepared(model_folder: str, *, lora: bool) -> torch.nn.Module:
    """The model in float64, with adapters that do something."""
    torch.manual_seed(0)
    model: torch.nn.Module = load_policy(model_folder, device=torch.device("cpu")).double()
    if lora:
        model = add_lora(model, rank=2, alpha=4).double()
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.data.normal_(std=0.1)
    return model


def gradients(model_folder: str, *, lora: bool) -> dict[str, torch.Tensor]:
    """By name, in full."""
    model = prepared(model_folder, lora=lora)
    distributed_over_all(model, PolicyConfig(lora_rank=2 if lora else 0))
    for piece in PIECES:
        mine = share(piece)
        (mine.weight * response_loss_sum(model, [ROWS[row] for row in mine.rows])).backward()
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    sum_gradients(weights.values())
    return {name: whole(weight.grad) for name, weight in weights.items() if weight.grad is not None}


class LossSum(torch.nn.Module):
    """What DistributedDataParallel wraps: it has to see the call that the gradient comes from."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: list[Encoded]) -> torch.Tensor:
        return response_loss_sum(self.model, rows)


def gradients_by_ddp(model_folder: str) -> dict[str, torch.Tensor]:
    """The adapters', by torch's own class, which divides by the number of processes."""
    model = prepared(model_folder, lora=True)
    wrapped = DistributedDataParallel(LossSum(model))
    for index, piece in enumerate(PIECES):
        mine = share(piece)
        is_last = index == len(PIECES) - 1
        with contextlib.nullcontext() if is_last else wrapped.no_sync():
            (num_processes() * mine.weight * wrapped([ROWS[row] for row in mine.rows])).backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def main(folder: Path) -> None:
    runs = sorted(path for path in folder.iterdir() if path.is_dir() and "-" in path.name)
    model_folder = str(folder / "model")
    expected = {lora: gradients(model_folder, lora=lora) for lora in (False, True)}
    for path in runs if launched_rank() == 0 else []:
        alone(path.name.split("-")[0], RunDir(path / "alone"))
    with joined("cpu"):
        for path in runs:
            together(path.name.split("-")[0], RunDir(path / "together"))
        found = [(expected[lora], gradients(model_folder, lora=lora)) for lora in (False, True)]
        for of_one, of_two in [*found, (expected[True], gradients_by_ddp(model_folder))]:
            assert of_two.keys() == of_one.keys() and len(of_one) > 10
            for name, gradient in of_one.items():
                torch.testing.assert_close(of_two[name], gradient, rtol=1e-12, atol=1e-12)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
