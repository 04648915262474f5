"""A policy steered by values: sampled as it is scored, and measured the same however its rows pass through."""

import itertools

import pytest
import torch
from torch import Tensor

from tests.rlhf.nano import save_nano_gpt2, save_nano_policy, shaken_tower
from training.rlhf.config import ILQLConfig
from training.rlhf.data import Encoded
from training.rlhf.model import load_policy
from training.rlhf.packing import packs
from training.rlhf.sampling import given_responses, response_logprobs, sample
from training.rlhf.steering import SteeredPolicy
from training.rlhf.train_dpo import DPOPair
from training.rlhf.train_ilql import gained, measure

CPU = torch.device("cpu")


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_steered_policy_samples_with_its_cache_what_it_scores_without(tmp_path, architecture):
    folder = save_nano_gpt2(tmp_path / "m") if architecture == "gpt2" else save_nano_policy(tmp_path / "m")
    reference = load_policy(str(folder), device=CPU)
    policy = SteeredPolicy(reference, shaken_tower(folder), beta=1.5)
    settings = {"stop_ids": [2], "pad_id": 2, "max_tokens": 6, "temperature": 0.8}
    prompts = [[1, 40, 41, 42], [1, 60], [1, 70, 71]] * 3
    responses = sample(policy, prompts, **settings, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scored = response_logprobs(policy, responses, temperature=0.8)
        plain = response_logprobs(reference, responses, temperature=0.8)
    torch.testing.assert_close(scored, responses.logprobs[responses.mask], atol=1e-4, rtol=0)
    assert float((scored - plain).abs().mean()) > 0.1
    unmoved = SteeredPolicy(reference, policy.tower, beta=0.0)
    again = sample(unmoved, prompts, **settings, generator=torch.Generator().manual_seed(0))
    usual = sample(reference, prompts, **settings, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.tokens, usual.tokens) and not torch.equal(again.tokens, responses.tokens)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_what_steering_adds_is_the_same_packed_padded_and_in_pieces(tmp_path, monkeypatch, architecture):
    folder = save_nano_gpt2(tmp_path / "m") if architecture == "gpt2" else save_nano_policy(tmp_path / "m")
    policy = SteeredPolicy(load_policy(str(folder), device=CPU), shaken_tower(folder), beta=1.5).double()
    rows = [([1, 40], [50, 51, 2]), ([1, 41, 42, 43, 44], [60]), ([1], [50, 50, 50, 50, 50, 2]), ([1, 40], [50, 9])]
    pairs = [DPOPair(Encoded(*a), Encoded(*b), 1.0, 1.0, 1.0, "p") for a, b in itertools.pairwise(rows)]
    responses = given_responses([Encoded(*row) for row in rows], stop_id=-1, device=CPU)

    def found() -> list[Tensor]:
        alone = [gained(policy, [Encoded(*row)], ILQLConfig()) for row in rows]
        return [policy.gained(responses), gained(policy, [Encoded(*row) for row in rows], ILQLConfig()), *alone]

    assert packs(policy.reference) and packs(policy.tower.trunk)
    packed, report = found(), measure(policy, pairs, ILQLConfig())
    monkeypatch.setattr("training.rlhf.steering.PIECE_BYTES", 3 * 8 * 259)
    in_pieces = found()
    for model in (policy.reference, policy.tower.trunk):
        model.set_attn_implementation("sdpa")
    padded, its_report = found(), measure(policy, pairs, ILQLConfig())
    with torch.no_grad():  # as the models say when each is asked as a whole
        asked = [response_logprobs(model, responses, temperature=1.0) for model in (policy, policy.reference)]
    assert float((asked[0] - asked[1]).abs().mean()) > 0.1
    torch.testing.assert_close(packed[0], asked[0] - asked[1], atol=1e-12, rtol=0)
    for others in (in_pieces, padded):
        for one, other in zip(packed, others, strict=True):
            torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
    torch.testing.assert_close(packed[1], torch.cat(packed[2:]), atol=1e-12, rtol=0)
    assert report["log_loss"] == pytest.approx(its_report["log_loss"], abs=1e-12)
    assert report["accuracy"] == its_report["accuracy"]
