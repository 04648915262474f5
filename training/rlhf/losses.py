"""The losses: tensors in, one number a pair or a token out; no model, no config, no logging.

Nothing here averages, except `masked_mean`: a loop divides the sum of a whole minibatch by that minibatch's own
number of pairs or real tokens, so that neither micro-batching nor padding can change a gradient. Formulas are
numbered as in the papers they come from. Shapes: B rows, T response tokens, V vocabulary, P pairs.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PolicyLoss(NamedTuple):
    """The clipped objective of one batch, a value a token."""

    loss: Tensor
    """(B, T) to be minimised; meaningless where the response mask is False."""
    clipped: Tensor
    """(B, T) bool: the clipped branch was the larger one, so the token sent no gradient."""
    ratio: Tensor
    """(B, T) exp(logprobs - old_logprobs)."""


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of `values` (any shape) where `mask` (same shape, bool) is True. What stands elsewhere is never read, not
    even NaN.
    """
    return torch.where(mask, values, torch.zeros_like(values)).sum()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is True; ValueError when nothing is."""
    count = int(mask.sum())
    if count == 0:
        raise ValueError("there is no real token to average over: every response is empty")
    return masked_sum(values, mask) / count


def token_logprobs(logits: Tensor, tokens: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log-probability of each of `tokens` under softmax(logits / temperature), in nats.

    logits: (..., V); tokens: (...) ids. Computed in at least float32: in bfloat16 a log-softmax is off by percents.
    """
    scaled = _at_least_float32(logits) / temperature
    picked = scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return picked - scaled.logsumexp(-1)


