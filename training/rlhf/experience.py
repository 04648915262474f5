"""A batch of responses and all that an update needs of them: log-probabilities, KL, values, rewards, advantages.

    experience = appraise(actors, responses, raw_scores, config, kl_coef=0.05, step=k)

PPO (Schulman et al. 2017), REINFORCE, A2C, RLOO and GRPO differ in `estimate` and in switches of the loss. The
log-probabilities of the sampling policy are computed here, over the same micro-batches as the first epoch of the
update, so that the first ratios are 1 to the last bit. Left out: sampling, scoring, the update (policy_update.py).
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.rlhf.advantages import (
    Advantages,
    gae,
    group_relative,
    kl_estimate,
    leave_one_out,
    to_tokens,
    token_rewards,
    value_mask,
    whiten,
)
from training.rlhf.beside import side_by_side
from training.rlhf.config import PolicyConfig
from training.rlhf.distributed import share, summed
from training.rlhf.heads import Picked, ValueHead, head_of, picked_logprobs
from training.rlhf.losses import token_entropy, token_logprobs
from training.rlhf.model import ScalarModel, adapters_off, precision
from training.rlhf.packing import packs, pieces
from training.rlhf.sampling import (
    Responses,
    as_grid,
    at_responses,
    response_logits,
    response_logprobs,
    response_states,
    response_tokens,
)


class Actors(NamedTuple):
    """The models that take part in a step."""

    policy: nn.Module
    reference: nn.Module | None
    """Frozen copy of the starting policy; None: the policy itself with its adapters switched off."""
    value: ScalarModel | ValueHead | None
    """A head stands on the policy's trunk. None for algorithms that do without."""
    policy_optimizer: torch.optim.AdamW
    """Of the policy, and of a value head on it."""
    value_optimizer: torch.optim.AdamW | None
    """Of a value model of its own."""

    @property
    def optimizers(self) -> list[torch.optim.AdamW]:
        return [self.policy_optimizer, *([self.value_optimizer] if self.value_optimizer else [])]

    @property
    def own_value(self) -> ScalarModel | None:
        """The value model where it has a network of its own."""
        return None if isinstance(self.value, ValueHead) else self.value

    @property
    def is_packed(self) -> bool:
        """All of them take rows of unequal length without padding."""
        others = [self.value.trunk] if isinstance(self.value, ScalarModel) else []
        others = [*others, self.reference] if self.reference is not None else others
        return all(packs(model) for model in [self.policy, *others])


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
    """(B, T) the value model before the update; zero without one."""
    advantages: Tensor
    """(B, T) whitened if the config says so."""
    returns: Tensor
    """(B, T); zero without a value model."""
    raw_scores: Tensor
    """(B,) as the reward model gave them, normalised."""
    scores: Tensor
    """(B,) as paid: clipped, and replaced where the response did not end."""

    def take(self, rows: Tensor) -> "Experience":
        """These rows, cut to their own longest."""
        responses, counts = cut_to(self.responses, self.value_mask, rows)
        return Experience(
            responses,
            counts,
            *(grid[rows, : counts.shape[1]] for grid in self[2:8]),
            *(column[rows] for column in self[8:]),
        )


Plan = list[list[Tensor]]
"""One pass over a batch: the minibatches (an optimizer step each), cut into micro-batches of row numbers."""


def seeded(config: PolicyConfig, purpose: str, step: int) -> torch.Generator:
    """The CPU generator of one purpose in one step: a pure function of its arguments, so nothing about it is saved."""
    return torch.Generator().manual_seed(random.Random(f"{config.seed}/{purpose}/{step}").getrandbits(63))


def plan_pass(
    responses: Responses, config: PolicyConfig, *, epoch: int, step: int, is_packed: bool = False, at_once: int = 1
) -> Plan:
    """A shuffled split of all rows into minibatches of one size, rows of like length together in a micro-batch.

    at_once: micro-batches that are in memory together.
    """
    lengths = responses.lengths().tolist()
    device = responses.tokens.device
    order = torch.randperm(len(lengths), generator=seeded(config, f"epoch {epoch}", step))
    cuts = (
        pieces(
            part.tolist(),
            size=config.micro_batch_size,
            length=lengths.__getitem__,
            device=device,
            is_packed=is_packed,
            at_once=at_once,
        )
        for part in order.chunk(config.num_minibatches)
    )
    return [[torch.tensor(rows, device=device) for rows in cut] for cut in cuts]


