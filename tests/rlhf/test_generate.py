"""The generate command: an answer a line, with its score where there is a reward model, the same every time."""

import json
from pathlib import Path

import pytest
import torch

from tests.rlhf.nano import events_of, make_run, train, user
from training.rlhf.generate import generate
from training.rlhf.model import load_tokenizer, new_scalar, save_model
from training.rlhf.rundir import RunDir, Stopped, new_folder

PROMPTS = [{"id": f"p{i}", "messages": user("why? " * i), "split": "test" if i == 4 else "train"} for i in range(5)]


@pytest.fixture(scope="module")
def reward_model(nano_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    reward = new_scalar(str(nano_policy), device=torch.device("cpu"), head="random")
    folder = tmp_path_factory.mktemp("reward") / "model"
    with new_folder(folder) as place:
        save_model(place, reward, load_tokenizer(str(nano_policy)), about={})
    return str(folder)


def generated(path: Path, model: Path, *, prompts: list = PROMPTS, **changes: object) -> list[dict]:
    settings = {"model": str(model), "max_response_tokens": 6, "samples_per_prompt": 2, "batch_size": 3} | changes
    run = make_run(path, "generate", settings, prompts=prompts)
    train("generate", run)
    return lines_of(run)


def lines_of(run: RunDir) -> list[dict]:
    return [json.loads(line) for line in run.responses.read_text().splitlines()]


def test_it_works(nano_policy, reward_model, tmp_path):
    lines = generated(tmp_path / "run", nano_policy, reward_model=reward_model)
    assert [(line["prompt_id"], line["sample"]) for line in lines] == [(f"p{i}", k) for i in range(5) for k in range(2)]
    assert set(lines[0]) == {"prompt_id", "prompt", "sample", "text", "num_tokens", "ended", "logprob", "reward"}
    assert lines[2]["prompt"] == PROMPTS[1]["messages"]
    assert all(0 < line["num_tokens"] <= 6 and line["logprob"] < 0 for line in lines)
    run = RunDir(tmp_path / "run")
    steps = [event["step"] for event in events_of(run, "progress")]
    assert steps == [3, 6, 9, 10]
    summary = events_of(run, "done")[0]["summary"]
    assert summary["num_responses"] == 10
    assert summary["reward/mean"] == pytest.approx(sum(line["reward"] for line in lines) / 10)


def test_the_same_seed_writes_the_same_answers_and_another_does_not(nano_policy, tmp_path):
    first = generated(tmp_path / "a", nano_policy)
    assert first == generated(tmp_path / "b", nano_policy) != generated(tmp_path / "c", nano_policy, seed=1)
    assert "reward" not in first[0]
    assert first[0]["text"] != first[1]["text"]


def test_temperature_zero_and_one_split(nano_policy, tmp_path):
    lines = generated(tmp_path / "run", nano_policy, temperature=0, split="test")
    assert [line["prompt_id"] for line in lines] == ["p4", "p4"]
    assert lines[0]["text"] == lines[1]["text"]


def test_a_long_prompt_is_cut_with_a_warning(nano_policy, tmp_path):
    generated(tmp_path / "run", nano_policy, max_prompt_tokens=20)
    assert (
        "4 prompts are longer than max_prompt_tokens (20)"
        in events_of(RunDir(tmp_path / "run"), "warning")[0]["message"]
    )


def test_an_empty_split_is_refused_in_a_sentence(nano_policy, tmp_path):
    run = make_run(tmp_path / "run", "generate", {"model": str(nano_policy), "split": "validation"}, prompts=PROMPTS)
    train("generate", run, expect=2)
    assert "validation split is empty" in events_of(run, "error")[0]["message"]
    assert not run.responses.exists()


def test_cancelled_it_writes_nothing(nano_policy, tmp_path):
    run = make_run(tmp_path / "run", "generate", {"model": str(nano_policy), "max_response_tokens": 6}, prompts=PROMPTS)
    with run.open_events() as events, pytest.raises(Stopped, match="cancelled"):
        generate(run.read_config("generate"), run, events, lambda: "cancelled")
    assert not run.responses.exists()
