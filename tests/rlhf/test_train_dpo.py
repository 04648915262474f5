"""DPO and IPO: the optimum that theory gives, TRL's own numbers, and the real command on tiny models."""

import itertools
import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.rlhf.nano import events_of, make_run, preference_lines, save_nano_policy, train, train_and_kill
from tests.rlhf.small_world import START, World, make_world, sequence_logprobs, table_actors
from training.rlhf.config import DPOConfig, PolicyConfig
from training.rlhf.data import Encoded
from training.rlhf.model import load_policy
from training.rlhf.rundir import RunDir
from training.rlhf.train_dpo import DPOPair, accumulate_gradient, logratios, pair_losses, reference_logratios

CPU = torch.device("cpu")
BETA = 0.3


def all_pairs(world: World) -> tuple[list[DPOPair], torch.Tensor]:
    """Every two responses of the world, judged as its rewards say: P(a is better) = σ(r_a − r_b)."""
    texts = [Encoded([START], list(text)) for text in world.rows]
    a, b = torch.tensor(list(itertools.combinations(range(len(texts)), 2))).T
    targets = torch.sigmoid(world.rewards[a] - world.rewards[b])
    pairs = [
        DPOPair(texts[i], texts[j], target=float(target), weight=1.0, strength=1.0, prompt_id="p")
        for i, j, target in zip(a.tolist(), b.tolist(), targets, strict=True)
    ]
    return pairs, targets


def learned(world: World, config: DPOConfig) -> tuple[nn.Module, nn.Module]:
    """A policy that can be anything, after full-batch steps on all pairs; and what it started from."""
    actors = table_actors(3, 3, PolicyConfig(seed=config.seed))
    assert actors.reference is not None
    pairs, _ = all_pairs(world)
    reference = reference_logratios(actors.policy, pairs, config)
    optimizer = torch.optim.Adam(actors.policy.parameters(), lr=0.1)
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 60)
        accumulate_gradient(actors.policy, pairs, reference, config)
        optimizer.step()
        optimizer.zero_grad()
    return actors.policy, actors.reference


def objective(policy: nn.Module, reference: nn.Module, world: World, rewards: torch.Tensor, beta: float) -> float:
    own, ref = (sequence_logprobs(model, world) for model in (policy, reference))
    return float((own.exp() * (rewards - beta * (own - ref))).sum())


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_dpo_reaches_the_enumerated_optimum(seed):
    world = make_world(3, 3, seed=seed)
    policy, reference = learned(world, DPOConfig(seed=seed, beta=BETA, micro_batch_size=128))
    ref = sequence_logprobs(reference, world)
    best = BETA * float(torch.logsumexp(ref + world.rewards / BETA, 0))
    start = objective(reference, reference, world, world.rewards, BETA)
    assert start < 0.9 * best
    assert objective(policy, reference, world, world.rewards, BETA) >= 0.99 * best


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_ipo_reaches_its_closed_form(seed):
    """π_ref·exp(p(y beats a response drawn at random)/β)/Z (Azar et al. 2023, eq. 11)."""
    world = make_world(3, 3, seed=seed)
    policy, reference = learned(world, DPOConfig(seed=seed, beta=BETA, loss="ipo", micro_batch_size=128))
    wins = torch.sigmoid(world.rewards.unsqueeze(1) - world.rewards)
    share = (wins.sum(1) - 0.5) / (len(wins) - 1)  # against the others: an answer is not compared with itself
    share = share * (len(wins) - 1) / len(wins)
    logits = sequence_logprobs(reference, world) + share / BETA
    best = torch.log_softmax(logits, 0)
    own = sequence_logprobs(policy, world)
    start = float((best.exp() * (best - sequence_logprobs(reference, world))).sum())
    assert start > 0.02
    assert float((best.exp() * (best - own)).sum()) < 0.02 * start


LOSSES = {"sigmoid": {}, "ipo": {"loss": "ipo", "per_token": True}, "sigmoid_norm": {"per_token": True}}
"""By TRL's names; its ipo compares means over tokens, its sigmoid_norm too."""