class Said(NamedTuple):
    """What the policy says about N response tokens."""

    logprobs: Tensor
    """(N,) nats."""
    entropy: Tensor
    """(N,) nats; means nothing unless it was asked for."""
    values: Tensor | None
    """(M,) of a value head on its trunk, at the tokens of the value mask, in units of the normalised score."""


def hear(
    actors: Actors, responses: Responses, counts: Tensor, config: PolicyConfig, *, with_entropy: bool = False
) -> Said:
    """One pass of the policy, with gradient where it is enabled.

    counts: (B, T) value mask. The appraisal and the update both hear by this one path, so that the first ratios are 1.
    """
    policy, value, mask, temperature = actors.policy, actors.value, responses.mask, config.temperature
    tokens, values = response_tokens(responses), None
    with precision(mask.device, config.dtype):
        if packs(policy):
            states = response_states(policy, responses, counts if isinstance(value, ValueHead) else mask)
            if isinstance(value, ValueHead):
                values, states = value(states), states[mask[counts]]
            said = picked_logprobs(states, head_of(policy), tokens, temperature=temperature, with_entropy=with_entropy)
        else:
            logits = response_logits(policy, responses)
            logprobs = token_logprobs(logits, tokens, temperature=temperature)
            entropy = token_entropy(logits, temperature=temperature) if with_entropy else torch.zeros_like(logprobs)
            said = Picked(logprobs, entropy)
    return Said(*said, values)


def my_rows(piece: Tensor) -> tuple[Tensor, float]:
    """This process's rows of a micro-batch, and their weight (distributed.share)."""
    mine = share(piece.tolist())
    return piece.new_tensor(mine.rows), mine.weight


def cut_to(responses: Responses, counts: Tensor, rows: Tensor) -> tuple[Responses, Tensor]:
    """These rows of responses and value mask, cut to their own longest."""
    width = int(counts[rows].sum(1).max())
    return responses.take(rows, width=width), counts[rows, :width]


class Heard(NamedTuple):
    """What all models say about a batch: (B, T) each, zero where a mask is False and in other processes' rows."""

    logprobs: Tensor
    ref_logprobs: Tensor
    entropy: Tensor
    values: Tensor


def hear_all(actors: Actors, responses: Responses, counts: Tensor, config: PolicyConfig, *, step: int) -> Heard:
    """Ask policy, value model and reference, by the pieces of the update's first pass. counts: (B, T) value mask."""
    mask, own = responses.mask, actors.own_value
    dtype = torch.promote_types(next(actors.policy.parameters()).dtype, torch.float32)
    heard = Heard(*torch.zeros(4, *mask.shape, dtype=dtype, device=mask.device))

    # a piece writes into rows of its own, so several may at the same time
    def hear_piece(piece: Tensor) -> None:
        rows, weight = my_rows(piece)
        part, part_counts = cut_to(responses, counts, rows)
        said = hear(actors, part, part_counts, config, with_entropy=True)
        values = said.values if own is None else values_of(own, part, part_counts, config)
        width = part_counts.shape[1]
        heard.logprobs[rows, :width] = weight * as_grid(said.logprobs, part.mask)
        heard.entropy[rows, :width] = weight * as_grid(said.entropy, part.mask)
        if values is not None:
            heard.values[rows, :width] = weight * as_grid(values, part_counts)

    def hear_reference(piece: Tensor) -> None:
        rows, weight = my_rows(piece)
        part, part_counts = cut_to(responses, counts, rows)
        with precision(mask.device, config.dtype):
            logprobs = response_logprobs(reference, part, temperature=config.temperature)
        heard.ref_logprobs[rows, : part_counts.shape[1]] = weight * as_grid(logprobs, part.mask)

    with side_by_side(actors.policy, most=config.micro_batch_size) as workers:
        plan = plan_pass(responses, config, epoch=0, step=step, is_packed=actors.is_packed, at_once=workers.count)
        cut = [piece for minibatch in plan for piece in minibatch]
        workers.read(hear_piece, cut)
        with reference_policy(actors) as reference:
            workers.read(hear_reference, cut)
    return heard


