"""GAE against a slow loop, whitening and group baselines by hand, the KL estimators' means, the controller's steps."""

import pytest
import torch
from torch import Tensor

from training.rlhf import advantages as adv


def slow_gae(rewards: Tensor, values: Tensor, lengths: list[int], gamma: float, lam: float) -> Tensor:
    """Â_t = Σ_k (γλ)^k δ_{t+k}, summed term by term, straight from the paper's definition."""
    out = torch.zeros_like(values)
    for row, length in enumerate(lengths):
        for t in range(length):
            for k in range(t, length):
                after = values[row, k + 1] if k + 1 < length else 0.0
                out[row, t] += (gamma * lam) ** (k - t) * (rewards[row, k] + gamma * after - values[row, k])
    return out


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.0), (0.99, 1.0), (1.0, 1.0)])
def test_gae_equals_the_slow_sum(gamma, lam):
    generator = torch.Generator().manual_seed(1)
    rewards = torch.randn(5, 9, generator=generator, dtype=torch.float64)
    values = torch.randn(5, 9, generator=generator, dtype=torch.float64)
    lengths = [9, 1, 4, 8, 2]
    mask = torch.arange(9) < torch.tensor(lengths).unsqueeze(1)
    got = adv.gae(rewards, values, mask, gamma=gamma, gae_lambda=lam)
    assert torch.allclose(got.advantages, slow_gae(rewards, values, lengths, gamma, lam), atol=1e-12)
    assert torch.allclose(got.returns[mask], (got.advantages + values)[mask], atol=1e-12)


def test_nothing_behind_the_last_token_leaks_in():
    mask = torch.tensor([[True, True, False]])
    quiet = adv.gae(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.0]]), mask, gamma=1.0, gae_lambda=0.9)
    loud = adv.gae(
        torch.tensor([[1.0, 2.0, 7.0]]), torch.tensor([[0.5, 0.5, torch.nan]]), mask, gamma=1.0, gae_lambda=0.9
    )
    assert torch.equal(quiet.advantages, loud.advantages) and torch.equal(quiet.returns, loud.returns)
    assert quiet.returns[0, 2] == 0


def test_rewards_sum_to_score_minus_kl():
    generator = torch.Generator().manual_seed(2)
    kl = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([[5], [2], [1]])
    scores = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for score_at in ("last", "first_pad"):
        rewards = adv.token_rewards(kl, scores, mask, kl_coef=0.1, score_at=score_at)
        expected = scores - 0.1 * torch.where(mask, kl, 0.0).sum(1)
        assert torch.allclose(rewards.sum(1), expected, atol=1e-12)
    with pytest.raises(ValueError, match="no token at all"):
        adv.token_rewards(kl, scores, torch.zeros_like(mask), kl_coef=0.1)


def test_kl_estimators_by_enumeration():
    """Over all tokens of π, weighted by π: k1 and k3 give the true KL, k2 and |k1| do not."""
    generator = torch.Generator().manual_seed(3)
    policy = torch.log_softmax(torch.randn(1, 40, generator=generator, dtype=torch.float64), -1)
    reference = torch.log_softmax(torch.randn(1, 40, generator=generator, dtype=torch.float64), -1)
    truth = float((policy.exp() * (policy - reference)).sum())
    mean = {
        name: float((policy.exp() * adv.kl_estimate(policy, reference, name)).sum())
        for name in ("k1", "k2", "k3", "abs")
    }
    assert mean["k1"] == pytest.approx(truth, abs=1e-12)
    assert mean["k3"] == pytest.approx(truth, abs=1e-12)
    assert abs(mean["k2"] - truth) > 0.01 and abs(mean["abs"] - truth) > 0.01
    assert bool((adv.kl_estimate(policy, reference, "k3") >= 0).all())


def test_whitening_has_mean_zero_and_variance_one_of_the_named_kind():
    generator = torch.Generator().manual_seed(4)
    values = 3 + 2 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([[6], [3], [1], [5]])
    for variance, correction in (("population", 0), ("unbiased", 1)):
        white = adv.whiten(values, mask, variance=variance)
        assert float(white[mask].mean()) == pytest.approx(0, abs=1e-12)
        assert float(white[mask].var(correction=correction)) == pytest.approx(1, abs=1e-7)
        assert bool((white[~mask] == 0).all())
    kept = adv.whiten(values, mask, keep_mean=True)
    assert float(kept[mask].mean()) == pytest.approx(float(values[mask].mean()), abs=1e-12)


def test_whitening_bounds():
    one = torch.tensor([[True, False]])
    assert adv.whiten(torch.tensor([[5.0, 9.0]]), one).tolist() == [[0.0, 0.0]]
    with pytest.raises(ValueError, match="at least two response tokens"):
        adv.whiten(torch.tensor([[5.0, 9.0]]), one, variance="unbiased")


def test_group_baselines_golden_numbers():
    scores, kl = torch.tensor([1.0, 0.0, 0.5, -0.5]), torch.tensor([2.0, 1.0, 0.0, 3.0])
    rloo = adv.leave_one_out(scores, kl, group_size=4, kl_coef=0.05)
    assert rloo.tolist() == pytest.approx([0.966667, -0.3, 0.433333, -1.1], abs=1e-6)
    grpo = adv.group_relative(scores, group_size=4)
    assert grpo.tolist() == pytest.approx([1.161715, -0.387238, 0.387238, -1.161715], abs=1e-6)
    assert adv.group_relative(scores, group_size=2, divide_by_std=False).tolist() == pytest.approx(
        [0.5, -0.5, 0.5, -0.5]
    )
    for broken in (1, 3):
        with pytest.raises(ValueError, match="groups of at least 2"):
            adv.leave_one_out(scores, kl, group_size=broken, kl_coef=0.05)
        with pytest.raises(ValueError, match="groups of at least 2"):
            adv.group_relative(scores, group_size=broken)


def test_adaptive_controller():
    """KL 9 against 6 is clipped to +0.2: 0.15·(1 + 0.2·512/10000) = 0.151536; at 5.4 the error is −0.1; on target
    nothing moves.
    """
    control = adv.KLController(coef=0.15, target=6.0, horizon=10_000, is_adaptive=True)
    control.update(9.0, num_responses=512)
    assert control.coef == pytest.approx(0.151536, abs=1e-9)
    control.coef = 0.15
    control.update(5.4, num_responses=512)
    assert control.coef == pytest.approx(0.15 * (1 - 0.1 * 512 / 10_000), abs=1e-12)
    control.update(6.0, num_responses=512)
    assert control.coef == pytest.approx(0.15 * (1 - 0.1 * 512 / 10_000), abs=1e-12)
    fixed = adv.KLController(coef=0.15, target=6.0, horizon=10_000, is_adaptive=False)
    fixed.update(60.0, num_responses=512)
    assert fixed.coef == 0.15


def test_explained_variance():
    returns, mask = torch.tensor([[1.0, 2.0, 3.0, 99.0]]), torch.tensor([[True, True, True, False]])
    assert adv.explained_variance(returns, returns, mask) == 1.0
    assert adv.explained_variance(torch.zeros(1, 4), returns, mask) == 0.0
    assert adv.explained_variance(returns, torch.ones(1, 4), mask) == 0.0
