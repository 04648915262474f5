"""One PPO step: the exact optimum of an enumerable world, and a gradient that only the rollouts decide."""

import pytest
import torch

from tests.rlhf.small_world import (
    START,
    STOP,
    best_objective,
    make_world,
    objective,
    policy_steps,
    table_actors,
    tiny_actors,
)
from training.rlhf import experience as experiences
from training.rlhf.config import PolicyConfig, from_dict
from training.rlhf.experience import Actors, Experience, appraise, plan_pass, seeded
from training.rlhf.policy_update import accumulate_gradient, update
from training.rlhf.sampling import Responses, sample

BETA = 0.3


def world_config(seed: int = 0, **changes: object) -> PolicyConfig:
    settings = {
        "seed": seed,
        "rollout_batch_size": 256,
        "num_minibatches": 2,
        "learning_rate": 0.05,
        "kl_coef": BETA,
        "replace_missing_eos": False,
        "value_coef": 1.0,
        "value_clip_range": 100.0,
    } | changes
    return PolicyConfig(**settings)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_ppo_reaches_the_enumerated_optimum(seed):
    """85 responses, rewards of no simple form: J ≥ 0.99·J*, from a start that is far below."""
    config, world = world_config(seed), make_world(5, 3, seed=seed)
    actors = table_actors(5, 3, config)
    best = best_objective(actors, world, config)
    assert objective(actors, world, config) < 0.9 * best
    steps = policy_steps(actors, world, config, num_steps=40)
    assert objective(actors, world, config) >= 0.99 * best
    assert [step.num_optimizer_steps for step in steps] == [4 * 2] * 40
    assert max(step.first_ratio_error for step in steps) == 0.0


KIN = {
    "a2c": {"algorithm": "a2c", "num_minibatches": 1, "gae_lambda": 1.0, "learning_rate": 0.1},
    "reinforce": {"algorithm": "reinforce", "num_minibatches": 1, "learning_rate": 0.1},
    "reinforce_value": {"algorithm": "reinforce", "baseline": "value", "num_minibatches": 1, "learning_rate": 0.1},
    "rloo": {"algorithm": "rloo", "ppo_epochs": 2},
    "grpo": {"algorithm": "grpo", "kl_in": "reward", "ppo_epochs": 2},
    "dr_grpo": {"algorithm": "dr_grpo", "kl_in": "reward", "ppo_epochs": 2, "max_response_tokens": 3},
}
"""Each as published, but for the KL of the two last: as a loss term it reaches only the token it stands at."""


@pytest.mark.parametrize("name", KIN)
@pytest.mark.parametrize("nth", [0, 1])
def test_its_kin_reach_the_enumerated_optimum(name, nth):
    """Two worlds each, all five among them: every one is PPO's above."""
    seed = (2 * list(KIN).index(name) + nth) % 5 + 1
    config, world = world_config(seed, **KIN[name]), make_world(5, 3, seed=seed)
    actors = table_actors(5, 3, config)
    best = best_objective(actors, world, config)
    assert objective(actors, world, config) < 0.9 * best
    steps = policy_steps(actors, world, config, num_steps=80 if name == "reinforce_value" else 60)
    assert objective(actors, world, config) >= 0.99 * best
    assert max(step.first_ratio_error for step in steps) == 0.0


@pytest.mark.parametrize("estimator", ["k2", "k3", "k3_weighted"])
def test_a_kl_in_the_loss_stops_short_of_the_optimum(estimator):
    """GRPO as published: what a token does to the KL of those behind it is in no gradient, whatever the estimator."""
    changes = {"algorithm": "dr_grpo", "kl_in_loss_estimator": estimator, "loss_average": "token", "ppo_epochs": 2}
    config, world = world_config(1, **changes), make_world(5, 3, seed=1)
    actors = table_actors(5, 3, config)
    best, start = best_objective(actors, world, config), objective(actors, world, config)
    policy_steps(actors, world, config, num_steps=60)
    assert start < objective(actors, world, config) < 0.99 * best