@torch.no_grad()
def appraise(
    actors: Actors,
    responses: Responses,
    raw_scores: Tensor,
    config: PolicyConfig,
    *,
    kl_coef: float,
    step: int,
    baseline: float = 0.0,
) -> Experience:
    """What the models say about the responses, turned into rewards and advantages. raw_scores: (B,) normalised.

    baseline: the running mean of earlier rewards, for reinforce.
    """
    mask, counts = responses.mask, value_mask(responses.mask, score_at=config.score_at)
    heard = hear_all(actors, responses, counts, config, step=step)
    for grid in heard:
        summed(grid)  # of zeros and each process's own rows

    scores = paid_scores(raw_scores.to(heard.values.dtype), responses, config)
    kl = kl_estimate(heard.logprobs, heard.ref_logprobs, config.kl_in_reward_estimator)
    coef = 0.0 if config.kl_in_loss else kl_coef
    estimated = estimate(config, scores, kl, heard.values, mask=mask, counts=counts, kl_coef=coef, baseline=baseline)
    return Experience(
        responses=responses,
        value_mask=counts,
        logprobs=heard.logprobs,
        ref_logprobs=heard.ref_logprobs,
        entropy=heard.entropy,
        values=heard.values,
        advantages=estimated.advantages,
        returns=estimated.returns,
        raw_scores=raw_scores,
        scores=scores,
    )


def paid_scores(scores: Tensor, responses: Responses, config: PolicyConfig) -> Tensor:
    """(B,) the normalised scores as they are paid: clipped, and replaced where the response did not end."""
    if config.reward_clip:
        scores = scores.clamp(-config.reward_clip, config.reward_clip)
    if config.replace_missing_eos:
        scores = torch.where(responses.ended, scores, torch.full_like(scores, config.missing_eos_score))
    return scores


def estimate(
    config: PolicyConfig,
    scores: Tensor,
    kl: Tensor,
    values: Tensor,
    *,
    mask: Tensor,
    counts: Tensor,
    kl_coef: float,
    baseline: float,
) -> Advantages:
    """The algorithm's advantages, as they go into the loss. scores: (B,); kl, values, mask, counts: (B, T).

    kl_coef: β where the KL is part of the reward, else 0. reinforce, rloo and grpo judge a whole response: all its
    tokens share one advantage, and the reward is R − β·(its summed KL).
    """
    zero = torch.zeros_like(values)
    sequence_kl = torch.where(mask, kl, zero).sum(1)
    if config.algorithm == "rloo":
        own = leave_one_out(scores, sequence_kl, group_size=config.group_size, kl_coef=kl_coef)
        return Advantages(to_tokens(own, mask), zero)
    if config.is_grouped:
        rewards = scores - kl_coef * sequence_kl
        own = group_relative(rewards, group_size=config.group_size, divide_by_std=config.algorithm == "grpo")
        return Advantages(to_tokens(own, mask), zero)
    if not config.has_value_model:
        return Advantages(to_tokens(scores - kl_coef * sequence_kl - baseline, mask), zero)
    rewards = token_rewards(kl, scores, mask, kl_coef=kl_coef, score_at=config.score_at)
    if config.whiten_rewards:
        rewards = whiten(rewards, counts, variance=config.advantage_variance, keep_mean=True)
    gae_lambda = 1.0 if config.algorithm == "reinforce" else config.gae_lambda
    estimated = gae(rewards, values, counts, gamma=config.gamma, gae_lambda=gae_lambda)
    advantages = torch.where(mask, estimated.advantages, zero)
    if config.whiten_advantages and config.algorithm != "reinforce":
        advantages = whiten(advantages, mask, variance=config.advantage_variance)
    return Advantages(advantages, estimated.returns)


def values_of(value: ScalarModel, responses: Responses, counts: Tensor, config: PolicyConfig) -> Tensor:
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