def token_entropy(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Entropy of softmax(logits / temperature) in nats. logits: (..., V), finite or -inf; returns (...)."""
    logprobs = F.log_softmax(_at_least_float32(logits) / temperature, dim=-1)
    probabilities = logprobs.exp()
    return -torch.where(probabilities > 0, probabilities * logprobs, torch.zeros_like(logprobs)).sum(-1)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def preference_loss(
    rewards_a: Tensor,
    rewards_b: Tensor,
    target: Tensor | float = 1.0,
    *,
    margin: Tensor | float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Bradley-Terry cross-entropy of P(a is better), one value a pair (P,).

    Δ = r_a − r_b − margin;  L = −[p·logσ(Δ) + (1−p)·logσ(−Δ)]  (InstructGPT eq. 1 at p = 1; Llama 2 eq. 2 with a
    margin). rewards_a, rewards_b: (P,) scores of the two responses. target: p in 0..1, scalar or (P,); 0.5 is a tie.
    margin: how far a should lead; where b is the better one it is negative (b should lead), and 0 for a tie.
    label_smoothing: s draws p towards the middle, p·(1−s) + (1−p)·s.
    """
    difference = rewards_a - rewards_b - margin
    probability = torch.as_tensor(target, dtype=difference.dtype, device=difference.device)
    probability = probability * (1 - label_smoothing) + (1 - probability) * label_smoothing
    return -(probability * F.logsigmoid(difference) + (1 - probability) * F.logsigmoid(-difference))


def centering_penalty(rewards_a: Tensor, rewards_b: Tensor) -> Tensor:
    """(r_a + r_b)², one value a pair: keeps scores near zero (Eisenstein et al. 2023). Multiply by its coefficient."""
    return (rewards_a + rewards_b) ** 2


def dpo_loss(
    logratio: Tensor,
    ref_logratio: Tensor,
    target: Tensor | float = 1.0,
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7), one value a pair (P,).

    logratio: (P,) log π(y_a|x) − log π(y_b|x), sums over the response tokens, of the policy; ref_logratio of the
    reference. It is the preference loss with the implicit reward β·(log π − log π_ref).
    """
    return preference_loss(beta * logratio, beta * ref_logratio, target, label_smoothing=label_smoothing)


def ipo_loss(
    logratio: Tensor, ref_logratio: Tensor, target: Tensor | float = 1.0, *, beta: float, label_smoothing: float = 0.0
) -> Tensor:
    """Identity preference optimisation (Azar et al. 2023, eq. 17), one value a pair (P,).

    (h − 1/(2β))² with h = logratio − ref_logratio, as in dpo_loss; a soft target p weighs it against the pair turned
    round, (h + 1/(2β))². At p = σ(r_a − r_b) no h is infinite, even where people always agree.
    """
    difference = logratio - ref_logratio
    probability = torch.as_tensor(target, dtype=difference.dtype, device=difference.device)
    probability = probability * (1 - label_smoothing) + (1 - probability) * label_smoothing
    wanted = 1 / (2 * beta)
    return probability * (difference - wanted) ** 2 + (1 - probability) * (difference + wanted) ** 2


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    *,
    clip_range: float | None,
    clip_range_high: float | None = None,
    dual_clip: float | None = None,
) -> PolicyLoss:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7, sign turned), a value a token.

    max(−Â·ρ, −Â·clip(ρ, 1−ε, 1+ε)) with ρ = exp(logprobs − old_logprobs). All inputs (B, T); old_logprobs and
    advantages without gradient. clip_range None: −Â·ρ alone, whose gradient at ρ = 1 is REINFORCE's (Williams 1992).
    clip_range_high: another ε above 1 (Yu et al. 2025, DAPO). dual_clip c > 1 bounds the loss of a negative advantage
    at −c·Â (Ye et al. 2020, eq. 5); None: off.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    plain = -advantages * ratio
    if clip_range is None:
        return PolicyLoss(loss=plain, clipped=torch.zeros_like(plain, dtype=torch.bool), ratio=ratio.detach())
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + (clip_range_high or clip_range))
    loss = torch.maximum(plain, clipped)
    if dual_clip is not None:
        if dual_clip <= 1:
            raise ValueError(f"dual_clip must be above 1, got {dual_clip}")
        loss = torch.where(advantages < 0, torch.minimum(loss, -dual_clip * advantages), loss)
    return PolicyLoss(loss=loss, clipped=(clipped > plain).detach(), ratio=ratio.detach())


def kl_loss(
    logprobs: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor, estimator: Literal["k2", "k3", "k3_weighted"]
) -> Tensor:
    """KL from the reference as a term of the loss, a value a token (B, T), with the gradient that the estimator has.

    With d = log π − log π_ref: k2 = d²/2, whose gradient d·∇log π is the reverse KL's; k3 = exp(−d) − 1 + d (Shao et
    al. 2024, eq. 4), whose gradient (1 − π_ref/π)·∇log π is the forward KL's; k3 times the ratio π/π_old has
    the reverse KL's again (DeepSeek-V3.2, 2025). All of them act token by token: what a token does to the KL of those
    behind it is not in the gradient.
    """
    difference = logprobs - ref_logprobs
    if estimator == "k2":
        return 0.5 * difference**2
    estimate = torch.expm1(-difference) + difference
    return torch.exp(logprobs - old_logprobs) * estimate if estimator == "k3_weighted" else estimate


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip_range: float | None) -> Tensor:
    """Half the squared error of the values, kept near the old ones: ½·max((V−G)², (clip(V, V_old±ε)−G)²), a value a
    token.

    All inputs (B, T); clip_range None: the plain half squared error (Huang et al. 2024, details 11 and 12).
    """
    squared = (values - returns) ** 2
    if clip_range is not None:
        near = torch.clamp(values, old_values - clip_range, old_values + clip_range)
        squared = torch.maximum(squared, (near - returns) ** 2)
    return 0.5 * squared


def expectile_loss(difference: Tensor, *, expectile: float) -> Tensor:
    """|τ − [u < 0]|·u², a value an element (Kostrikov et al. 2022, eq. 5): minimised over a constant that is taken from
    all u, it gives their τ-expectile. At τ = ½ that is the mean (and half the squared error); towards 1, the maximum.
    """
    weight = torch.where(difference < 0, 1 - expectile, expectile)
    return weight * difference**2
