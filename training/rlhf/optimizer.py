"""One optimizer step as every loop takes it: AdamW, the learning rate at a step, clipping, a refusal to step into NaN.

The learning rate is a pure function of the step, so nothing about it has to be saved: a resumed run computes the same.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from training.rlhf.config import TrainingConfig
from training.rlhf.distributed import alike, clip_gradients, sum_gradients

BETAS = (0.9, 0.999)


class StepReport(NamedTuple):
    """What one optimizer step did."""

    grad_norm: float  # before clipping
    learning_rate: float


def make_optimizer(models: Iterable[nn.Module], config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over all trainable weights; weight decay on matrices only (norms and biases are vectors)."""
    weights = [weight for model in models for weight in model.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    filled = [{**group, "params": sort} for group in groups for sort in alike(group["params"])]
    return torch.optim.AdamW(filled, lr=config.learning_rate, betas=BETAS, eps=config.adam_eps, fused=True)


def learning_rate_at(config: TrainingConfig, *, step: int, total_steps: int) -> float:
    """The rate of optimizer step number `step` (from 0): warmed up linearly, then as `lr_schedule` says.

    The first step already moves: warm-up gives it 1/warmup_steps of the peak. The decay would reach 0 at `total_steps`.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    if config.lr_schedule == "linear":
        return config.learning_rate * (1 - progress)
    if config.lr_schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate


def take_step(
    optimizer: torch.optim.AdamW,
    config: TrainingConfig,
    *,
    learning_rate: float,
    step: int,
    loss: float,
    eps_style: Literal["torch", "tf"] = "torch",
) -> StepReport:
    """Clip the gradient, step once and clear it. step: the number that people see, for the error and nothing else.

    Raises ValueError when `loss` or the gradient's norm is not finite; the weights are then untouched.
    eps_style tf: TensorFlow's Adam adds epsilon before the bias correction of the second moment is divided out, which
    equals torch's formula with eps / sqrt(1 - beta2^t) at its t-th step.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    max_norm = config.max_grad_norm or math.inf
    sum_gradients(weights)
    grad_norm = clip_gradients(weights, max_norm)
    for name, value in (("loss", loss), ("gradient", grad_norm)):
        if not math.isfinite(value):
            raise ValueError(
                f"the {name} became {value} at step {step}, so the run stops before that step. Lower learning_rate "
                "(or raise warmup_steps); the last checkpoint is still good."
            )
    taken = next((int(state["step"]) for state in optimizer.state.values() if "step" in state), 0)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        if eps_style == "tf":
            group["eps"] = config.adam_eps / math.sqrt(1 - BETAS[1] ** (taken + 1))
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return StepReport(grad_norm, learning_rate)
