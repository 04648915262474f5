"""The real command on tiny models: the reward rises, LoRA leaves a whole model, a killed run ends as if not killed."""

import json
import random
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import events_of, make_run, save_nano_policy, train, train_and_kill, user
from training.rlhf.config import PolicyConfig
from training.rlhf.data import Encoder
from training.rlhf.experience import seeded
from training.rlhf.model import load_policy, load_scalar, load_tokenizer, new_scalar, save_model
from training.rlhf.rundir import RunDir, Stopped, new_folder
from training.rlhf.sampling import as_grid, response_logprobs, sample
from training.rlhf.scoring import response_texts
from training.rlhf.train_policy import prompts_of_step, train_policy

GOOD, BAD = "77", "yy"
CHARTED = {
    "reward/mean",
    "reward/std",
    "reward/with_kl",
    "kl/sequence",
    "kl/k3",
    "kl/coef",
    "policy/entropy",
    "loss/policy",
    "loss/value",
    "value/explained_variance",
    "policy/clip_fraction",
    "policy/approx_kl",
    "policy/ratio_mean",
    "policy/ratio_max",
    "response/length",
    "response/ended",
    "optim/grad_norm",
    "optim/learning_rate",
    "policy/sampler_gap",
    "speed/rollouts_per_second",
    "speed/tokens_per_second",
    "time/sample",
    "time/score",
    "time/update",
    "memory/peak_mb",
}
"""What the pages chart."""
CLOCKS = ("time/", "speed/", "memory/")


