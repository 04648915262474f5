"""The update of one on-policy step: some passes over a batch of experience, an optimizer step a minibatch.

    stats = update(actors, experience, config, learning_rate=1e-5, kl_coef=0.05, step=k)

Sums are divided by the real tokens of a whole minibatch, so that micro-batches, row order and padding leave the
gradient as it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.rlhf.beside import ALONE, Backward, Workers, side_by_side
from training.rlhf.config import PolicyConfig
from training.rlhf.distributed import every
from training.rlhf.experience import Actors, Experience, Said, hear, my_rows, plan_pass, values_of
from training.rlhf.losses import PolicyLoss, kl_loss, policy_loss, value_loss
from training.rlhf.optimizer import take_step


class UpdateStats(NamedTuple):
    """What the update did; means are over the real tokens of all minibatches that were looked at."""

    policy_loss: float
    value_loss: float
    clip_fraction: float
    approx_kl: float
    """½·mean((log π − log π_old)²), nats."""
    ratio_mean: float
    ratio_max: float
    grad_norm: float
    """Of the policy before clipping, mean over optimizer steps."""
    value_grad_norm: float
    first_ratio_error: float
    """Largest |ρ − 1| of the first minibatch: 0, or old and new log-probabilities took two paths."""
    num_optimizer_steps: int
    stopped_early: bool


def update(
    actors: Actors, experience: Experience, config: PolicyConfig, *, learning_rate: float, kl_coef: float, step: int
) -> UpdateStats:
    """`config.passes` passes of num_minibatches optimizer steps each, unless `kl_stop` ends them; ValueError on NaN.

    Policy and a value model of its own have an optimizer and a gradient norm each: they share no weights, and a value
    model that is still far off must not shrink the policy's step. A value head on the policy's trunk shares both.
    """
    total = torch.zeros(len(_Sums._fields), dtype=torch.float64)
    ratio_max, first_ratio_error, num_steps = 0.0, None, 0
    grad_norms = [0.0, 0.0]
    stopped_early = False
    with side_by_side(actors.policy, most=config.micro_batch_size) as workers:
        for epoch in range(config.passes):
            plan = plan_pass(
                experience.responses,
                config,
                epoch=epoch,
                step=step,
                is_packed=actors.is_packed,
                at_once=workers.count,
            )
            for minibatch in plan:
                sums, ratios = accumulate_gradient(
                    actors, experience, minibatch, config, kl_coef=kl_coef, workers=workers
                )
                total += torch.tensor(sums, dtype=torch.float64)
                ratio_max = max(ratio_max, ratios.highest)
                if first_ratio_error is None:
                    first_ratio_error = max(ratios.highest - 1.0, 1.0 - ratios.lowest)
                if config.kl_stop and 0.5 * sums.squared_change / sums.num_tokens > config.kl_stop:
                    for optimizer in actors.optimizers:
                        optimizer.zero_grad(set_to_none=True)
                    stopped_early = True
                    break
                loss = sums.policy_loss / sums.num_tokens + sums.value_loss / sums.num_values
                for index, optimizer in enumerate(actors.optimizers):
                    report = take_step(
                        optimizer,
                        config,
                        learning_rate=learning_rate,
                        step=step + 1,
                        loss=loss,
                        eps_style=config.adam_eps_style,
                    )
                    grad_norms[index] += report.grad_norm
                num_steps += 1
            if stopped_early:
                break
    means = _Sums(*total.tolist())
    return UpdateStats(
        policy_loss=means.policy_loss / means.num_tokens,
        value_loss=means.value_loss / means.num_values,
        clip_fraction=means.num_clipped / means.num_tokens,
        approx_kl=0.5 * means.squared_change / means.num_tokens,
        ratio_mean=means.ratio / means.num_tokens,
        ratio_max=ratio_max,
        grad_norm=grad_norms[0] / max(num_steps, 1),
        value_grad_norm=grad_norms[1] / max(num_steps, 1),
        first_ratio_error=first_ratio_error or 0.0,
        num_optimizer_steps=num_steps,
        stopped_early=stopped_early,
    )


class _Sums(NamedTuple):
    """Sums over the real tokens of one or more minibatches; the policy's loss as it is averaged, times its tokens."""

    num_tokens: float
    num_values: float
    policy_loss: float
    value_loss: float
    num_clipped: float
    ratio: float
    squared_change: float


class _Ratios(NamedTuple):
    lowest: float
    highest: float


class _Totals(NamedTuple):
    """Of a whole minibatch: what its sums are divided by."""

    num_rows: int
    num_tokens: int
    num_values: int


