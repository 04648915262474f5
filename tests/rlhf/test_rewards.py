"""What a response is paid beside the reward model's score."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.rlhf.nano import events_of, make_run, nano_tokenizer, save_nano_policy, train, user
from training.rlhf.config import PolicyConfig, from_dict
from training.rlhf.data import Encoded
from training.rlhf.model import load_tokenizer, new_scalar, save_model
from training.rlhf.rewards import Paid, Reward, excess_length, own_reward, repetition
from training.rlhf.rundir import new_folder
from training.rlhf.sampling import Responses, given_responses
from training.rlhf.scoring import Scores

CPU = torch.device("cpu")
PACKAGE = """
def counts_digits(prompts, texts):
    return [sum(letter.isdigit() for letter in text) for text in texts]


def breaks(prompts, texts):
    return [float("nan") for _ in texts]
"""


class Constant:
    """Stands where a reward model does: every answer is worth 2."""

    def scores(self, prompts: Sequence[object], responses: Responses) -> Scores:
        return Scores(torch.full((len(prompts),), 2.0), None)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package on this machine that brings two rewards, as pip leaves it."""
    (tmp_path / "shop_rewards.py").write_text(PACKAGE)
    about = tmp_path / "shop_rewards-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-rewards\nVersion: 1.0\n")
    lines = "[plumbline.rewards]\ndigits = shop_rewards:counts_digits\nbroken = shop_rewards:breaks\n"
    (about / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(str(tmp_path))


def written(*texts: str) -> Responses:
    tokenizer = nano_tokenizer()
    rows = [Encoded([1, 5], [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]) for text in texts]
    return given_responses(rows, stop_id=tokenizer.eos_token_id, device=CPU)


def paid(config: PolicyConfig, *texts: str) -> Paid:
    reward = Reward(Constant(), nano_tokenizer(), config)
    return reward([user("?")] * len(texts), written(*texts))


def test_the_reward_model_alone_is_paid_as_it_is():
    found = paid(PolicyConfig(), "one", "two")
    assert found.total.tolist() == [2.0, 2.0]
    assert list(found.parts) == ["model"]


def test_length_costs_beyond_the_target():
    mask = torch.arange(10) < torch.tensor([[3], [5], [10]])
    assert excess_length(mask, 5).tolist() == [0.0, 0.0, 1.0]
    found = paid(PolicyConfig(length_penalty=3.0, length_target=4), "abc", "abcdef")  # 4 and 7 tokens, with the stop
    assert found.parts["length"].tolist() == pytest.approx([0.0, -3.0 * 3 / 4])
    assert found.total.tolist() == pytest.approx([2.0, 2.0 - 2.25])


def test_repetition_is_the_share_of_ngrams_that_came_before():
    assert repetition([1, 2, 3, 4], n=2) == 0.0
    assert repetition([1, 2, 1, 2, 1], n=2) == 0.5  # 12 21 12 21
    assert repetition([7] * 11, n=2) == pytest.approx(0.9)
    assert repetition([1], n=2) == 0.0
    found = paid(PolicyConfig(repetition_penalty=2.0, repetition_ngram=1), "abab", "abcd")
    assert found.parts["repetition"].tolist() == pytest.approx([-2.0 * 2 / 5, 0.0])


def test_a_forbidden_pattern_costs_its_penalty():
    config = PolicyConfig(forbidden_pattern=r"\d{3}-\d{4}", forbidden_penalty=4.0)
    assert paid(config, "call 555-1234", "call me").total.tolist() == [-2.0, 2.0]
    with pytest.raises(ValueError, match="forbidden_pattern is no regular expression"):
        from_dict("policy", {"forbidden_pattern": "(("})


def test_a_function_of_ones_own_comes_from_an_installed_package(installed):
    found = paid(PolicyConfig(own_reward="digits", own_reward_weight=0.5), "a1b2", "none")
    assert found.parts["own"].tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"no reward 'os:system' .*\(broken, digits\)"):
        own_reward("os:system")
    with pytest.raises(ValueError, match="must give a finite number for each of 1 answers"):
        paid(PolicyConfig(own_reward="broken"), "x")


def test_a_run_charts_each_part(tmp_path: Path, installed):
    policy = save_nano_policy(tmp_path / "policy")
    with new_folder(tmp_path / "reward") as folder:
        model = new_scalar(str(policy), device=CPU, head="random")
        save_model(folder, model, load_tokenizer(str(policy)), about={"kind": "reward"})
    settings = {
        "model": str(policy),
        "reward_model": str(tmp_path / "reward"),
        "num_steps": 2,
        "rollout_batch_size": 8,
        "max_response_tokens": 6,
        "num_sample_prompts": 1,
        "replace_missing_eos": False,
        "length_penalty": 1.0,
        "length_target": 2,
        "own_reward": "digits",
    }
    prompts = [{"id": f"p{i}", "messages": user(f"{i}?"), "split": "train"} for i in range(4)]
    run = make_run(tmp_path / "run", "policy", settings, prompts=prompts)
    train("policy", run)
    steps = events_of(run, "metrics")
    assert len(steps) == 2
    for event in steps:
        parts = {name: event["values"][f"reward_part/{name}"] for name in ("model", "length", "own")}
        assert parts["length"] < 0
        assert event["values"]["reward/mean"] == pytest.approx(sum(parts.values()), abs=1e-5)
