"""Several heads on one trunk: each learns by itself, all of them are kept, and their score can be read with caution."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import events_of, make_run, nano_tokenizer, preference_lines, save_nano_policy, train, user
from tests.rlhf.test_train_reward import CPU, FixedScores
from training.rlhf.config import PolicyConfig, RewardConfig
from training.rlhf.data import pad_rows
from training.rlhf.held_out import score_rows
from training.rlhf.losses import preference_loss
from training.rlhf.model import load_scalar, new_scalar, with_one_head
from training.rlhf.pairs import EncodedPair, read_pairs, resample_counts
from training.rlhf.rundir import RunDir
from training.rlhf.scoring import together
from training.rlhf.train_reward import accumulate_gradient

ROWS = [[1, 40, 41, 42, 2], [1, 50], [1, 60, 61]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("ensemble")
    settings = {"learning_rate": 5e-3, "batch_size": 8, "epochs": 8, "evaluate_every": 8, "heads": 3}
    config = {"model": str(save_nano_policy(folder / "start")), **settings}
    run = make_run(folder / "run", "reward", config, preferences=preference_lines())
    train("reward", run)
    return run


def test_the_artifact_keeps_every_head_with_its_own_zero(finished):
    about = json.loads((finished.artifact / "plumbline.json").read_text())
    model = load_scalar(str(finished.artifact), device=CPU)
    assert model.num_heads == len(about["head_offsets"]) == 3 and sum(about["head_offsets"]) == pytest.approx(0)
    config = finished.read_config("reward")
    assert isinstance(config, RewardConfig)
    with torch.no_grad():
        raw = score_rows(model, read_pairs(config, finished).references)
    heads = model.normalised_heads(raw)
    assert heads.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert float(heads.mean(1).std(correction=0)) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(heads.mean(1), model.normalised(raw.mean(1)))
    assert float(heads.std(1).mean()) > 0.01  # they have not become one


def test_the_run_says_how_far_they_disagree(finished):
    summary = events_of(finished)[-1]["summary"]
    assert summary["num_heads"] == 3 and summary["head_std"] > 0
    assert summary["unanimous_pairs"] + summary["divided_pairs"] == summary["num_pairs"]
    assert summary["accuracy"] == 1.0


def test_scores_put_together_by_hand():
    heads = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    for how, expected in {"mean": [2.0, 0.0], "worst": [1.0, 0.0], "uncertainty": [2 - 0.5 * 2 / 3, 0.0]}.items():
        config = PolicyConfig(score_of_heads=how, uncertainty_coef=0.5)
        assert together(heads, config).tolist() == pytest.approx(expected)


def test_each_head_learns_by_the_prompts_it_has_drawn(nano_policy):
    """The gradient of head k is that of a model of its own on its own resample, a third of it each."""
    torch.manual_seed(0)
    model = new_scalar(str(nano_policy), device=CPU, head="random", num_heads=3)
    pairs = [
        EncodedPair((1, 40 + i, 7), (1, 40 + i, 8, 9), float(i % 2), 0.0, 1.0 + i % 3, f"p{i // 2}", 1.0, 1, 2)
        for i in range(8)
    ]
    config = RewardConfig(heads=3, seed=5)
    loss, _ = accumulate_gradient(model, pairs, config)
    counts = resample_counts([pair.prompt_id for pair in pairs], num_heads=3, seed=5)
    assert counts[0] == counts[1] and len({tuple(of_pair) for of_pair in counts}) > 1
    a, b = (score_rows(model, [getattr(pair, side) for pair in pairs]) for side in ("tokens_a", "tokens_b"))
    target, weight = (torch.tensor([getattr(pair, name) for pair in pairs]) for name in ("target", "weight"))
    by_head = [
        (weight * torch.tensor([of_pair[head] for of_pair in counts])
         * preference_loss(a[:, head], b[:, head], target)).sum() / weight.sum()
        for head in range(3)
    ]  # fmt: skip
    assert loss == pytest.approx(float(sum(by_head)) / 3, abs=1e-6)
    (expected,) = torch.autograd.grad(by_head[1] / 3, model.head.weight)
    torch.testing.assert_close(model.head.weight.grad[1], expected[1], atol=1e-6, rtol=1e-5)


def test_the_resample_is_poisson_and_the_same_in_every_process():
    counts = torch.tensor(resample_counts([f"p{i}" for i in range(4000)], num_heads=2, seed=1)).double()
    assert counts.mean().item() == pytest.approx(1, abs=0.05) and counts.var().item() == pytest.approx(1, abs=0.08)
    assert torch.corrcoef(counts.T)[0, 1].item() == pytest.approx(0, abs=0.05)
    assert resample_counts(["p1", "p2", "p3"], num_heads=4, seed=0) == [[1, 0, 0, 1], [0, 0, 1, 0], [0, 1, 3, 1]]
    assert resample_counts(["p1"], num_heads=1, seed=1) == [[1]]


def test_a_value_model_starts_from_the_mean_of_the_heads(nano_policy):
    model = new_scalar(str(nano_policy), device=CPU, head="random", num_heads=4)
    tokens, mask = pad_rows(ROWS, side="right")
    before = model(tokens, mask)
    torch.testing.assert_close(with_one_head(model)(tokens, mask), before, atol=1e-6, rtol=0)
    assert model.num_heads == 1 and model.head_scores(tokens, mask).shape == (3, 1)


def test_going_on_with_another_number_of_heads_is_refused(finished, tmp_path):
    config = {"model": str(finished.artifact), "heads": 2}
    run = make_run(tmp_path / "run", "reward", config, preferences=preference_lines())
    message = train("reward", run, expect=2)[-1]["message"]
    assert "has 3 heads, the run asks for 2: set heads to 3" in message


@pytest.mark.parametrize("how", ["mean", "worst", "uncertainty"])
def test_what_uses_the_model_says_what_the_heads_say(finished, tmp_path: Path, how):
    """generate: the rewards of its lines are the heads of the artifact, put together as asked."""
    start = json.loads(finished.config.read_text())["model"]
    config = {"model": start, "reward_model": str(finished.artifact), "max_response_tokens": 4, "score_of_heads": how}
    prompts = [{"id": f"p{i}", "messages": user(f"question {i}"), "split": "train"} for i in range(4)]
    run = make_run(tmp_path / "run", "generate", config, prompts=prompts)
    train("generate", run)
    lines = [json.loads(line) for line in run.responses.read_text().splitlines()]
    assert all(line["reward_std"] > 0 for line in lines)
    means = {line["prompt_id"]: line["reward"] for line in lines}
    if how != "mean":
        plain = make_run(tmp_path / "plain", "generate", {**config, "score_of_heads": "mean"}, prompts=prompts)
        train("generate", plain)
        usual = [json.loads(line) for line in plain.responses.read_text().splitlines()]
        for line in usual:
            price = 0.5 * line["reward_std"] ** 2
            if how == "uncertainty":
                assert means[line["prompt_id"]] == pytest.approx(line["reward"] - price, abs=1e-4)
            else:
                assert means[line["prompt_id"]] < line["reward"]


def test_a_policy_run_is_paid_by_the_worst_head_and_charts_how_far_they_are_apart(finished, tmp_path: Path):
    settings = {
        "model": json.loads(finished.config.read_text())["model"],
        "reward_model": str(finished.artifact),
        "score_of_heads": "worst",
        "num_steps": 1,
        "rollout_batch_size": 8,
        "max_response_tokens": 4,
        "num_sample_prompts": 1,
        "replace_missing_eos": False,
        "learning_rate": 1e-9,
    }
    prompts = [{"id": f"p{i}", "messages": user(f"question {i}"), "split": "train"} for i in range(4)]
    found = {}
    for how in ("worst", "mean"):
        run = make_run(tmp_path / how, "policy", settings | {"score_of_heads": how}, prompts=prompts)
        train("policy", run)
        found[how] = events_of(run, "metrics")[0]["values"]
    assert found["worst"]["reward/head_std"] == found["mean"]["reward/head_std"] > 0
    assert found["worst"]["reward/mean"] < found["mean"]["reward/mean"]
    # The value model began as the mean of the heads: one number a state.
    head = load_file(run.checkpoint_path(1) / "weights.safetensors")["value/inner.score.weight"]
    expected = load_scalar(str(finished.artifact), device=CPU).head.weight.mean(0, keepdim=True)
    torch.testing.assert_close(head, expected.detach(), atol=1e-6, rtol=0)


# --- rankings: all pairs of one prompt -----------------------------------------------------------------------------


def ranking(order: list[int], *, prompt: str = "p", weight: float = 1 / 6) -> list[EncodedPair]:
    """Every pair of a ranking, best first; a response is one token."""
    return [
        EncodedPair((best,), (worse,), 1.0, 0.0, weight, prompt, 1.0, 1, 1)
        for place, best in enumerate(order)
        for worse in order[place + 1 :]
    ]


class Counting(FixedScores):
    """Counts the responses that pass through, and the passes."""

    def __init__(self, scores):
        super().__init__(scores)
        self.rows, self.passes = 0, 0

    def head_scores(self, tokens, mask):
        self.rows += len(tokens)
        self.passes += 1
        return super().head_scores(tokens, mask)


@pytest.mark.parametrize("micro_batch_size", [0, 1, 3, 5])
def test_a_ranking_is_read_once_a_response_and_counts_once(micro_batch_size):
    """InstructGPT eq. 1: the mean over the K·(K−1)/2 pairs; beside it a plain pair of the same weight."""
    scores = [0.3, -0.2, 0.9, 0.1, 0.5, -0.4]
    pairs = [*ranking([2, 0, 3, 1]), *ranking([4, 5], prompt="q", weight=1.0)]
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(1)).tolist()
    model = Counting(scores)
    config = RewardConfig(micro_batch_size=micro_batch_size)
    loss, _ = accumulate_gradient(model, [pairs[i] for i in order], config)
    assert model.rows == 6 and model.passes == (1 if micro_batch_size == 0 else 2)
    value = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    ranked = torch.stack([preference_loss(value[a], value[b]) for a, b in
                          [(2, 0), (2, 3), (2, 1), (0, 3), (0, 1), (3, 1)]]).mean()  # fmt: skip
    expected = (ranked + preference_loss(value[4], value[5])) / 2
    expected.backward()
    assert loss == pytest.approx(float(expected), abs=1e-12)
    torch.testing.assert_close(model.scores.grad, value.grad, atol=1e-12, rtol=0)


def test_prompts_can_weigh_the_same_whatever_their_pairs(tmp_path, nano_policy):
    lines = preference_lines(12)
    for line in lines[:3]:
        line |= {"prompt_id": "p0", "prompt": user("question 0"), "split": "train"}
    for line in lines:
        line["response_a"] += str(line["id"])
    run = make_run(tmp_path / "run", "reward", {"model": str(nano_policy)}, preferences=lines)
    config = RewardConfig(model=str(nano_policy))
    assert [pair.weight for pair in read_pairs(config, run).train] == [1.0] * 8
    by_prompt = read_pairs(dataclasses.replace(config, weigh_by="prompt"), run).train
    assert [pair.weight for pair in by_prompt] == pytest.approx([1 / 3] * 3 + [1.0] * 5)
    assert nano_tokenizer().eos_token_id == by_prompt[0].tokens_a[-1]
