"""A run of any kind, killed at random moments as often as chance will have it, ends as if nobody had touched it.

`PLUMBLINE_KILLED_RUNS=100 python -m pytest tests/rlhf/test_kill.py` takes a hundred runs of each kind instead of four.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import demonstration_lines, environment, events_of, make_run, preference_lines, user
from training.rlhf.adapters import on_trunk_of, save_adapters
from training.rlhf.model import add_lora, load_policy, load_tokenizer, new_scalar, save_model
from training.rlhf.rundir import RunDir, new_folder

NUM_RUNS = int(os.environ.get("PLUMBLINE_KILLED_RUNS", "4"))
CLOCKS = ("time/", "speed/", "memory/")
SHARED = {"device": "cpu", "num_threads": 1, "checkpoint_every": 1, "learning_rate": 5e-3}
PAIRS = {"max_steps": 5, "batch_size": 4, "evaluate_every": 2}
SETTINGS: dict[str, dict[str, object]] = {
    "sft": {"max_steps": 5, "batch_size": 4, "evaluate_every": 2},
    "reward": {**PAIRS, "lora_rank": 2},
    "dpo": PAIRS,
    "ilql": PAIRS,
    "policy": {
        "num_steps": 4, "rollout_batch_size": 4, "num_minibatches": 2, "ppo_epochs": 2, "max_response_tokens": 4,
        "kl_controller": "adaptive", "kl_target": 0.5, "kl_horizon": 50, "sample_every": 2, "num_sample_prompts": 2,
        "replace_missing_eos": False,
    },
}  # fmt: skip
"""By kind."""
ONE_TRUNK = {**SETTINGS["policy"], "lora_rank": 2, "value_trunk": "shared"}
"""Where policy, reference, value model and reward model stand on one."""
RUNS = {**SETTINGS, "policy-one-trunk": ONE_TRUNK}


@pytest.fixture(scope="module")
def reward_model(nano_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    scalar = new_scalar(str(nano_policy), device=torch.device("cpu"), head="random")
    path = tmp_path_factory.mktemp("reward") / "model"
    with new_folder(path) as folder:
        save_model(folder, scalar, load_tokenizer(str(nano_policy)), about={})
    return path


@pytest.fixture(scope="module")
def adapted_reward(nano_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters that have learned something, over the policy's own weights."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("adapted") / "model"
    model = add_lora(new_scalar(str(nano_policy), device=torch.device("cpu"), head="random"), rank=2, alpha=4)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    with new_folder(path) as folder:
        save_adapters(folder, model)
        save_model(folder, model, load_tokenizer(str(nano_policy)), about={})
    return path


def lines_of(kind: str) -> dict[str, list[dict[str, object]]]:
    if kind == "sft":
        return {"demonstrations": demonstration_lines(24)}
    if kind == "policy":
        return {"prompts": [{"id": f"p{i}", "messages": user(f"question {i}"), "split": "train"} for i in range(8)]}
    return {"preferences": preference_lines(24)}


def values_by_step(run: RunDir, type_: str, key: str) -> dict[int, list[object]]:
    """Everything that any life wrote about a step."""
    found: dict[int, list[object]] = {}
    for event in events_of(run, type_):
        value = event[key]
        if isinstance(value, dict):
            value = {name: number for name, number in value.items() if not name.startswith(CLOCKS)}
        found.setdefault(event["step"], []).append(value)
    return found


def assert_same_tensors(one: Path, other: Path) -> None:
    left, right = load_file(one), load_file(other)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left), one


def assert_same_end(run: RunDir, whole: RunDir) -> None:
    assert [path.name for _, path in run.whole_checkpoints()] == [path.name for _, path in whole.whole_checkpoints()]
    for step, path in whole.whole_checkpoints():
        for name in ("weights", "optimizer", "random"):
            assert_same_tensors(run.checkpoint_path(step) / f"{name}.safetensors", path / f"{name}.safetensors")
        own, expected = (json.loads((each.checkpoint_path(step) / "state.json").read_text()) for each in (run, whole))
        assert own["progress"] == expected["progress"]
    assert_same_tensors(run.artifact / "model.safetensors", whole.artifact / "model.safetensors")
    assert (run.artifact / "plumbline.json").read_text() == (whole.artifact / "plumbline.json").read_text()

    for type_, key in (("metrics", "values"), ("sample", "items")):
        expected_values = values_by_step(whole, type_, key)
        written = values_by_step(run, type_, key)
        assert written.keys() == expected_values.keys()
        for step, values in written.items():  # a step that two lives wrote was written twice alike
            assert all(value == expected_values[step][0] for value in values), (type_, step)
    events = events_of(run)
    # a life that dies between a checkpoint and its event leaves the word to the one that resumes from it
    told = {event["step"] for event in events if event["type"] in ("checkpoint", "resumed")}
    assert told == {event["step"] for event in events_of(whole, "checkpoint")}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "done" and events[-1]["summary"] == events_of(whole)[-1]["summary"]
    assert {event["message"] for event in events_of(run, "warning")} == {
        event["message"] for event in events_of(whole, "warning")
    }
    assert not list(run.path.rglob(".*"))


@pytest.fixture(scope="module")
def killed(
    tmp_path_factory: pytest.TempPathFactory, nano_policy: Path, reward_model: Path, adapted_reward: Path
) -> tuple[Path, list[str]]:
    """A folder of runs for every entry of RUNS, each with its end behind it, and a line a death."""
    folder = tmp_path_factory.mktemp("killed")
    for of, own in RUNS.items():
        kind = of.split("-")[0]
        config = {"model": str(nano_policy), **SHARED, **own}
        if kind == "policy":
            config["reward_model"] = str(adapted_reward if of == "policy-one-trunk" else reward_model)
        for name in ("whole", *(f"run{number}" for number in range(NUM_RUNS))):
            make_run(folder / of / name, kind, config, **lines_of(kind))
    done = subprocess.run(
        [sys.executable, "-m", "tests.rlhf.killing", str(folder)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done.stdout.splitlines()


@pytest.mark.parametrize("of", list(RUNS))
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(killed, of):
    folder, deaths = killed
    whole = RunDir(folder / of / "whole")
    for number in range(NUM_RUNS):
        run = RunDir(folder / of / f"run{number}")
        assert any(line.startswith(f"{of} run{number} ") for line in deaths)
        assert_same_end(run, whole)


def test_the_reward_model_of_one_run_stood_on_the_policys_trunk(nano_policy, adapted_reward):
    policy = add_lora(load_policy(str(nano_policy), device=torch.device("cpu")), rank=2, alpha=16)
    assert on_trunk_of(policy, str(adapted_reward), name="reward") is not None


def test_they_died_in_every_way(killed):
    ways = [line.split()[2] for line in killed[1]]
    assert len(ways) >= 20 and {"SIGPROF", "SIGKILL", "SIGXFSZ"} <= set(ways)
