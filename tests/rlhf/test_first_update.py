"""What the first update does, by a second implementation: the four statistics that tell Adam's two epsilons apart.

Huang et al. 2024 found torch's Adam more aggressive in the first steps than TensorFlow's, which the first papers used:
clip fraction, approximate KL, mean and largest ratio of the first update are how they saw it. Here loss, gradient, Adam
and statistics are written out once more, straight from the formulas, in float64.
"""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.rlhf.small_world import START, STOP, tiny_actors
from training.rlhf.config import PolicyConfig
from training.rlhf.experience import Experience, appraise, seeded
from training.rlhf.policy_update import update
from training.rlhf.sampling import sample

NUM_PASSES, RATE, EPS, CLIP = 4, 1e-2, 1e-3, 0.1


class Statistics(NamedTuple):
    clip_fraction: float
    approx_kl: float
    ratio_mean: float
    ratio_max: float


def settings(style: str) -> PolicyConfig:
    return PolicyConfig(
        rollout_batch_size=16,
        ppo_epochs=NUM_PASSES,
        num_minibatches=1,
        learning_rate=RATE,
        adam_eps=EPS,
        adam_eps_style=style,
        clip_range=CLIP,
        max_grad_norm=0,
        replace_missing_eos=False,
        kl_coef=0.05,
    )


def rollouts(config: PolicyConfig):
    actors = tiny_actors(5, config, dtype=torch.float64)
    prompts = [[2, 3, 4], [4], [3, 3], [2, 4]] * 4
    responses = sample(
        actors.policy, prompts, stop_ids=[STOP], pad_id=START, max_tokens=8, temperature=1.0,
        generator=seeded(config, "rollout", 0),
    )  # fmt: skip
    scores = torch.linspace(-1, 1, len(prompts), dtype=torch.float64)
    return actors, appraise(actors, responses, scores, config, kl_coef=0.05, step=0)


def logprobs_by_hand(policy: nn.Module, experience: Experience) -> Tensor:
    """(N,) of every response token, a response at a time, without any padding."""
    responses, found = experience.responses, []
    for row, (start, length) in enumerate(
        zip(responses.prompt_lengths.tolist(), responses.lengths().tolist(), strict=True)
    ):
        tokens = responses.tokens[row, :length]
        table = torch.log_softmax(policy(input_ids=tokens[None]).logits[0], -1)
        found += [table[place - 1, tokens[place]] for place in range(start, length)]
    return torch.stack(found)


def by_hand(policy: nn.Module, experience: Experience, *, style: str) -> Statistics:
    """Four passes of the clipped loss over the whole batch, each with a step of Adam written out."""
    mask = experience.responses.mask
    old, advantage = experience.logprobs[mask], experience.advantages[mask]
    weights = list(policy.parameters())
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    seen: list[Tensor] = []
    for t in range(1, NUM_PASSES + 1):
        ratio = torch.exp(logprobs_by_hand(policy, experience) - old)
        losses = torch.stack([-advantage * ratio, -advantage * ratio.clamp(1 - CLIP, 1 + CLIP)])
        gradients = torch.autograd.grad(losses.amax(0).mean(), weights)
        bites = (losses[1] > losses[0]).double()
        seen.append(torch.stack([bites, 0.5 * ratio.log() ** 2, ratio]).detach())
        for index, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            first[index] = 0.9 * first[index] + 0.1 * gradient
            second[index] = 0.999 * second[index] + 0.001 * gradient**2
            with torch.no_grad():
                if style == "torch":
                    scale = (second[index] / (1 - 0.999**t)).sqrt() + EPS
                    weight -= RATE * first[index] / (1 - 0.9**t) / scale
                else:  # Kingma and Ba's "efficient" order, TensorFlow's
                    rate = RATE * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                    weight -= rate * first[index] / (second[index].sqrt() + EPS)
    every = torch.cat(seen, 1)
    return Statistics(*every.mean(1).tolist(), float(every[2].max()))


@pytest.mark.parametrize("style", ["torch", "tf"])
def test_the_four_statistics_are_those_of_a_second_implementation(style):
    config = settings(style)
    actors, experience = rollouts(config)
    twin, its = rollouts(config)
    stats = update(actors, experience, config, learning_rate=RATE, kl_coef=0.05, step=0)
    expected = by_hand(twin.policy, its, style=style)
    ours = Statistics(stats.clip_fraction, stats.approx_kl, stats.ratio_mean, stats.ratio_max)
    assert ours == pytest.approx(expected, abs=1e-6)
    for weight, other in zip(actors.policy.parameters(), twin.policy.parameters(), strict=True):
        torch.testing.assert_close(weight, other, atol=1e-6, rtol=0)


def test_tensorflows_epsilon_makes_the_first_update_gentler():
    found = {}
    for style in ("torch", "tf"):
        config = settings(style)
        actors, experience = rollouts(config)
        found[style] = update(actors, experience, config, learning_rate=RATE, kl_coef=0.05, step=0)
    plain, gentle = found["torch"], found["tf"]
    assert 0 < gentle.approx_kl < 0.5 * plain.approx_kl
    assert gentle.clip_fraction < plain.clip_fraction and plain.clip_fraction > 0.1
    assert 1 < gentle.ratio_max < plain.ratio_max
