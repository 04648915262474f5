"""A reward model on the trunk of the policy it judges: the same score, nothing disturbed, and resumed to the bit."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import events_of, make_run, preference_lines, save_nano_policy, train, user
from training.rlhf.adapters import AdaptedReward, on_trunk_of, save_adapters, trunk_hash
from training.rlhf.config import PolicyConfig
from training.rlhf.data import Encoded, pad_rows
from training.rlhf.heads import trunk_of
from training.rlhf.model import adapters_off, add_lora, load_policy, load_scalar, load_tokenizer, new_scalar, read_about
from training.rlhf.rundir import RunDir, Stopped
from training.rlhf.sampling import given_responses
from training.rlhf.scoring import Scorer
from training.rlhf.train_policy import load_actors, train_policy

CPU = torch.device("cpu")
CLOCKS = ("time/", "speed/", "memory/")
ROWS = [[1, 40, 41, 42, 2], [1, 50], [1, 60, 61, 2, 2, 2, 70, 2]]


@pytest.fixture(scope="module")
def reward_run(nano_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Two heads on adapters over the policy's own trunk, by the command itself."""
    config = {
        "model": str(nano_policy), "lora_rank": 4, "learning_rate": 2e-2, "batch_size": 8, "epochs": 2, "heads": 2,
        "device": "cpu", "keep_best": False,
    }  # fmt: skip
    run = make_run(tmp_path_factory.mktemp("adapters") / "reward", "reward", config, preferences=preference_lines())
    train("reward", run)
    return run


def adapted_policy(folder: Path, *, rank: int = 2) -> torch.nn.Module:
    """Whose own adapters do something, as after training."""
    policy = add_lora(load_policy(str(folder), device=CPU), rank=rank, alpha=4)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return policy


def settings(reward_run: RunDir, **changes: object) -> dict[str, object]:
    return {
        "model": str(reward_run.read_config("reward").model),
        "reward_model": str(reward_run.artifact),
        "lora_rank": 4,
        "value_trunk": "shared",
        "num_steps": 3,
        "rollout_batch_size": 8,
        "num_minibatches": 2,
        "ppo_epochs": 2,
        "learning_rate": 1e-2,
        "max_response_tokens": 6,
        "checkpoint_every": 1,
        "sample_every": 3,
        "num_sample_prompts": 2,
        "replace_missing_eos": False,
        "device": "cpu",
    } | changes


def policy_run(path: Path, config: dict[str, object]) -> RunDir:
    prompts = [{"id": f"p{i}", "messages": user(f"question {i}"), "split": "train"} for i in range(12)]
    return make_run(path, "policy", config, prompts=prompts)


def run_here(run: RunDir, stop: object = None) -> None:
    calls = iter(stop or [])
    with run.open_events() as events:
        train_policy(run.read_config("policy"), run, events, lambda: next(calls, None))


def values_of(run: RunDir) -> list[dict[str, float]]:
    return [
        {name: value for name, value in event["values"].items() if not name.startswith(CLOCKS)}
        for event in events_of(run, "metrics")
    ]


def test_the_score_is_that_of_the_model_by_itself(reward_run):
    """Of the artifact's whole weights, and of any tool's: to the rounding with which adapters went into the weights."""
    policy = adapted_policy(Path(reward_run.read_config("reward").model))
    own, shared = (
        load_scalar(str(reward_run.artifact), device=CPU),
        on_trunk_of(policy, str(reward_run.artifact), name="reward"),
    )
    assert shared is not None and shared.num_heads == own.num_heads == 2
    batch = pad_rows(ROWS, side="right")
    expected, found = (model.normalised_heads(model.head_scores(*batch)) for model in (own, shared))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert float(expected.detach().std()) > 0.1 and (own.reward_mean, own.reward_std) != (0.0, 1.0)
    assert shared.temperature == own.temperature


def test_to_the_last_digits_before_the_weights_are_rounded(nano_policy, tmp_path):
    torch.manual_seed(0)
    reward = new_scalar(str(nano_policy), device=CPU, head="random")
    add_lora(reward, rank=3, alpha=2)
    with torch.no_grad():
        for name, weight in reward.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    folder = tmp_path / "reward"
    reward.inner.config.save_pretrained(folder)  # so that the folder is a reward model's
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["LlamaForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(config))
    save_adapters(folder, reward)
    policy = adapted_policy(nano_policy)
    shared = on_trunk_of(policy, str(folder), name="reward")
    assert shared is not None
    batch = pad_rows(ROWS, side="right")
    torch.testing.assert_close(shared.score(*batch), reward.score(*batch), atol=1e-6, rtol=0)
    torch.testing.assert_close(shared(*batch)[batch.mask], reward(*batch)[batch.mask], atol=1e-6, rtol=0)
    for model in (reward, policy, shared):
        model.double()
    torch.testing.assert_close(shared.score(*batch), reward.score(*batch), atol=1e-12, rtol=0)


def test_several_threads_may_ask_it_at_once(reward_run):
    """Adapters are at work or not for the whole model: one thread that is done must not switch off another's."""
    folder = reward_run.read_config("reward").model
    policy, tokenizer = adapted_policy(Path(folder)), load_tokenizer(folder)
    shared = on_trunk_of(policy, str(reward_run.artifact), name="reward")
    assert shared is not None
    scorer = Scorer(shared, tokenizer, tokenizer, PolicyConfig(max_prompt_tokens=64), batch_size=4)
    rows = [Encoded(ROWS[0], [*ROWS[1][:length], 0]) for length in range(1, len(ROWS[1]) + 1)] * 8
    responses = given_responses(rows, stop_id=0, device=CPU)
    before = torch.get_num_threads()
    found = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            found.append(scorer([user("hello")] * len(rows), responses))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=0)
    assert float(found[0].std()) > 0.01


