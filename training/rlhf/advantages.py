"""From scores to advantages: KL penalty, token rewards, GAE, whitening, baselines of the group, the KL controller.

Pure functions of tensors, shapes (B, T) with B responses of up to T tokens; the response mask is True on sampled
tokens up to and including the first stop token. All KL is in nats. Left out: models, configs, logging.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3", "abs"]
ScoreAt = Literal["last", "first_pad"]
Variance = Literal["population", "unbiased"]


class Advantages(NamedTuple):
    """What GAE makes of rewards and values; zero where the mask is False."""

    advantages: Tensor
    """(B, T) Â, not whitened."""
    returns: Tensor
    """(B, T) Â + V: what the value model should have said."""


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, estimator: KLEstimator = "k1") -> Tensor:
    """Per-token estimate of KL(π‖π_ref) in nats at tokens drawn from π (Schulman 2020). Inputs and result (B, T).

    With d = log π − log π_ref: k1 = d, k2 = d²/2, k3 = exp(−d) − 1 + d, abs = |d|. k1 and k3 have the right mean; k1
    alone may stand in a reward, the others move the optimum away from π_ref·exp(r/β).
    """
    difference = logprobs - ref_logprobs
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return 0.5 * difference**2
    if estimator == "k3":
        return torch.expm1(-difference) + difference
    return difference.abs()


def last_token(mask: Tensor) -> Tensor:
    """(B,) index of the last real token; ValueError when a response has none. mask: (B, T) bool, True without gaps."""
    lengths = mask.sum(-1)
    if bool((lengths == 0).any()):
        raise ValueError("a response has no token at all: max_response_tokens must be at least 1")
    return lengths - 1


def value_mask(mask: Tensor, *, score_at: ScoreAt = "last") -> Tensor:
    """(B, T) bool: where values count. The response mask itself, or with score_at "first_pad" one more token where
    there is room.
    """
    if score_at == "last":
        return mask
    longer = mask.clone()
    longer[:, 1:] |= mask[:, :-1]
    return longer


def token_rewards(kl: Tensor, scores: Tensor, mask: Tensor, *, kl_coef: float, score_at: ScoreAt = "last") -> Tensor:
    """ρ_t = −β·kl_t + [t = last]·R  (Ziegler et al. 2019, eq. 2), zero behind the response.

    kl: (B, T) per-token KL; scores: (B,); mask: (B, T) bool. score_at "first_pad" puts the score on the slot behind
    the last token where there is one (lm-human-preferences and its descendants); ours is "last": the token that ended
    the response.
    """
    rewards = torch.where(mask, -kl_coef * kl, torch.zeros_like(kl))
    at = last_token(mask)
    if score_at == "first_pad":
        at = (at + 1).clamp(max=mask.shape[1] - 1)
    return rewards.scatter_add(1, at.unsqueeze(1), scores.to(rewards.dtype).unsqueeze(1))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, gae_lambda: float) -> Advantages:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16), the episode ending at the last True of the mask.

    δ_t = ρ_t + γ·V_{t+1} − V_t with V behind the last token 0;  Â_t = δ_t + γλ·Â_{t+1};  returns = Â + V.
    rewards, values: (B, T), V at the position that predicts token t; mask: (B, T) bool, see `value_mask`.
    What stands behind the mask is never read.
    """
    zero = torch.zeros_like(values)
    rewards = torch.where(mask, rewards, zero)
    values = torch.where(mask, values, zero)
    next_values = torch.cat([values[:, 1:], zero[:, :1]], dim=1)
    deltas = rewards + gamma * next_values - values
    advantages = torch.zeros_like(values)
    running = zero[:, 0]
    for t in range(values.shape[1] - 1, -1, -1):
        running = deltas[:, t] + gamma * gae_lambda * running
        advantages[:, t] = running
    return Advantages(advantages=advantages, returns=advantages + values)