WRONG = {
    "k2": lambda logprobs, ref: 0.5 * (logprobs - ref) ** 2,
    "k3": lambda logprobs, ref: torch.expm1(ref - logprobs) + logprobs - ref,
    "abs": lambda logprobs, ref: (logprobs - ref).abs(),
    "clamped": lambda logprobs, ref: (logprobs - ref).clamp(min=0),
}


@pytest.mark.parametrize("estimator", WRONG)
def test_other_estimators_in_the_reward_miss_the_optimum_and_are_refused(estimator, monkeypatch):
    with pytest.raises(ValueError, match=r"kl_in_reward_estimator must be k1.*another optimum"):
        from_dict("policy", {"kl_in_reward_estimator": estimator})
    config, world = world_config(1), make_world(5, 3, seed=1)
    actors = table_actors(5, 3, config)
    best = best_objective(actors, world, config)
    monkeypatch.setattr(experiences, "kl_estimate", lambda logprobs, ref, _: WRONG[estimator](logprobs, ref))
    policy_steps(actors, world, config, num_steps=40)
    assert objective(actors, world, config) < 0.98 * best


@pytest.mark.parametrize("changes", [{"temperature": 0.8}, {"score_at": "first_pad"}, {"whiten_rewards": True}])
def test_a_llama_learns_the_world_too(changes):
    """The same step on a real network with its cache, under settings that change the arithmetic; ratios start at 1."""
    config, world = world_config(2, learning_rate=5e-3, **changes), make_world(5, 3, seed=2)
    actors = tiny_actors(5, config)
    before = objective(actors, world, config)
    steps = policy_steps(actors, world, config, num_steps=12)
    after = objective(actors, world, config)
    assert after > before + 0.3 * (best_objective(actors, world, config) - before)
    assert max(step.first_ratio_error for step in steps) == 0.0


def ragged(actors: Actors, config: PolicyConfig, dtype: torch.dtype) -> tuple[Responses, Experience]:
    """Rollouts from prompts of several lengths, with responses of several lengths."""
    prompts = [[2, 3, 4, 2, 3], [4], [3, 3], [2, 4, 3]] * 4
    responses = sample(
        actors.policy,
        prompts,
        stop_ids=[STOP],
        pad_id=START,
        max_tokens=9,
        temperature=config.temperature,
        generator=seeded(config, "rollout", 0),
    )
    assert len(set(responses.mask.sum(1).tolist())) > 3
    scores = torch.linspace(-1, 1, len(prompts), dtype=dtype)
    return responses, appraise(actors, responses, scores, config, kl_coef=0.1, step=0)


def gradient(actors: Actors, experience: Experience, minibatch: list[torch.Tensor], config: PolicyConfig):
    for optimizer in actors.optimizers:
        optimizer.zero_grad(set_to_none=True)
    accumulate_gradient(actors, experience, minibatch, config, kl_coef=BETA)
    weights = [*actors.policy.parameters(), *actors.value.parameters()]
    return torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])