def test_neither_disturbs_the_other(reward_run):
    policy = adapted_policy(Path(reward_run.read_config("reward").model))
    tokens = torch.tensor([ROWS[0]])
    learning = {name for name, weight in policy.named_parameters() if weight.requires_grad}
    with torch.no_grad(), adapters_off(policy):
        reference = policy(input_ids=tokens).logits
    before = policy(input_ids=tokens).logits
    shared = on_trunk_of(policy, str(reward_run.artifact), name="reward")
    assert shared is not None
    shared.score(*pad_rows(ROWS, side="right"))
    after = policy(input_ids=tokens).logits
    assert torch.equal(before, after) and not torch.allclose(after, reference, atol=1e-3)
    with torch.no_grad(), adapters_off(policy):
        assert torch.equal(policy(input_ids=tokens).logits, reference)
    assert {name for name, weight in policy.named_parameters() if weight.requires_grad} == learning
    after.sum().backward()
    assert {name for name, weight in policy.named_parameters() if weight.grad is not None} == learning
    assert not any(weight.requires_grad for weight in shared.parameters())


def test_a_trunk_of_its_own_where_the_weights_are_others(reward_run, tmp_path):
    artifact = str(reward_run.artifact)
    other = save_nano_policy(tmp_path / "other", seed=5)
    assert on_trunk_of(adapted_policy(other), artifact, name="reward") is None
    base = Path(reward_run.read_config("reward").model)
    assert on_trunk_of(load_policy(str(base), device=CPU), artifact, name="reward") is None  # tuned in full
    shutil.copytree(artifact, tmp_path / "whole", ignore=shutil.ignore_patterns("adapter"))
    assert on_trunk_of(adapted_policy(base), str(tmp_path / "whole"), name="reward") is None


def test_a_run_on_one_trunk_is_the_run_on_two(reward_run, tmp_path):
    """The same curves to rounding; and what the updates move is not the trunk, and not the reward."""
    shutil.copytree(reward_run.artifact, tmp_path / "whole", ignore=shutil.ignore_patterns("adapter"))
    one = policy_run(tmp_path / "one", settings(reward_run, watcher=str(reward_run.artifact)))
    two = policy_run(tmp_path / "two", settings(reward_run, reward_model=str(tmp_path / "whole")))
    for run in (one, two):
        run_here(run)
    for values, expected in zip(values_of(one), values_of(two), strict=True):
        assert values.pop("reward/watched") == pytest.approx(values["reward/mean"], abs=1e-6)
        assert values == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert values_of(one)[-1]["kl/sequence"] > 1e-3

    config = one.read_config("policy")
    assert isinstance(config, PolicyConfig)
    actors, scorer = load_actors(config, load_tokenizer(config.model))
    assert isinstance(scorer.reward, AdaptedReward)
    start = load_policy(config.model, device=CPU)
    assert trunk_hash(trunk_of(actors.policy)) == trunk_hash(trunk_of(start))
    learned = sum(weight.numel() for weight in actors.policy.parameters() if weight.requires_grad)
    taught = sum(
        weight.numel() for weight in load_file(reward_run.artifact / "adapter/adapter_model.safetensors").values()
    )
    whole = sum(weight.numel() for weight in start.parameters())
    assert sum(weight.numel() for weight in actors.policy.parameters()) == whole + learned + taught


def test_updates_move_neither_the_trunk_nor_the_score(reward_run, tmp_path, monkeypatch):
    seen = []

    def kept(*given: object) -> object:
        actors, scorer = load_actors(*given)
        seen.append((actors.policy, scorer.reward, *measured(actors.policy, scorer.reward)))
        return actors, scorer

    def measured(policy: torch.nn.Module, reward: AdaptedReward) -> tuple[str, list[float], list[float]]:
        own = [float(weight.detach().square().sum()) for weight in policy.parameters() if weight.requires_grad]
        return trunk_hash(trunk_of(policy)), reward.score(*pad_rows(ROWS, side="right")).tolist(), own

    monkeypatch.setattr("training.rlhf.train_policy.load_actors", kept)
    run = policy_run(tmp_path / "run", settings(reward_run))
    with pytest.raises(Stopped):
        run_here(run, [None, None, "cancelled"])  # before the adapters are added into the weights
    policy, reward, trunk, scores, own = seen[0]
    now = measured(policy, reward)
    assert (trunk, scores) == now[:2] and own != now[2]


def test_stopped_and_resumed_it_ends_as_if_it_had_not_been(reward_run, tmp_path):
    whole, other = (policy_run(tmp_path / name, settings(reward_run)) for name in ("whole", "other"))
    run_here(whole)
    with pytest.raises(Stopped):
        run_here(other, [None, None, "cancelled"])
    run_here(other)
    for file in ("weights", "optimizer"):
        ends = [load_file(run.checkpoint_path(3) / f"{file}.safetensors") for run in (whole, other)]
        assert ends[0].keys() == ends[1].keys() and not any("reward" in name for name in ends[0])
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert values_of(other) == values_of(whole)


def test_the_artifact_says_where_it_comes_from(reward_run):
    assert read_about(str(reward_run.artifact))["kind"] == "reward"
    place = reward_run.artifact / "adapter"
    assert sorted(path.name for path in place.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "heads.safetensors", "trunk.json",
    ]  # fmt: skip
    names = json.loads((place / "adapter_config.json").read_text())["target_modules"]
    assert names == sorted(names)