def prompt_lines(count: int = 30) -> list[dict[str, object]]:
    return [
        {"id": f"p{i}", "messages": user(f"question {i}"), "split": "validation" if i % 6 == 5 else "train"}
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A policy taught to answer 77 or yy, a digit or two after it, and a reward model that likes the 77."""
    folder = tmp_path_factory.mktemp("policy-runs")
    start = save_nano_policy(folder / "start")
    answers = [answer + "x" * (index % 3) for index in range(60) for answer in (GOOD, BAD)]
    demonstrations = [
        {"id": f"d{i}", "prompt_id": f"p{i}", "prompt": user(f"question {i % 30}"), "response": text, "split": "train"}
        for i, text in enumerate(answers)
    ]
    sft = make_run(
        folder / "sft", "sft", {"model": str(start), "learning_rate": 1e-2, "batch_size": 24, "epochs": 8},
        demonstrations=demonstrations,
    )  # fmt: skip
    train("sft", sft)
    pairs = []
    for i in range(48):
        good, bad = GOOD + "x" * (i % 3), BAD + "x" * (i % 2)
        pairs.append(
            {
                "id": f"c{i}",
                "prompt_id": f"p{i}",
                "prompt": user(f"question {i}"),
                "response_a": good if i % 2 else bad,
                "response_b": bad if i % 2 else good,
                "target": float(i % 2),
                "strength": 1.0 if i % 2 else -1.0,
                "split": "test" if i % 6 == 5 else "train",
            }
        )
    reward = make_run(
        folder / "reward", "reward",
        {"model": str(sft.artifact), "learning_rate": 3e-3, "batch_size": 16, "epochs": 4, "keep_best": False},
        preferences=pairs,
    )  # fmt: skip
    train("reward", reward)
    return {"model": str(sft.artifact), "reward_model": str(reward.artifact)}


@pytest.fixture(scope="module")
def untaught(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same reward model over a policy that has not learned to end its answers."""
    return models | {"model": str(save_nano_policy(tmp_path_factory.mktemp("untaught") / "policy"))}


def settings(models: dict[str, str], **changes: object) -> dict[str, object]:
    return {
        **models,
        "num_steps": 10,
        "rollout_batch_size": 32,
        "num_minibatches": 2,
        "ppo_epochs": 2,
        "learning_rate": 3e-3,
        "max_response_tokens": 8,
        "kl_coef": 0.02,
        "kl_controller": "adaptive",
        "kl_target": 1.0,
        "kl_horizon": 500,
        "checkpoint_every": 3,
        "sample_every": 5,
        "num_sample_prompts": 3,
    } | changes


def metrics_by_step(run: RunDir) -> dict[int, dict[str, float]]:
    """The last written values of each step, without what the clock decides."""
    return {
        event["step"]: {name: value for name, value in event["values"].items() if not name.startswith(CLOCKS)}
        for event in events_of(run, "metrics")
    }


@pytest.fixture(scope="module")
def finished(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """One uninterrupted run of the command."""
    run = make_run(tmp_path_factory.mktemp("whole") / "run", "policy", settings(models), prompts=prompt_lines())
    train("policy", run)
    return run


def test_the_reward_rises(finished):
    metrics = metrics_by_step(finished)
    assert list(metrics) == list(range(1, 11))
    assert metrics[10]["reward/mean"] > metrics[1]["reward/mean"] + 0.3
    assert metrics[1]["kl/sequence"] == 0.0 and metrics[10]["kl/sequence"] > 0.0
    for values in metrics.values():
        assert values["optim/steps"] == 2 * 2
        assert values["policy/first_ratio_error"] == 0.0
        assert values["policy/sampler_gap"] < 1e-4
    assert metrics[2]["kl/coef"] != metrics[1]["kl/coef"] == 0.02


def test_what_the_run_leaves(finished, models):
    kinds = [event["type"] for event in events_of(finished) if event["type"] != "memory"]  # told on Linux alone
    assert kinds[0] == "sample" and kinds[-2:] == ["artifact", "done"]
    samples = events_of(finished, "sample")
    assert [event["step"] for event in samples] == [0, 5, 10]
    assert [item["prompt_id"] for item in samples[0]["items"]] == ["p5", "p11", "p17"]  # held-out prompts
    assert all(item["kl"] == 0.0 for item in samples[0]["items"])
    assert set(samples[0]["items"][0]) == {"prompt_id", "prompt", "text", "reward", "kl", "num_tokens", "ended"}
    about = json.loads((finished.artifact / "plumbline.json").read_text())
    assert about["kind"] == "policy" and about["parent"] == models["model"]
    assert about["reward_model"] == models["reward_model"]
    summary = events_of(finished, "done")[0]["summary"]
    assert summary["steps"] == 10 and summary["optimizer_steps"] == 40
    assert set(events_of(finished, "metrics")[0]["values"]) >= CHARTED


def test_a_reward_model_that_watches_changes_nothing(finished, models, tmp_path):
    watched = settings(models, watcher=models["reward_model"])
    run = make_run(tmp_path / "run", "policy", watched, prompts=prompt_lines())
    train("policy", run)
    metrics = metrics_by_step(run)
    for values in metrics.values():
        assert values.pop("reward/watched") == pytest.approx(values["reward/mean"], rel=1e-5)
    assert metrics == metrics_by_step(finished)


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_steps_it_ends_as_if_it_had_not_been(finished, models, tmp_path, seed):
    run = make_run(tmp_path / "run", "policy", settings(models), prompts=prompt_lines())
    chance = random.Random(seed)
    for step in (chance.randint(1, 5), chance.randint(6, 9)):
        assert train_and_kill("policy", run, at_step=step) == -signal.SIGKILL
    train("policy", run)
    assert_same_end(run, finished)
    assert events_of(run, "resumed")


def test_sigterm_cancels_with_a_checkpoint_and_the_run_can_go_on(finished, models, tmp_path):
    run = make_run(tmp_path / "run", "policy", settings(models), prompts=prompt_lines())
    assert train_and_kill("policy", run, at_step=2, sign=signal.SIGTERM) == 0
    last = events_of(run)[-1]
    assert last["type"] == "done" and last["status"] == "cancelled"
    assert run.whole_checkpoints()[-1][0] == last["summary"]["steps"] < 10
    assert not run.artifact.exists()
    train("policy", run)
    assert_same_end(run, finished)


def assert_same_end(run: RunDir, other: RunDir) -> None:
    weights, expected = (load_file(each.artifact / "model.safetensors") for each in (run, other))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert metrics_by_step(run) == metrics_by_step(other)
    states = [json.loads((each.checkpoint_path(10) / "state.json").read_text()) for each in (run, other)]
    assert states[0]["progress"] == states[1]["progress"]
    for file in ("weights", "optimizer"):
        own, its = (load_file(each.checkpoint_path(10) / f"{file}.safetensors") for each in (run, other))
        assert all(torch.equal(own[name], its[name]) for name in its)
    assert events_of(run, "sample")[-1]["items"] == events_of(other, "sample")[-1]["items"]


def run_here(run: RunDir) -> None:
    """The loop in this process: quicker than the command, for what the command itself cannot change."""
    with run.open_events() as events:
        train_policy(run.read_config("policy"), run, events, lambda: None)


def test_lora_reference_is_the_start_and_the_artifact_is_whole(models, tmp_path):
    changes = {"lora_rank": 4, "lora_alpha": 8.0, "learning_rate": 2e-2, "num_steps": 4}
    run = make_run(tmp_path / "run", "policy", settings(models, **changes), prompts=prompt_lines())
    run_here(run)
    metrics = metrics_by_step(run)
    assert metrics[1]["kl/sequence"] == 0.0  # adapters off and untrained adapters on are one model, to the bit
    assert metrics[4]["kl/sequence"] > 0.01
    state = load_file(run.checkpoint_path(4) / "weights.safetensors")
    assert all("lora_" in name or name.startswith("value/") for name in state)

    # The merged artifact, loaded by anybody's from_pretrained, answers the fixed prompts as the adapted policy did, and
    # its KL from the starting policy is what the adapters' on and off gave.
    config = run.read_config("policy")
    assert isinstance(config, PolicyConfig)
    device = torch.device("cpu")
    merged, start = load_policy(str(run.artifact), device=device), load_policy(models["model"], device=device)
    tokenizer = load_tokenizer(str(run.artifact))
    encoder = Encoder(tokenizer, max_prompt_tokens=512, max_response_tokens=8)
    items = events_of(run, "sample")[-1]["items"]
    responses = sample(
        merged,
        [encoder.prompt(item["prompt"]) for item in items],
        stop_ids=[tokenizer.eos_token_id],
        pad_id=0,
        max_tokens=8,
        temperature=1.0,
        generator=seeded(config, "fixed prompts", 0),
    )
    assert response_texts(tokenizer, responses) == [item["text"] for item in items]
    with torch.no_grad():
        difference = response_logprobs(merged, responses, temperature=1.0) - response_logprobs(
            start, responses, temperature=1.0
        )
    kl = as_grid(difference, responses.mask).sum(1)
    assert kl.tolist() == pytest.approx([item["kl"] for item in items], abs=1e-4)


def test_a_policy_that_never_ends_its_answers_is_refused(untaught, tmp_path):
    run = make_run(tmp_path / "run", "policy", settings(untaught, max_response_tokens=1), prompts=prompt_lines())
    train("policy", run, expect=2)
    last = events_of(run)[-1]
    assert last["type"] == "error" and last["owner"] == "user"
    assert "none of the 32 sampled responses ended by itself" in last["message"]
    assert "max_response_tokens (1)" in last["message"]


def test_it_may_go_on_when_their_scores_count(untaught, tmp_path):
    changes = {"max_response_tokens": 1, "replace_missing_eos": False, "num_steps": 1}
    run = make_run(tmp_path / "run", "policy", settings(untaught, **changes), prompts=prompt_lines())
    run_here(run)
    assert "none of the 32 sampled responses ended" in events_of(run, "warning")[0]["message"]


@pytest.mark.parametrize(("value_init", "zero_at_start"), [("policy", True), ("reward", False), ("auto", False)])
def test_where_the_value_model_starts(models, tmp_path, value_init, zero_at_start):
    changes = {"value_init": value_init, "num_steps": 1, "learning_rate": 1e-9}
    run = make_run(tmp_path / "run", "policy", settings(models, **changes), prompts=prompt_lines())
    run_here(run)
    head = load_file(run.checkpoint_path(1) / "weights.safetensors")["value/inner.score.weight"]
    expected = torch.zeros_like(head)
    if not zero_at_start:
        expected = load_scalar(models["reward_model"], device=torch.device("cpu")).head.weight
    assert torch.allclose(head, expected, atol=1e-6)


def test_a_value_model_that_reads_other_tokens_is_refused(models, tmp_path):
    other = load_tokenizer(models["model"])
    other.add_tokens(["<more>"])
    stranger = new_scalar(models["model"], device=torch.device("cpu"), head="random")
    with new_folder(tmp_path / "stranger") as folder:
        save_model(folder, stranger, other, about={})
    changes = {"value_model": str(tmp_path / "stranger")}
    run = make_run(tmp_path / "run", "policy", settings(models, **changes), prompts=prompt_lines())
    with pytest.raises(ValueError, match="does not read the policy's tokens"):
        run_here(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "bfloat16"},
        {"adam_eps_style": "tf", "lr_schedule": "cosine", "warmup_steps": 1},
        {"score_at": "first_pad", "whiten_rewards": True, "advantage_variance": "unbiased"},
        {"value_trunk": "shared"},
        {"value_trunk": "shared", "lora_rank": 4, "entropy_coef": 0.01},
        {"algorithm": "rloo"},
        {"algorithm": "grpo", "kl_controller": "fixed"},
        {"algorithm": "reinforce", "ppo_epochs": 1},
        {"kl_stop": 0.01, "dual_clip": 3.0, "entropy_coef": 0.01, "reward_clip": 1.0, "temperature": 0.7},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_switch_runs(models, tmp_path, changes):
    """Each changes the numbers and none breaks the first ratio."""
    plain = make_run(tmp_path / "plain", "policy", settings(models, num_steps=2), prompts=prompt_lines())
    other = make_run(tmp_path / "other", "policy", settings(models, num_steps=2, **changes), prompts=prompt_lines())
    for run in (plain, other):
        run_here(run)
    values, usual = metrics_by_step(other), metrics_by_step(plain)
    assert values[2]["loss/policy"] != usual[2]["loss/policy"]
    assert all(step["policy/first_ratio_error"] == 0.0 for step in values.values())


def test_one_trunk_stopped_and_resumed_ends_as_if_it_had_not_been(models, tmp_path):
    """The head's weights and both moments of the one optimizer come back; the activations made again change nothing."""
    changes = {"value_trunk": "shared", "num_steps": 3, "checkpoint_every": 1}
    runs = [make_run(tmp_path / name, "policy", settings(models, **changes), prompts=prompt_lines()) for name in "ab"]
    run_here(runs[0])
    calls = iter([None, None, "cancelled"])
    config = runs[1].read_config("policy")
    with runs[1].open_events() as events, pytest.raises(Stopped):
        train_policy(config, runs[1], events, lambda: next(calls))
    saved = load_file(runs[1].whole_checkpoints()[-1][1] / "weights.safetensors")
    assert float(saved["value/head.weight"].abs().max()) > 0 and not any("score" in name for name in saved)
    changed = json.loads(runs[1].config.read_text()) | {"activation_checkpointing": True}
    runs[1].config.write_text(json.dumps(changed))
    run_here(runs[1])
    ends = [load_file(run.checkpoint_path(3) / "weights.safetensors") for run in runs]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_every_prompt_is_answered_once_before_any_comes_again():
    config = PolicyConfig(rollout_batch_size=4)
    order = [row for step in range(5) for row in prompts_of_step(10, step=step, config=config)]
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert order[:10] != order[10:20]
    assert prompts_of_step(3, step=7, config=config) == prompts_of_step(3, step=7, config=config)


def test_the_run_folder_needs_prompts(models, tmp_path: Path):
    run = make_run(tmp_path / "run", "policy", settings(models))
    with pytest.raises(ValueError, match=r"prompts\.jsonl is missing"):
        run_here(run)
