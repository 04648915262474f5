"""One PPO step on one batch of responses: appraise them, then update policy and value model (Schulman et al. 2017).

    experience = appraise(actors, responses, raw_scores, config, kl_coef=0.05, step=k)
    stats = update(actors, experience, config, learning_rate=1e-5, step=k)

Sums are divided by the real tokens of a whole minibatch, so that micro-batches, row order and padding leave the
gradient as it is. The log-probabilities of the sampling policy are computed here, over the same micro-batches as the
first epoch of the update, so that the first ratios are 1 to the last bit. Left out: sampling, scoring, files.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.rlhf.advantages import gae, kl_estimate, token_rewards, value_mask, whiten
from training.rlhf.config import PolicyConfig
from training.rlhf.data import micro_batches, pass_cost
from training.rlhf.losses import policy_loss, token_entropy, token_logprobs, value_loss
from training.rlhf.model import ScalarModel, adapters_off, precision
from training.rlhf.optimizer import take_step
from training.rlhf.sampling import (
    Responses,
    as_grid,
    at_responses,
    response_logits,
    response_logprobs,
    response_tokens,
)


class Actors(NamedTuple):
    """The models that take part in a step."""

    policy: nn.Module
    reference: nn.Module | None
    """Frozen copy of the starting policy; None: the policy itself with its adapters switched off."""
    value: ScalarModel
    policy_optimizer: torch.optim.AdamW
    value_optimizer: torch.optim.AdamW


class Experience(NamedTuple):
    """A batch of responses with all that the update needs. B rows, T response tokens; zero where a mask is False."""

    responses: Responses
    value_mask: Tensor
    """(B, T) bool: the response mask, with score_at first_pad one slot more."""
    logprobs: Tensor
    """(B, T) nats, the policy that sampled, by the forward path of the update."""
    ref_logprobs: Tensor
    """(B, T) nats."""
    entropy: Tensor
    """(B, T) nats, the policy that sampled."""
    values: Tensor
    """(B, T) the value model before the update."""
    advantages: Tensor
    """(B, T) whitened if the config says so."""
    returns: Tensor
    """(B, T)."""
    raw_scores: Tensor
    """(B,) as the reward model gave them, normalised."""
    scores: Tensor
    """(B,) as paid: clipped, and replaced where the response did not end."""

    def take(self, rows: Tensor) -> "Experience":
        """These rows, cut to their own longest."""
        counts = self.value_mask[rows]
        width = int(counts.sum(1).max())
        return Experience(
            self.responses.take(rows, width=width),
            counts[:, :width],
            *(grid[rows, :width] for grid in self[2:8]),
            *(column[rows] for column in self[8:]),
        )


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


Plan = list[list[Tensor]]
"""One pass over a batch: the minibatches (an optimizer step each), cut into micro-batches of row numbers."""


def seeded(config: PolicyConfig, purpose: str, step: int) -> torch.Generator:
    """The CPU generator of one purpose in one step: a pure function of its arguments, so nothing about it is saved."""
    return torch.Generator().manual_seed(random.Random(f"{config.seed}/{purpose}/{step}").getrandbits(63))


def plan_pass(responses: Responses, config: PolicyConfig, *, epoch: int, step: int) -> Plan:
    """A shuffled split of all rows into minibatches of one size, rows of like length together in a micro-batch."""
    lengths = responses.lengths().tolist()
    device = responses.tokens.device
    order = torch.randperm(len(lengths), generator=seeded(config, f"epoch {epoch}", step))
    cut = {"size": config.micro_batch_size, "pass_cost": pass_cost(device)}
    return [
        [torch.tensor(rows, device=device) for rows in micro_batches(part.tolist(), length=lengths.__getitem__, **cut)]
        for part in order.chunk(config.num_minibatches)
    ]


@torch.no_grad()
def appraise(
    actors: Actors, responses: Responses, raw_scores: Tensor, config: PolicyConfig, *, kl_coef: float, step: int
) -> Experience:
    """What the models say about the responses, turned into rewards and advantages. raw_scores: (B,) normalised."""
    mask, counts = responses.mask, value_mask(responses.mask, score_at=config.score_at)
    dtype = torch.promote_types(next(actors.policy.parameters()).dtype, torch.float32)
    logprobs, ref_logprobs, entropy, values = torch.zeros(4, *mask.shape, dtype=dtype, device=mask.device)
    for rows in (rows for minibatch in plan_pass(responses, config, epoch=0, step=step) for rows in minibatch):
        width = int(counts[rows].sum(1).max())
        part = responses.take(rows, width=width)
        with precision(mask.device, config.dtype):
            logits = response_logits(actors.policy, part)
            with reference_policy(actors) as reference:
                of_reference = response_logprobs(reference, part, temperature=config.temperature)
        tokens = response_tokens(part)
        of_policy = token_logprobs(logits, tokens, temperature=config.temperature)
        logprobs[rows, :width] = as_grid(of_policy, part.mask)
        entropy[rows, :width] = as_grid(token_entropy(logits, temperature=config.temperature), part.mask)
        ref_logprobs[rows, :width] = as_grid(of_reference, part.mask)
        part_counts = counts[rows, :width]
        values[rows, :width] = as_grid(_values(actors.value, part, part_counts, config), part_counts)

    scores = raw_scores.to(dtype)
    if config.reward_clip:
        scores = scores.clamp(-config.reward_clip, config.reward_clip)
    if config.replace_missing_eos:
        scores = torch.where(responses.ended, scores, torch.full_like(scores, config.missing_eos_score))
    kl = kl_estimate(logprobs, ref_logprobs, config.kl_in_reward_estimator)
    rewards = token_rewards(kl, scores, mask, kl_coef=kl_coef, score_at=config.score_at)
    if config.whiten_rewards:
        rewards = whiten(rewards, counts, variance=config.advantage_variance, keep_mean=True)
    estimate = gae(rewards, values, counts, gamma=config.gamma, gae_lambda=config.gae_lambda)
    advantages = torch.where(mask, estimate.advantages, torch.zeros_like(values))
    if config.whiten_advantages:
        advantages = whiten(advantages, mask, variance=config.advantage_variance)
    return Experience(
        responses=responses,
        value_mask=counts,
        logprobs=logprobs,
        ref_logprobs=ref_logprobs,
        entropy=entropy,
        values=values,
        advantages=advantages,
        returns=estimate.returns,
        raw_scores=raw_scores,
        scores=scores,
    )


def update(
    actors: Actors, experience: Experience, config: PolicyConfig, *, learning_rate: float, step: int
) -> UpdateStats:
    """ppo_epochs passes of num_minibatches optimizer steps each, unless `kl_stop` ends them; ValueError on NaN.

    Policy and value model have an optimizer and a gradient norm each: they share no weights, and a value model that is
    still far off must not shrink the policy's step.
    """
    total = torch.zeros(len(_Sums._fields), dtype=torch.float64)
    ratio_max, first_ratio_error, num_steps = 0.0, None, 0
    grad_norms = [0.0, 0.0]
    stopped_early = False
    for epoch in range(config.ppo_epochs):
        for minibatch in plan_pass(experience.responses, config, epoch=epoch, step=step):
            sums, ratios = accumulate_gradient(actors, experience, minibatch, config)
            total += torch.tensor(sums, dtype=torch.float64)
            ratio_max = max(ratio_max, ratios.highest)
            if first_ratio_error is None:
                first_ratio_error = max(ratios.highest - 1.0, 1.0 - ratios.lowest)
            if config.kl_stop and 0.5 * sums.squared_change / sums.num_tokens > config.kl_stop:
                actors.policy_optimizer.zero_grad(set_to_none=True)
                actors.value_optimizer.zero_grad(set_to_none=True)
                stopped_early = True
                break
            loss = sums.policy_loss / sums.num_tokens + sums.value_loss / sums.num_values
            for index, optimizer in enumerate((actors.policy_optimizer, actors.value_optimizer)):
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
    """Sums over the real tokens of one or more minibatches."""

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


def accumulate_gradient(
    actors: Actors, experience: Experience, minibatch: Sequence[Tensor], config: PolicyConfig
) -> tuple[_Sums, _Ratios]:
    """Add the gradient of L_π + c_v·L_V − c_e·H over one minibatch to the weights; the sums behind the means."""
    num_tokens = sum(int(experience.responses.mask[rows].sum()) for rows in minibatch)
    num_values = sum(int(experience.value_mask[rows].sum()) for rows in minibatch)
    seen = []
    for rows in minibatch:
        part = experience.take(rows)
        mask, counts = part.responses.mask, part.value_mask
        with precision(mask.device, config.dtype):
            logits = response_logits(actors.policy, part.responses)
        logprobs = token_logprobs(logits, response_tokens(part.responses), temperature=config.temperature)
        values = _values(actors.value, part.responses, counts, config)
        surrogate = policy_loss(
            logprobs,
            part.logprobs[mask],
            part.advantages[mask],
            clip_range=config.clip_range,
            dual_clip=config.dual_clip or None,
        )
        squares = value_loss(values, part.values[counts], part.returns[counts], clip_range=config.value_clip_range)
        loss = surrogate.loss.sum() / num_tokens + config.value_coef * squares.sum() / num_values
        if config.entropy_coef:
            loss = loss - config.entropy_coef * token_entropy(logits, temperature=config.temperature).sum() / num_tokens
        loss.backward()
        ratio = surrogate.ratio
        change = (logprobs.detach() - part.logprobs[mask]).square().sum()
        of_part = [surrogate.loss.detach().sum(), squares.detach().sum(), surrogate.clipped.sum(), ratio.sum(), change]
        seen.append(torch.stack([*(value.double() for value in of_part), ratio.min().double(), ratio.max().double()]))
    table = torch.stack(seen).cpu()
    sums = _Sums(num_tokens, num_values, *table[:, :5].sum(0).tolist())
    return sums, _Ratios(lowest=float(table[:, 5].min()), highest=float(table[:, 6].max()))


def _values(value: ScalarModel, responses: Responses, counts: Tensor, config: PolicyConfig) -> Tensor:
    """(M,) values, in units of the normalised score, of the states in which the tokens of `counts` were chosen."""
    columns = torch.arange(responses.tokens.shape[1], device=counts.device)
    mask = columns < responses.lengths().unsqueeze(1)
    with precision(counts.device, config.dtype):
        per_position = value(responses.tokens, mask)
    return at_responses(value.normalised(per_position), responses, counts)


@contextmanager
def reference_policy(actors: Actors) -> Iterator[nn.Module]:
    """Inside, the policy that the run started from."""
    if actors.reference is not None:
        yield actors.reference
    else:
        with adapters_off(actors.policy):
            yield actors.policy
