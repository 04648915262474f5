"""Losses against numbers worked out by five independent implementations, and against arithmetic by hand."""

import math

import pytest
import torch
from torch import Tensor

from training.rlhf import advantages as adv
from training.rlhf import losses

PAD = -9.0


def doubles(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


LOGPROBS = doubles([[-1.0, -0.5, -2.0, -0.25], [-0.75, -1.5, PAD, PAD]])
REFERENCE = doubles([[-1.2, -0.4, -1.5, -0.30], [-1.0, -1.25, PAD, PAD]])
NEW_LOGPROBS = doubles([[-0.7, -0.6, -2.3, -0.25], [-0.8, -1.1, PAD, PAD]])
OLD_VALUES = doubles([[0.10, 0.20, -0.10, 0.40], [0.30, 0.50, 0.70, 0.90]])
NEW_VALUES = doubles([[0.35, 0.10, -0.20, 0.90], [0.30, 0.20, 0.10, 0.10]])
SCORES = torch.tensor([1.0, -0.5], dtype=torch.float64)
MASK = torch.arange(4) <= torch.tensor([[3], [1]])

LAST = [0.795844, 0.742994, 1.092625, 0.597500, -0.750625, -0.987500]
FIRST_PAD = [0.795844, 0.742994, 1.092625, 0.597500, -0.693625, -0.927500]
OURS_WHITE = [0.678547, 0.613031, 1.046451, 0.432670, -1.238529, -1.532171]
VERL_WHITE = [0.619426, 0.559619, 0.955275, 0.394972, -1.130617, -1.398674]
DETAILS_WHITE = [0.677096, 0.609305, 1.057774, 0.422681, -1.233433, -1.533423]
# Who: score at, variance, raw and whitened advantages, policy loss, value loss, total.
CONVENTIONS = {
    "ours": ("last", "population", LAST, OURS_WHITE, 0.147834, 0.319135, 0.179748),
    "verl": ("last", "unbiased", LAST, VERL_WHITE, 0.134954, 0.319135, 0.166867),
    "details": ("first_pad", "population", FIRST_PAD, DETAILS_WHITE, 0.148457, 0.332600, 0.181717),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_ppo_golden_numbers(name):
    score_at, variance, raw, whitened, policy, value, total = CONVENTIONS[name]
    counts = adv.value_mask(MASK, score_at=score_at)
    rewards = adv.token_rewards(adv.kl_estimate(LOGPROBS, REFERENCE), SCORES, MASK, kl_coef=0.05, score_at=score_at)
    estimate = adv.gae(rewards, OLD_VALUES, counts, gamma=1.0, gae_lambda=0.95)
    assert estimate.advantages[MASK].tolist() == pytest.approx(raw, abs=6e-7)

    white = adv.whiten(estimate.advantages, MASK, variance=variance)
    assert white[MASK].tolist() == pytest.approx(whitened, abs=6e-7)

    surrogate = losses.policy_loss(NEW_LOGPROBS, LOGPROBS, white, clip_range=0.2)
    squares = losses.value_loss(NEW_VALUES, OLD_VALUES, estimate.returns, clip_range=0.2)
    policy_mean, value_mean = losses.masked_mean(surrogate.loss, MASK), losses.masked_mean(squares, counts)
    assert float(policy_mean) == pytest.approx(policy, abs=6e-7)
    assert float(value_mean) == pytest.approx(value, abs=6e-7)
    assert float(policy_mean + 0.1 * value_mean) == pytest.approx(total, abs=6e-7)
    assert float(losses.masked_mean(surrogate.clipped.double(), MASK)) == pytest.approx(1 / 6)


def test_the_larger_of_two_value_errors_counts():
    """Return 0.5. From 0.4 to 1.5, clipped to 0.6: the error is 1. From 1.5 to 0.5, clipped to 1.3: 0.8, not 0."""
    values, old, returns = torch.tensor([1.5, 0.5]), torch.tensor([0.4, 1.5]), torch.tensor([0.5, 0.5])
    found = losses.value_loss(values, old, returns, clip_range=0.2)
    assert found.tolist() == pytest.approx([0.5 * 1.0, 0.5 * 0.64])
    assert losses.value_loss(values, old, returns, clip_range=None).tolist() == pytest.approx([0.5, 0.0])


def test_reward_golden_numbers():
    a, b = torch.tensor([1.2, 0.3]), torch.tensor([0.5, 0.9])
    assert float(losses.preference_loss(a, b).mean()) == pytest.approx(0.720337, abs=1e-6)
    assert float(losses.preference_loss(a, b, margin=0.5).mean()) == pytest.approx(0.992737, abs=1e-6)
    assert float(losses.preference_loss(a, b, label_smoothing=0.1).mean()) == pytest.approx(0.725337, abs=1e-6)
    assert 0.01 * float(losses.centering_penalty(a, b).mean()) == pytest.approx(0.021650, abs=1e-7)


def test_preference_loss_is_symmetric_and_takes_soft_targets():
    a, b, margin = torch.tensor([1.2, 0.3]), torch.tensor([0.5, 0.9]), torch.tensor([0.5, -0.25])
    target = torch.tensor([0.8, 0.1])
    forward = losses.preference_loss(a, b, target, margin=margin)
    assert torch.allclose(forward, losses.preference_loss(b, a, 1 - target, margin=-margin))
    # A tie of equal rewards costs log 2, whatever the smoothing.
    tie = losses.preference_loss(a, a, 0.5, label_smoothing=0.3)
    assert tie.tolist() == pytest.approx([math.log(2)] * 2)


def test_dpo_golden_numbers():
    policy, reference = torch.tensor([1.2, -0.8]), torch.tensor([0.4, 0.1])
    assert float(losses.dpo_loss(policy, reference, beta=0.1).mean()) == pytest.approx(0.696553, abs=1e-6)
    smoothed = losses.dpo_loss(policy, reference, beta=0.1, label_smoothing=0.1)
    assert float(smoothed.mean()) == pytest.approx(0.696053, abs=1e-6)


def test_token_logprobs_and_entropy_at_a_temperature():
    """Two tokens with logits (0, ln 3) are (1/4, 3/4); at temperature 1/2 they are (1/10, 9/10)."""
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    token = torch.tensor([1])
    assert float(losses.token_logprobs(logits, token)) == pytest.approx(math.log(0.75))
    assert float(losses.token_logprobs(logits, token, temperature=0.5)) == pytest.approx(math.log(0.9))
    assert float(losses.token_entropy(logits, temperature=0.5)) == pytest.approx(
        -0.1 * math.log(0.1) - 0.9 * math.log(0.9)
    )
    assert float(losses.token_entropy(torch.tensor([[0.0, -math.inf]]))) == 0.0


def test_log_softmax_of_half_precision_logits_is_taken_in_float32():
    logits = torch.linspace(-4, 4, 512).bfloat16().unsqueeze(0)
    exact = losses.token_logprobs(logits.double(), torch.tensor([3]))
    assert float(losses.token_logprobs(logits, torch.tensor([3]))) == pytest.approx(float(exact), abs=1e-5)


def test_dual_clip_bounds_the_loss_of_a_bad_token_that_grew_likely():
    """ρ = e² and Â = −1: the plain loss is e², dual clip 3 caps it at 3; a good token is left alone."""
    logprobs, old = torch.tensor([[0.0, 0.0]]), torch.tensor([[-2.0, -2.0]])
    advantages = torch.tensor([[-1.0, 1.0]])
    plain = losses.policy_loss(logprobs, old, advantages, clip_range=0.2).loss
    capped = losses.policy_loss(logprobs, old, advantages, clip_range=0.2, dual_clip=3.0).loss
    assert plain[0].tolist() == pytest.approx([math.exp(2), -1.2])
    assert capped[0].tolist() == pytest.approx([3.0, -1.2])
    with pytest.raises(ValueError, match="dual_clip must be above 1"):
        losses.policy_loss(logprobs, old, advantages, clip_range=0.2, dual_clip=0.5)


def test_masked_mean_never_reads_what_the_mask_hides():
    values = torch.tensor([[1.0, math.nan], [3.0, math.inf]], requires_grad=True)
    mask = torch.tensor([[True, False], [True, False]])
    mean = losses.masked_mean(values, mask)
    assert float(mean.detach()) == 2.0
    mean.backward()
    assert values.grad is not None and values.grad.tolist() == [[0.5, 0.0], [0.5, 0.0]]
    with pytest.raises(ValueError, match="no real token"):
        losses.masked_mean(values, torch.zeros_like(mask))
