"""Our reward training against whole runs of another implementation: scores, loss, gradients, and three AdamW steps."""

import json

import pytest
import torch
from safetensors.torch import load_file

from training.rlhf.config import RewardConfig
from training.rlhf.held_out import score_pairs
from training.rlhf.model import load_scalar
from training.rlhf.optimizer import learning_rate_at, make_optimizer, take_step
from training.rlhf.pairs import EncodedPair
from training.rlhf.train_reward import accumulate_gradient

CPU = torch.device("cpu")
ROUNDING = 1e-8
"""Of float32, in sums of numbers about 1: a gradient below it has no sign of its own."""


@pytest.fixture(scope="module")
def golden(oracle):
    return json.loads((oracle / "golden.json").read_text())["cases"], load_file(oracle / "golden.safetensors")


def encoded(tensors, prefix):
    """The case's rows (chosen first, then rejected) as pairs whose first response is the better one."""
    ids, mask = tensors[f"{prefix}input_ids"], tensors[f"{prefix}attention_mask"].bool()
    rows = [tuple(row[keep].tolist()) for row, keep in zip(ids, mask, strict=True)]
    half = len(rows) // 2
    margins = tensors[f"{prefix}margin"].tolist() if f"{prefix}margin" in tensors else [0.0] * half
    pairs = zip(rows[:half], rows[half:], margins, strict=True)
    return [EncodedPair(a, b, 1.0, margin, 1.0, str(i), 1.0, 1, 1) for i, (a, b, margin) in enumerate(pairs)]


@pytest.mark.parametrize("case", ["reward_plain", "reward_margin", "reward_center", "reward_margin_center"])
def test_scores_loss_and_gradient(oracle, golden, case):
    cases, tensors = golden
    scalars = cases[case]["scalars"]
    model = load_scalar(str(oracle / "models" / "reward"), device=CPU)
    pairs = encoded(tensors, f"{case}/in/")
    with torch.no_grad():
        scores = torch.cat(score_pairs(model, pairs)).squeeze(1)
    assert torch.allclose(scores, tensors[f"{case}/out/logits"][:, 0], atol=1e-5)
    config = RewardConfig(centering=cases[case]["config"]["center_rewards_coefficient"] or 0, micro_batch_size=2)
    loss, values = accumulate_gradient(model, pairs, config)
    assert loss == pytest.approx(scalars["out/loss"], abs=1e-5)
    assert values["train/accuracy"] == scalars["out/metric.accuracy"]
    assert torch.allclose(model.head.weight.grad, tensors[f"{case}/out/grad_score"], atol=1e-5)
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in model.parameters()])
    assert norm.item() == pytest.approx(scalars["out/grad_norm"], rel=1e-5)


def test_three_steps_of_training(oracle, golden):
    cases, tensors = golden
    case = cases["reward_train3"]
    model = load_scalar(str(oracle / "models" / "reward"), device=CPU)
    config = RewardConfig(
        learning_rate=case["config"]["learning_rate"],
        weight_decay=case["config"]["weight_decay"],
        adam_eps=case["config"]["adam"][2],
        max_grad_norm=case["config"]["max_grad_norm"],
        centering=case["config"]["center_rewards_coefficient"],
    )
    optimizer = make_optimizer([model], config)
    smallest = {name: torch.full_like(weight, torch.inf) for name, weight in model.inner.named_parameters()}
    for step in range(3):
        pairs = encoded(tensors, f"reward_train3/in/s{step}.")
        loss, _ = accumulate_gradient(model, pairs, config)
        assert loss == pytest.approx(case["scalars"][f"out/s{step}.loss"], rel=2e-5)
        for name, weight in model.inner.named_parameters():
            smallest[name] = torch.minimum(smallest[name], weight.grad.abs())
        rate = learning_rate_at(config, step=step, total_steps=3)
        assert rate == pytest.approx(case["scalars"][f"out/s{step}.lr"], rel=1e-9)
        report = take_step(optimizer, config, learning_rate=rate, step=step + 1, loss=loss)
        assert report.grad_norm == pytest.approx(case["scalars"][f"out/s{step}.grad_norm"], rel=2e-5)
    final = {
        key.removeprefix("reward_train3/out/final."): value
        for key, value in tensors.items()
        if key.startswith("reward_train3/out/final.")
    }
    ours = model.inner.state_dict()
    assert final.keys() == ours.keys() and len(final) > 15
    num_rounding = 0
    for name, expected in final.items():
        # Adam divides a gradient by its own size: of one that is itself a rounding error, only the step's size is known
        is_rounding = (smallest[name] > 0) & (smallest[name] < ROUNDING)
        num_rounding += int(is_rounding.sum())
        error = (ours[name] - expected).abs()
        assert error[~is_rounding].max() <= 2e-5, name
        assert error.max() <= 3 * config.learning_rate, name
    assert num_rounding <= 3
