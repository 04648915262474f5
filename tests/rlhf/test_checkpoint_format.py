"""A checkpoint of another version of this code is read as that version meant it, or refused with a sentence."""

import json
from pathlib import Path

import pytest
import torch

from tests.rlhf.nano import events_of, make_run, train, user
from training.rlhf.checkpoint import FORMAT
from training.rlhf.heads import ValueHead
from training.rlhf.model import load_tokenizer, new_scalar, save_model
from training.rlhf.rundir import RunDir, Stopped, new_folder
from training.rlhf.train_policy import train_policy

SETTINGS = {"device": "cpu", "num_threads": 1, "rollout_batch_size": 4, "num_steps": 2, "max_response_tokens": 4}
SETTINGS |= {"replace_missing_eos": False}
PROMPTS = [{"id": f"p{index}", "messages": user(f"question {index}"), "split": "train"} for index in range(4)]


@pytest.fixture(scope="module")
def models(nano_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    reward = tmp_path_factory.mktemp("format") / "reward"
    with new_folder(reward) as folder:
        scalar = new_scalar(str(nano_policy), device=torch.device("cpu"), head="random")
        save_model(folder, scalar, load_tokenizer(str(nano_policy)), about={})
    return {"model": str(nano_policy), "reward_model": str(reward)}


def stopped_after_a_step(folder: Path, settings: dict[str, object]) -> tuple[RunDir, Path]:
    """The run, and the state.json of its checkpoint."""
    run = make_run(folder, "policy", settings, prompts=PROMPTS)
    answers = iter([None, "interrupted"])
    with run.open_events() as events, pytest.raises(Stopped):
        train_policy(run.read_config("policy"), run, events, lambda: next(answers))
    return run, run.whole_checkpoints()[-1][1] / "state.json"


def rewrite(state: Path, format_: int | None) -> None:
    record = json.loads(state.read_text(encoding="utf-8"))
    assert record.pop("format") == FORMAT
    state.write_text(json.dumps(record | ({"format": format_} if format_ else {})), encoding="utf-8")


def refusal(run: RunDir) -> str:
    before = run.whole_checkpoints()
    train("policy", run, expect=2)
    (error,) = events_of(run, "error")
    assert error["owner"] == "user"
    assert run.whole_checkpoints() == before, "what is refused must stay as it is"
    return str(error["message"])


def test_a_value_head_of_the_trunks_rate_is_refused(models, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ValueHead, "FASTER", 1.0)  # as the head was then, in a record that named no format
        run, state = stopped_after_a_step(tmp_path / "run", {**models, **SETTINGS, "value_trunk": "shared"})
    rewrite(state, None)
    sentence = refusal(run)
    assert "step_000001" in sentence and "ten times too large" in sentence and "start a new run" in sentence


@pytest.mark.parametrize("changes", [{}, {"value_trunk": "shared", "algorithm": "rloo"}], ids=["own", "no-value"])
def test_other_checkpoints_without_a_format_go_on(models, tmp_path, changes):
    run, state = stopped_after_a_step(tmp_path / "run", {**models, **SETTINGS, **changes})
    rewrite(state, None)
    train("policy", run)
    assert [event["step"] for event in events_of(run, "resumed")] == [1]


def test_a_checkpoint_of_a_newer_version_is_refused(models, tmp_path):
    run, state = stopped_after_a_step(tmp_path / "run", {**models, **SETTINGS})
    rewrite(state, FORMAT + 1)
    assert "newer version" in refusal(run)