def accumulate_gradient(
    actors: Actors,
    experience: Experience,
    minibatch: Sequence[Tensor],
    config: PolicyConfig,
    *,
    kl_coef: float,
    workers: Workers = ALONE,
) -> tuple[_Sums, _Ratios]:
    """Add the gradient of L_π + c_v·L_V − c_e·H (+ β·KL, where it is a loss) over one minibatch to the weights; the
    sums behind the means.
    """
    totals = _Totals(
        num_rows=sum(len(rows) for rows in minibatch),
        num_tokens=sum(int(experience.responses.mask[rows].sum()) for rows in minibatch),
        num_values=sum(int(experience.value_mask[rows].sum()) for rows in minibatch),
    )

    def learn(piece: Tensor, backward: Backward) -> Tensor:
        return _learn_piece(actors, experience, piece, config, totals=totals, kl_coef=kl_coef, backward=backward)

    weights = [weight for each in actors.optimizers for group in each.param_groups for weight in group["params"]]
    own = torch.stack(workers.learn(learn, minibatch, weights))
    table = torch.cat(every(own.cpu()))
    sums = _Sums(totals.num_tokens, totals.num_values, *table[:, :5].sum(0).tolist())
    return sums, _Ratios(lowest=float(table[:, 5].min()), highest=float(table[:, 6].max()))


def _learn_piece(
    actors: Actors,
    experience: Experience,
    piece: Tensor,
    config: PolicyConfig,
    *,
    totals: _Totals,
    kl_coef: float,
    backward: Backward,
) -> Tensor:
    """Add the gradient of one micro-batch to the policy's, then to that of a value model of its own.

    (7,) float64: its part of the last five sums of _Sums, and the lowest and the highest ratio.
    """
    rows, weight = my_rows(piece)
    part = experience.take(rows)
    mask, counts = part.responses.mask, part.value_mask
    said = hear(actors, part.responses, counts, config, with_entropy=config.entropy_coef > 0)
    old = part.logprobs[mask]
    surrogate = _surrogate(said, part, config)
    of_tokens = surrogate.loss
    if config.kl_in_loss:
        kl = kl_loss(said.logprobs, old, part.ref_logprobs[mask], config.kl_in_loss_estimator)
        of_tokens = of_tokens + kl_coef * kl
    divisors = token_divisors(mask, config, num_tokens=totals.num_tokens, num_rows=totals.num_rows)
    policy_part = (of_tokens / divisors).sum()
    loss = policy_part
    if config.entropy_coef:
        loss = loss - config.entropy_coef * (said.entropy / divisors).sum()
    squares = loss.new_zeros(1)
    if said.values is not None:
        squares = squared_errors(said.values, part, config)
        loss = loss + config.value_coef * squares.sum() / totals.num_values
    backward(weight * loss)
    if actors.own_value is not None:
        squares = squared_errors(values_of(actors.own_value, part.responses, counts, config), part, config)
        backward(weight * config.value_coef * squares.sum() / totals.num_values)
    ratio = surrogate.ratio
    sums = [
        policy_part.detach() * totals.num_tokens,
        squares.detach().sum(),
        surrogate.clipped.sum(),
        ratio.sum(),
        (said.logprobs.detach() - old).square().sum(),
    ]
    return torch.stack([*(weight * value.double() for value in sums), ratio.min().double(), ratio.max().double()])


def _surrogate(said: Said, part: Experience, config: PolicyConfig) -> PolicyLoss:
    """The clipped objective at each of N response tokens."""
    mask = part.responses.mask
    logprobs, old = said.logprobs, part.logprobs[mask]
    if config.ratio_of == "response":
        logprobs, old = per_response(logprobs, mask), per_response(old, mask)
    return policy_loss(
        logprobs,
        old,
        part.advantages[mask],
        clip_range=config.clip_range if config.clips else None,
        clip_range_high=config.clip_range_high or None,
        dual_clip=config.dual_clip or None,
    )


def squared_errors(values: Tensor, part: Experience, config: PolicyConfig) -> Tensor:
    """(M,) the value loss at each token of the value mask. values: (M,)."""
    counts = part.value_mask
    return value_loss(values, part.values[counts], part.returns[counts], clip_range=config.value_clip_range)


def per_response(of_tokens: Tensor, mask: Tensor) -> Tensor:
    """(N,) at every token the sum over its response. of_tokens: (N,), in row-major order of the mask (B, T)."""
    rows = mask.nonzero(as_tuple=True)[0]
    return of_tokens.new_zeros(len(mask)).index_add(0, rows, of_tokens)[rows]


def token_divisors(mask: Tensor, config: PolicyConfig, *, num_tokens: int, num_rows: int) -> Tensor | int:
    """(N,), or one number: what each real token's loss is divided by, so that the sum is the mean of a minibatch of
    num_rows responses with num_tokens tokens.

    "token": num_tokens (Yu et al. 2025, DAPO). "sequence": num_rows times the response's length (Shao et al. 2024).
    "constant": num_rows times max_response_tokens (Liu et al. 2025, Dr. GRPO).
    """
    if config.averages_by == "token":
        return num_tokens
    if config.averages_by == "constant":
        return num_rows * config.max_response_tokens
    return num_rows * mask.sum(1, keepdim=True).expand(mask.shape)[mask]
