"""ILQL: the values and the policy that theory gives, where both can be enumerated; and the real command."""

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from tests.rlhf.nano import (
    events_of,
    make_run,
    nano_tokenizer,
    preference_lines,
    save_nano_gpt2,
    save_nano_policy,
    shaken_tower,
    train,
    train_and_kill,
    user,
)
from tests.rlhf.small_world import START, STOP, World, make_world, sequence_logprobs, table_actors
from training.rlhf.activations import make_again
from training.rlhf.config import ILQLConfig, PolicyConfig
from training.rlhf.data import Encoded, Encoder, PreferencePair
from training.rlhf.losses import expectile_loss
from training.rlhf.packing import TOKENS_A_PASS, packs
from training.rlhf.rundir import RunDir
from training.rlhf.sampling import given_responses, response_logprobs
from training.rlhf.steering import SteeredPolicy, load_writer
from training.rlhf.train_ilql import Episode, accumulate_gradient, episodes
from training.rlhf.values import QHeads, ValueTower

CPU = torch.device("cpu")
VOCABULARY, HORIZON, BETA = 3, 3, 4.0
Prefix = tuple[int, ...]


class Prefixes(nn.Module):
    """A trunk that knows every prefix by its number: heads over it are tables, which can learn any values."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 2 * VOCABULARY**HORIZON

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> SimpleNamespace:
        prefix, found = torch.zeros_like(input_ids[:, 0]), []
        for column in input_ids.unbind(1):
            prefix = (prefix * VOCABULARY + column) % self.size
            found.append(prefix)
        numbers = torch.stack(found, 1)
        return SimpleNamespace(last_hidden_state=nn.functional.one_hot(numbers, self.size).double())


def table_tower() -> ValueTower:
    """Free numbers for Q and V of every prefix, all 0."""
    trunk = Prefixes()
    heads = [nn.Linear(trunk.size, width, bias=False).double() for width in (VOCABULARY, VOCABULARY, 1)]
    for head in heads:
        nn.init.zeros_(head.weight)
    return ValueTower(trunk, QHeads(heads[0], heads[1]), heads[2])


def labelled(world: World, seed: int) -> list[Episode]:
    """Every response of the world, some said of more often than others; rewards from −1 to 1."""
    chance = random.Random(seed)
    rewards = world.rewards / world.rewards.abs().max()
    return [
        Episode(Encoded([START], list(text)), float(rewards[row]), chance.uniform(0.5, 2.0), f"p{row}")
        for text, row in world.rows.items()
    ]


def expectile_of(values: Tensor, weights: Tensor, tau: float) -> Tensor:
    """The zero of Σ w·|τ − [v < m]|·(v − m), by halving."""
    low, high = values.min(), values.max()
    for _ in range(80):
        middle = (low + high) / 2
        pull = (weights * torch.where(values < middle, 1 - tau, tau) * (values - middle)).sum()
        low, high = (middle, high) if pull > 0 else (low, middle)
    return (low + high) / 2


def conservative_minimum(wanted: Tensor, weights: Tensor, coef: float) -> Tensor:
    """argmin over Q of Σ_a w_a·((Q_a − wanted_a)² + coef·(logsumexp Q − Q_a)), by Newton; strictly convex."""
    q = wanted.clone()
    for _ in range(100):
        p = torch.softmax(q, 0)
        slope = 2 * weights * (q - wanted) + coef * (weights.sum() * p - weights)
        curve = torch.diag(2 * weights) + coef * weights.sum() * (torch.diag(p) - torch.outer(p, p))
        q = q - torch.linalg.solve(curve, slope)
    return q


def closed_form(data: list[Episode], config: ILQLConfig) -> tuple[dict[Prefix, dict[int, float]], dict[Prefix, float]]:
    """Q and V by going back from the last tokens: Q = r + γ·V, V the τ-expectile over what was written."""
    weight: dict[Prefix, float] = {}
    reward: dict[Prefix, float] = {}
    for episode in data:
        text = tuple(episode.row.response)
        reward[text] = episode.reward
        for end in range(1, len(text) + 1):
            weight[text[:end]] = weight.get(text[:end], 0.0) + episode.weight
    q: dict[Prefix, dict[int, float]] = {}
    v: dict[Prefix, float] = {}
    for prefix in sorted({text[:-1] for text in weight}, key=len, reverse=True):
        after = sorted(text for text in weight if text[:-1] == prefix)
        wanted = torch.tensor(
            [reward[text] if text in reward and text not in v else config.gamma * v[text] for text in after],
            dtype=torch.float64,
        )
        weights = torch.tensor([weight[text] for text in after], dtype=torch.float64)
        if len(after) == VOCABULARY:  # else there are tokens nobody wrote, whose Q only the conservative term moves
            wanted = conservative_minimum(wanted, weights, config.cql_coef)
        q[prefix] = dict(zip([text[-1] for text in after], wanted.tolist(), strict=True))
        v[prefix] = float(expectile_of(wanted, weights, config.expectile))
    return q, v


def learned(data: list[Episode], config: ILQLConfig, *, num_steps: int = 250) -> ValueTower:
    tower = table_tower()
    target = tower.q.copied()
    optimizer = torch.optim.Adam(tower.parameters(), lr=0.1)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / num_steps)
        accumulate_gradient(tower, target, data, config)
        optimizer.step()
        optimizer.zero_grad()
        target.follow(tower.q, share=config.polyak)
    return tower


def told(tower: ValueTower, world: World) -> Iterator[tuple[Prefix, Tensor, float]]:
    """(prefix, Q (V,), V) of every state."""
    with torch.no_grad():
        features = tower.features(world.responses)
        q, v = tower.q.lowest(features), tower.v(features).squeeze(-1)
    rows, offsets = world.responses.mask.nonzero(as_tuple=True)
    texts = list(world.rows)
    for place, (row, offset) in enumerate(zip(rows.tolist(), offsets.tolist(), strict=True)):
        yield texts[row][:offset], q[place], float(v[place])


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("changes", [{"cql_coef": 0.0, "gamma": 0.9}, {"cql_coef": 0.1, "expectile": 0.9}], ids=str)
def test_values_and_policy_reach_their_closed_form(seed, changes):
    """Every token was written somewhere, often or seldom. Then π ∝ π_ref·exp(β·(Q − V)), summed over all responses."""
    world = make_world(VOCABULARY, HORIZON, seed=seed)
    config = ILQLConfig(seed=seed, beta=BETA, polyak=0.1, **changes)
    data = labelled(world, seed)
    tower = learned(data, config)
    q, v = closed_form(data, config)
    for prefix, own_q, own_v in told(tower, world):
        assert own_v == pytest.approx(v[prefix], abs=0.01)
        assert {token: float(own_q[token]) for token in q[prefix]} == pytest.approx(q[prefix], abs=0.01)

    reference = table_actors(VOCABULARY, HORIZON, PolicyConfig(seed=seed)).policy
    ours = sequence_logprobs(SteeredPolicy(reference, tower, beta=BETA), world)
    exact = closed_policy(reference, world, q, v)
    assert float(exact.exp().sum()) == pytest.approx(1, abs=1e-9) == float(ours.exp().sum())
    apart = float((exact.exp() * (exact - ours)).sum())
    start = float((exact.exp() * (exact - sequence_logprobs(reference, world))).sum())
    assert start > 0.05 and apart < 0.01 * start


def closed_policy(reference: nn.Module, world: World, q: dict[Prefix, dict[int, float]], v: dict[Prefix, float]):
    """(B,) log π of every response, token by token from the definition."""
    logprobs = response_logprobs(reference, world.responses, temperature=1.0).double()
    rows, offsets = world.responses.mask.nonzero(as_tuple=True)
    texts = list(world.rows)
    found = torch.zeros(len(texts), dtype=torch.float64)
    by_state: dict[Prefix, dict[int, float]] = {}
    for logprob, row, offset in zip(logprobs.tolist(), rows.tolist(), offsets.tolist(), strict=True):
        by_state.setdefault(texts[row][:offset], {})[texts[row][offset]] = logprob
    pushed: dict[Prefix, dict[int, float]] = {}
    for state, own in by_state.items():
        logits = torch.tensor(
            [own[token] + BETA * (q[state][token] - v[state]) for token in sorted(own)], dtype=torch.float64
        )
        pushed[state] = dict(zip(sorted(own), torch.log_softmax(logits, 0).tolist(), strict=True))
    for row, text in enumerate(texts):
        found[row] = sum(pushed[text[:end]][text[end]] for end in range(len(text)))
    return found


def test_a_higher_expectile_trusts_the_best_that_was_written():
    world = make_world(VOCABULARY, HORIZON, seed=1)
    data = labelled(world, 1)
    starts = []
    for tau in (0.5, 0.8, 0.99):
        config = ILQLConfig(expectile=tau, cql_coef=0.0, polyak=0.1)
        starts.append(closed_form(data, config)[1][()])
    mean = sum(episode.weight * episode.reward for episode in data) / sum(episode.weight for episode in data)
    assert starts[0] == pytest.approx(mean, abs=1e-9)
    assert starts[0] < starts[1] < starts[2] <= max(episode.reward for episode in data)


def test_the_expectile_by_hand():
    """Of 0 and 1 the 0.75-expectile is 0.75: 0.75·(1 − m) = 0.25·m."""
    m = torch.tensor(0.75, dtype=torch.float64, requires_grad=True)
    expectile_loss(torch.tensor([0.0, 1.0]).double() - m, expectile=0.75).sum().backward()
    assert float(m.grad) == pytest.approx(0, abs=1e-12)


def test_a_label_becomes_a_reward_and_a_weight():
    encoder = Encoder(nano_tokenizer(), max_prompt_tokens=99, max_response_tokens=99)
    line = PreferencePair("1", "p", user("q"), "good", "bad", 0.75, 1.0, 1.0, None, "train")
    lines = [line, line._replace(id="2", response_b="worse", target=1.0, weight=3.0), line._replace(weight=0.0)]
    found = {encoder.tokenizer.decode(each.row.response[:-1]): each for each in episodes(encoder, lines)}
    assert {text: each.reward for text, each in found.items()} == {
        "good": pytest.approx((0.5 * 1 + 1.0 * 3) / 4), "bad": -0.5, "worse": -1.0,
    }  # fmt: skip
    assert [each.weight for each in found.values()] == [4.0, 1.0, 3.0]


def shaken_gradient(folder: Path, *, is_packed: bool, **changes: object) -> tuple[float, dict[str, Tensor]]:
    """The loss of four answers, two of them to one prompt, and its gradient; float64."""
    tower = shaken_tower(folder).double()
    assert packs(tower.trunk)
    if not is_packed:
        tower.trunk.set_attn_implementation("sdpa")
        assert not packs(tower.trunk)
    if changes.get("activation_checkpointing"):
        make_again(tower.trunk)
    target = tower.q.copied()
    with torch.no_grad():
        for weight in target.parameters():
            weight.mul_(0.5)
    rows = [([1, 40], [50, 51, 2]), ([1, 41, 42, 43, 44], [60]), ([1], [50, 50, 50, 50, 50, 2]), ([1, 40], [50, 9])]
    batch = [Episode(Encoded(*row), 0.3 * i - 0.4, 1.0 + i, "p") for i, row in enumerate(rows)]
    loss, _ = accumulate_gradient(tower, target, batch, ILQLConfig(gamma=0.9, **changes))
    return loss, {name: weight.grad for name, weight in tower.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_packing_padding_and_micro_batches_leave_the_gradient_alone(tmp_path, monkeypatch, architecture):
    folder = save_nano_gpt2(tmp_path / "m") if architecture == "gpt2" else save_nano_policy(tmp_path / "m")
    loss, gradients = shaken_gradient(folder, is_packed=False, micro_batch_size=1)  # every row alone
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in gradients.values())
    ways = [
        {"is_packed": is_packed} | changes
        for is_packed in (False, True)
        for changes in ({}, {"micro_batch_size": 2}, {"activation_checkpointing": True})
    ]
    for budget in (2048, 8):
        monkeypatch.setitem(TOKENS_A_PASS, "cpu", budget)
        for way in ways:
            own_loss, own = shaken_gradient(folder, **way)
            assert own_loss == pytest.approx(loss, abs=1e-12), way
            assert own.keys() == gradients.keys()
            apart = max(float((own[name] - gradients[name]).abs().max()) for name in gradients)
            assert apart < 1e-12, (way, budget)


# --- the command ---------------------------------------------------------------------------------------------------


def settings(model: Path, **changes: object) -> dict[str, object]:
    return {
        "model": str(model),
        "learning_rate": 5e-3,
        "batch_size": 16,
        "epochs": 7,
        "evaluate_every": 8,
        "checkpoint_every": 3,
        "polyak": 0.2,
        "num_threads": 1,
    } | changes


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_nano_policy(tmp_path_factory.mktemp("ilql") / "start")


@pytest.fixture(scope="module")
def finished(start: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = make_run(tmp_path_factory.mktemp("whole") / "run", "ilql", settings(start), preferences=preference_lines())
    train("ilql", run)
    return run


def test_it_learns_what_people_prefer(finished: RunDir) -> None:
    metrics = [event["values"] for event in events_of(finished, "metrics")]
    assert len(metrics) == 28
    assert metrics[0]["ilql/q"] == metrics[0]["ilql/v"] == 0.0  # nothing is worth anything yet
    assert metrics[-1]["loss/train"] < 0.5 * metrics[0]["loss/train"]
    summary = events_of(finished, "done")[0]["summary"]
    assert summary["accuracy"] == 1.0 and summary["num_pairs"] == 8
    assert summary["loss"] == metrics[-1]["validation/loss"]


def test_the_artifact_writes_and_is_measured_as_any_policy(finished: RunDir, start: Path, tmp_path: Path) -> None:
    about = json.loads((finished.artifact / "plumbline.json").read_text())
    assert about["kind"] == "policy" and about["run_kind"] == "ilql" and about["steering"] == {"beta": 4.0}
    prompts = [{"id": f"p{i}", "messages": user(f"question {i}"), "split": "train"} for i in range(3)]
    config = {"model": str(finished.artifact), "max_response_tokens": 4}
    written = make_run(tmp_path / "generate", "generate", config, prompts=prompts)
    train("generate", written)
    lines = [json.loads(line) for line in written.responses.read_text().splitlines()]
    # The two towers' one cache says what a full pass says, and the answers are drawn from the steered distribution.
    config |= {"reference_model": str(start), "split": "train"}
    measured = make_run(tmp_path / "evaluate", "evaluate", config, prompts=prompts)
    (measured.path / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines if line["ended"]))
    if any(line["ended"] for line in lines):
        train("evaluate", measured)
        scores = [json.loads(line) for line in (measured.path / "scores.jsonl").read_text().splitlines()]
        for own, score in zip([line for line in lines if line["ended"]], scores, strict=True):
            assert score["logprob"] == pytest.approx(own["logprob"], abs=1e-3)

    # It prefers what people did, by far more than its start, whose weights any tool finds untouched in the folder.
    writer, encoder = (
        load_writer(str(finished.artifact), device=CPU),
        Encoder(nano_tokenizer(), max_prompt_tokens=99, max_response_tokens=9),
    )
    rows = [encoder.encode(user("question 5"), text) for text in ("77", "yy")]
    responses = given_responses(rows, stop_id=2, device=CPU)
    plain = AutoModelForCausalLM.from_pretrained(finished.artifact)
    ahead = []
    with torch.no_grad():
        for model in (writer, plain):
            logprobs = response_logprobs(model, responses, temperature=1.0)
            first, second = logprobs.split(responses.mask.sum(1).tolist())
            ahead.append(float(first.sum() - second.sum()))
    assert ahead[0] > ahead[1] + 1
    before = load_file(start / "model.safetensors")
    assert all(torch.equal(before[key], weight) for key, weight in plain.state_dict().items() if key in before)


def test_training_on_is_refused_with_where_to_start_instead(finished: RunDir, start: Path, tmp_path: Path) -> None:
    config = {"model": str(finished.artifact), "max_steps": 1}
    run = make_run(tmp_path / "run", "dpo", config, preferences=preference_lines())
    message = train("dpo", run, expect=2)[-1]["message"]
    assert f"not be trained on. Start from the model it came from, {start}" in message


def test_killed_it_ends_as_if_it_had_not_been(finished: RunDir, start: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "ilql", settings(start), preferences=preference_lines())
    assert train_and_kill("ilql", run, at_step=5) == -signal.SIGKILL
    train("ilql", run)
    assert events_of(run, "resumed")
    for file in ("values/model.safetensors", "values/heads.safetensors"):
        own, other = (load_file(one.artifact / file) for one in (run, finished))
        assert own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in other)
    checkpoints = [load_file(one.checkpoint_path(28) / "weights.safetensors") for one in (run, finished)]
    assert any(name.startswith("target/") for name in checkpoints[0])
    assert all(torch.equal(checkpoints[0][name], checkpoints[1][name]) for name in checkpoints[1])
    assert events_of(run)[-1]["summary"] == events_of(finished)[-1]["summary"]


@pytest.mark.parametrize("changes", [{"lora_rank": 4}, {"dtype": "bfloat16"}], ids=str)
def test_every_switch_runs(start: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    run = make_run(tmp_path / "run", "ilql", settings(start, epochs=4, **changes), preferences=preference_lines())
    train("ilql", run)
    losses = [event["values"]["loss/train"] for event in events_of(run, "metrics")]
    assert losses[-1] < losses[0]
    trunk = load_file(run.artifact / "values" / "model.safetensors")
    assert not any("lora" in name for name in trunk)
    assert load_writer(str(run.artifact), device=CPU).beta == 4.0


def test_the_stop_token_is_an_action_like_any_other() -> None:
    assert STOP in {text[-1] for text in make_world(VOCABULARY, HORIZON, seed=1).rows}