@pytest.mark.parametrize("name", LOSSES)
def test_against_trl(oracle: Path, name: str) -> None:
    tensors = load_file(oracle / "golden.safetensors")
    about = json.loads((oracle / "golden.json").read_text())["cases"]["dpo"]
    config = DPOConfig(beta=about["config"]["beta"], **LOSSES[name])
    tokens, mask, completion = (tensors[f"dpo/in/{key}"] for key in ("input_ids", "attention_mask", "completion_mask"))
    rows = [
        Encoded(row[(own == 1) & (answer == 0)].tolist(), row[answer == 1].tolist())
        for row, own, answer in zip(tokens, mask, completion, strict=True)
    ]
    half = len(rows) // 2
    pairs = [DPOPair(a, b, 1.0, 1.0, 1.0, "p") for a, b in zip(rows[:half], rows[half:], strict=True)]
    policy = load_policy(str(oracle / "models" / "policy"), "", device=CPU)
    reference = reference_logratios(load_policy(str(oracle / "models" / "ref"), "", device=CPU), pairs, config)
    if not config.per_token:
        ours = logratios(policy, pairs, config)
        torch.testing.assert_close(ours.of_a.detach(), tensors["dpo/out/chosen_logps"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.of_b.detach(), tensors["dpo/out/rejected_logps"], atol=1e-5, rtol=1e-5)
    losses = pair_losses(logratios(policy, pairs, config).logratio, reference, pairs, config)
    torch.testing.assert_close(losses.detach(), tensors[f"dpo/out/{name}.per_sequence_loss"], atol=1e-5, rtol=1e-5)
    loss, _ = accumulate_gradient(policy, pairs, reference, config)
    assert loss == pytest.approx(about["scalars"][f"out/{name}.loss"], abs=1e-5)
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in policy.parameters() if weight.grad is not None])
    assert float(norm) == pytest.approx(about["scalars"][f"out/{name}.grad_norm"], rel=2e-5)


def settings(model: Path, **changes: object) -> dict[str, object]:
    return {
        "model": str(model),
        "learning_rate": 3e-3,
        "batch_size": 8,
        "epochs": 4,
        "evaluate_every": 4,
        "checkpoint_every": 3,
    } | changes


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_nano_policy(tmp_path_factory.mktemp("dpo") / "start")


@pytest.fixture(scope="module")
def finished(start: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = make_run(tmp_path_factory.mktemp("whole") / "run", "dpo", settings(start), preferences=preference_lines())
    train("dpo", run)
    return run


def test_it_learns_what_people_prefer(finished: RunDir) -> None:
    metrics = events_of(finished, "metrics")
    assert metrics[0]["values"]["loss/train"] == pytest.approx(0.693147, abs=1e-4)  # nothing learned yet
    summary = events_of(finished, "done")[0]["summary"]
    assert summary["accuracy"] == 1.0 > 0.5
    assert summary["loss"] < 0.5
    about = json.loads((finished.artifact / "plumbline.json").read_text())
    assert about["kind"] == "policy" and about["run_kind"] == "dpo"


def test_killed_it_ends_as_if_it_had_not_been(finished: RunDir, start: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "dpo", settings(start), preferences=preference_lines())
    assert train_and_kill("dpo", run, at_step=5) == -signal.SIGKILL
    train("dpo", run)
    assert events_of(run, "resumed")
    own, other = (load_file(one.artifact / "model.safetensors") for one in (run, finished))
    assert all(torch.equal(own[name], other[name]) for name in other)


@pytest.mark.parametrize("changes", [{"lora_rank": 4}, {"dtype": "bfloat16"}, {"per_token": True, "loss": "ipo"}])
def test_every_switch_runs(start: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    run = make_run(tmp_path / "run", "dpo", settings(start, epochs=2, **changes), preferences=preference_lines())
    train("dpo", run)
    losses = [event["values"]["loss/train"] for event in events_of(run, "metrics")]
    assert losses[-1] < losses[0]


def test_micro_batches_do_not_change_the_gradient(start: Path) -> None:
    pairs = [
        DPOPair(Encoded([5, 6], [7] * (1 + i)), Encoded([5, 6], [8, 9] * (3 - i)), 0.8, 1.0 + i, 1.0, "p")
        for i in range(3)
    ]
    gradients = []
    for size in (0, 1, 2):
        model = load_policy(str(start), "", device=CPU).double()
        config = DPOConfig(micro_batch_size=size)
        accumulate_gradient(model, pairs, reference_logratios(model, pairs, config) - 0.5, config)
        gradients.append([weight.grad for weight in model.parameters()])
    for other in gradients[1:]:
        for one, two in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(one, two, atol=1e-12, rtol=1e-12)