KINDS = {
    "padded": ({}, False),
    "packed": ({}, True),
    "packed, without entropy": ({"entropy_coef": 0.0}, True),
    "one trunk": ({"value_trunk": "shared", "entropy_coef": 0.0}, True),
    "one trunk, first pad": ({"value_trunk": "shared", "score_at": "first_pad"}, True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_gradient_is_independent_of_micro_batches_padding_and_order(dtype, tolerance, kind):
    changes, is_packed = KINDS[kind]
    config = world_config(
        **{"entropy_coef": 0.01, "value_clip_range": 0.2, "rollout_batch_size": 16, "value_init": "policy"} | changes
    )
    actors = tiny_actors(5, config, dtype=dtype, is_packed=is_packed)
    assert actors.is_packed == is_packed
    _, experience = ragged(actors, config, dtype)
    with torch.no_grad():  # away from ρ = 1, so that some tokens are clipped
        for weight in [*actors.policy.parameters(), *actors.value.parameters()]:
            weight.add_(0.03 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    rows = torch.arange(16)
    whole = gradient(actors, experience, [rows], config)
    assert float(whole.norm()) > 0.01
    for minibatch in (
        list(rows.split(1)),  # no padding at all
        list(rows.split(5)),  # micro-batches of unequal size
        [rows.flip(0)],
        [rows[::2], rows[1::2]],
    ):
        other = gradient(actors, experience, minibatch, config)
        assert float((whole - other).abs().max()) <= tolerance * max(1.0, float(whole.abs().max()))


@pytest.mark.parametrize("changes", [{}, {"score_at": "first_pad"}, {"temperature": 0.8, "entropy_coef": 0.1}])
def test_packing_changes_neither_experience_nor_gradient(changes):
    """The same rollouts, padded and packed, in float64; and the first ratios are 1 in both."""
    config = world_config(rollout_batch_size=16, num_minibatches=2, **changes)
    found = []
    for is_packed in (False, True):
        actors = tiny_actors(5, config, dtype=torch.float64, is_packed=is_packed)
        _, experience = ragged(actors, config, torch.float64)
        found.append([*experience[2:9], gradient(actors, experience, [torch.arange(16)], config)])
        stats = update(actors, experience, config, learning_rate=1e-3, kl_coef=BETA, step=0)
        assert stats.first_ratio_error == 0.0
    for padded, packed in zip(*found, strict=True):
        assert float((padded - packed).abs().max()) < 1e-12


def test_value_and_policy_on_one_trunk_learn_the_world():
    config, world = world_config(2, learning_rate=5e-3, value_trunk="shared", value_coef=0.1), make_world(5, 3, seed=2)
    actors = tiny_actors(5, config, is_packed=True)
    before = objective(actors, world, config)
    steps = policy_steps(actors, world, config, num_steps=12)
    assert objective(actors, world, config) > before + 0.3 * (best_objective(actors, world, config) - before)
    assert steps[-1].value_loss < 0.5 * steps[0].value_loss
    assert max(step.first_ratio_error for step in steps) == 0.0


def test_micro_batches_do_not_change_an_update():
    """micro_batch_size is memory and speed: two whole updates end at the same weights, in the same number of steps."""
    ends = []
    for size in (0, 3):
        config = world_config(rollout_batch_size=16, micro_batch_size=size, learning_rate=1e-3)
        actors = tiny_actors(5, config, dtype=torch.float64)
        _, experience = ragged(actors, config, torch.float64)
        stats = update(actors, experience, config, learning_rate=1e-3, kl_coef=BETA, step=0)
        assert stats.num_optimizer_steps == config.passes * config.num_minibatches
        ends.append(torch.cat([weight.detach().flatten() for weight in actors.policy.parameters()]))
    assert float((ends[0] - ends[1]).abs().max()) < 1e-9  # Adam's square root widens the gradient's 1e-16


def test_every_row_is_in_exactly_one_minibatch_of_a_pass():
    config = world_config(rollout_batch_size=16, num_minibatches=4, micro_batch_size=3)
    actors = tiny_actors(5, config)
    responses, _ = ragged(actors, config, torch.float32)
    plans = [plan_pass(responses, config, epoch=epoch, step=0) for epoch in (0, 1)]
    for plan in plans:
        assert [sum(len(rows) for rows in minibatch) for minibatch in plan] == [4] * 4
        assert max(len(rows) for minibatch in plan for rows in minibatch) <= 3
        assert sorted(int(row) for minibatch in plan for rows in minibatch for row in rows) == list(range(16))
    assert [int(rows[0]) for minibatch in plans[0] for rows in minibatch] != [
        int(rows[0]) for minibatch in plans[1] for rows in minibatch
    ]


def test_kl_stop_ends_the_epochs_before_the_step_that_went_too_far():
    config = world_config(rollout_batch_size=16, learning_rate=0.02, kl_stop=1e-4)
    actors = tiny_actors(5, config)
    _, experience = ragged(actors, config, torch.float32)
    stats = update(actors, experience, config, learning_rate=0.02, kl_coef=BETA, step=0)
    assert stats.stopped_early and stats.num_optimizer_steps == 1
    assert all(weight.grad is None for weight in actors.policy.parameters())


def test_a_response_without_end_is_paid_the_missing_score_instead():
    config = world_config(rollout_batch_size=16, replace_missing_eos=True, missing_eos_score=-3.0, reward_clip=0.5)
    actors = tiny_actors(5, config)
    responses, experience = ragged(actors, config, torch.float32)
    cut = ~responses.ended
    assert bool(cut.any()) and bool(responses.ended.any())
    assert bool((experience.scores[cut] == -3.0).all())
    assert torch.equal(experience.scores[~cut], experience.raw_scores[~cut].clamp(-0.5, 0.5))


def test_a_value_model_far_off_does_not_shrink_the_policys_step():
    """Each has its own gradient norm: with a value coefficient of a million the policy moves as before."""
    ends = []
    for value_coef in (0.1, 1e6):
        config = world_config(rollout_batch_size=16, value_coef=value_coef, max_grad_norm=0.1, learning_rate=1e-3)
        actors = tiny_actors(5, config)
        _, experience = ragged(actors, config, torch.float32)
        update(actors, experience, config, learning_rate=1e-3, kl_coef=BETA, step=0)
        ends.append(torch.cat([weight.detach().flatten() for weight in actors.policy.parameters()]))
    assert torch.equal(ends[0], ends[1])


def test_dual_clip_is_off_or_above_one():
    assert world_config(dual_clip=3.0).dual_clip == 3.0 and world_config().dual_clip == 0.0
    with pytest.raises(ValueError, match=r"dual_clip must be 0 \(off\) or above 1, got 0.5"):
        world_config(dual_clip=0.5)


def shaken(config: PolicyConfig) -> Actors:
    """A policy away from its reference, so that there is some KL."""
    actors = tiny_actors(5, config, dtype=torch.float64)
    with torch.no_grad():
        for weight in actors.policy.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    return actors


@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo", "rloo"])
@pytest.mark.parametrize("kl_in", ["loss", "reward"])
def test_the_kl_counts_in_the_loss_or_in_the_reward_and_not_in_both(algorithm, kl_in):
    config = world_config(algorithm=algorithm, kl_in=kl_in, rollout_batch_size=16)
    actors = shaken(config)
    responses, dear = ragged(actors, config, torch.float64)
    free = appraise(actors, responses, dear.raw_scores, config, kl_coef=0.0, step=0)
    assert float((dear.logprobs - dear.ref_logprobs).abs().max()) > 0.01
    assert torch.equal(dear.advantages, free.advantages) == (kl_in == "loss")


@pytest.mark.parametrize(("algorithm", "divides"), [("grpo", True), ("dr_grpo", False)])
def test_only_grpo_divides_by_the_groups_spread(algorithm, divides):
    config = world_config(algorithm=algorithm, rollout_batch_size=16)
    _, experience = ragged(tiny_actors(5, config, dtype=torch.float64), config, torch.float64)
    groups = experience.scores.view(4, 4)
    expected = groups - groups.mean(1, keepdim=True)
    if divides:
        expected = expected / (groups.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(experience.advantages[:, 0], expected.flatten(), atol=1e-12, rtol=0)


def test_reinforce_with_a_value_model_subtracts_it_from_all_that_is_still_to_come():
    """R − V, whatever gae_lambda says: a bootstrap would make another algorithm of it."""
    config = world_config(algorithm="reinforce", baseline="value", gae_lambda=0.3, rollout_batch_size=16)
    actors = shaken(config)
    with torch.no_grad():
        actors.value.head.weight.fill_(0.2)
    _, experience = ragged(actors, config, torch.float64)
    mask = experience.responses.mask
    paid = -0.1 * (experience.logprobs - experience.ref_logprobs) * mask
    paid[torch.arange(16), mask.sum(1) - 1] += experience.scores
    to_come = paid.flip(1).cumsum(1).flip(1) * mask
    torch.testing.assert_close(experience.returns, to_come, atol=1e-10, rtol=0)
    torch.testing.assert_close(experience.advantages, (to_come - experience.values) * mask, atol=1e-10, rtol=0)
    assert float(experience.values.abs().max()) > 0.01


def test_a_loss_that_is_not_finite_stops_with_the_step():
    config = world_config(rollout_batch_size=16)
    actors = tiny_actors(5, config)
    _, experience = ragged(actors, config, torch.float32)
    with torch.no_grad():
        next(actors.policy.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="at step 8"):
        update(actors, experience, config, learning_rate=1e-3, kl_coef=BETA, step=7)