def whiten(values: Tensor, mask: Tensor, *, variance: Variance = "population", keep_mean: bool = False) -> Tensor:
    """(x − μ)/√(σ² + 1e-8) over the real tokens of the whole batch; zero elsewhere. values, mask: (B, T).

    "population" divides the squares by n, as the papers' code does; "unbiased" by n − 1 (TRL, verl, trlx).
    keep_mean adds μ back, for rewards. ValueError with fewer than two tokens under "unbiased".
    """
    real = values[mask]
    if variance == "unbiased" and real.numel() < 2:
        raise ValueError("an unbiased variance needs at least two response tokens in the batch")
    mean = real.mean()
    spread = ((real - mean) ** 2).sum() / (real.numel() - (1 if variance == "unbiased" else 0))
    whitened = (values - mean) * torch.rsqrt(spread + 1e-8)
    if keep_mean:
        whitened = whitened + mean
    return torch.where(mask, whitened, torch.zeros_like(values))


def leave_one_out(scores: Tensor, sequence_kl: Tensor, *, group_size: int, kl_coef: float) -> Tensor:
    """RLOO (Ahmadian et al. 2024): R_i − mean of the other answers to the same prompt, R = score − β·KL.

    scores, sequence_kl: (B,), groups of `group_size` neighbours; returns (B,).
    """
    if group_size < 2 or scores.numel() % group_size:
        raise ValueError(
            f"leave-one-out needs groups of at least 2 answers, got {scores.numel()} answers in {group_size}s"
        )
    rewards = (scores - kl_coef * sequence_kl).view(-1, group_size)
    others = (rewards.sum(1, keepdim=True) - rewards) / (group_size - 1)
    return (rewards - others).flatten()


def group_relative(scores: Tensor, *, group_size: int, divide_by_std: bool = True) -> Tensor:
    """GRPO (Shao et al. 2024): (R_i − mean)/(std + 1e-4) within the answers to one prompt; without std it is Dr. GRPO.

    scores: (B,), groups of `group_size` neighbours; the std is the unbiased one, as in the authors' code. Returns (B,).
    """
    if group_size < 2 or scores.numel() % group_size:
        raise ValueError(
            f"group-relative needs groups of at least 2 answers, got {scores.numel()} answers in {group_size}s"
        )
    groups = scores.view(-1, group_size)
    centred = groups - groups.mean(1, keepdim=True)
    if divide_by_std:
        centred = centred / (groups.std(1, keepdim=True) + 1e-4)
    return centred.flatten()


def to_tokens(advantages: Tensor, mask: Tensor) -> Tensor:
    """(B, T): every real token of a response gets its response's advantage (B,), 0 elsewhere."""
    return torch.where(mask, advantages.unsqueeze(1), torch.zeros_like(advantages).unsqueeze(1))


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 − Var(G − V)/Var(G) over the real tokens: 1 is a perfect value model, 0 a constant one. NaN never: 0 where
    Var(G) = 0.
    """
    truth = returns[mask]
    total = float(truth.var(correction=0))
    return 1.0 - float((truth - values[mask]).var(correction=0)) / total if total > 0 else 0.0


@dataclass
class KLController:
    """The KL coefficient β, fixed or steered towards a target (Ziegler et al. 2019, section 2.2).

    e = clip(KL/target − 1, −0.2, 0.2);  β ← β·(1 + e·n/horizon). KL is the mean over responses of the *sum* over
    tokens, in nats a response, and n the number of responses of the step. β is part of a checkpoint.
    """

    coef: float
    target: float
    horizon: float
    is_adaptive: bool

    def update(self, sequence_kl: float, *, num_responses: int) -> None:
        """Move β after a step; a fixed controller stays."""
        if not self.is_adaptive:
            return
        error = min(max(sequence_kl / self.target - 1.0, -0.2), 0.2)
        self.coef *= 1.0 + error * num_responses / self.horizon
