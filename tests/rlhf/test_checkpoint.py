"""A run that dies at any single rename, replacement or deletion of its folder goes on to the same end."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import events_of, make_run, preference_lines
from training.rlhf.rundir import EventLog, RunDir, Stopped
from training.rlhf.train_reward import train_reward

SETTINGS = {"device": "cpu", "num_threads": 1, "batch_size": 4, "learning_rate": 5e-3, "lora_rank": 1}
SCHEDULE = {"max_steps": 4, "checkpoint_every": 1, "evaluate_every": 2}


class Killed(BaseException):
    """Ends the run at once, as SIGKILL does: nothing of ours catches it."""


@pytest.fixture(scope="module")
def pairs():
    return preference_lines(24)


def run_once(run: RunDir) -> None:
    run.remove_leftovers()
    with run.open_events() as events:
        train_reward(run.read_config("reward"), run, events, lambda: None)


def count_and_kill(monkeypatch, *, at: int, before: bool) -> list[int]:
    """Let the run die before or after its `at`-th change to the folder's names; gives the count of changes so far."""
    seen = [0]

    def dying(change):
        def wrapper(*arguments, **options):
            seen[0] += 1
            if seen[0] == at and before:
                raise Killed
            result = change(*arguments, **options)
            if seen[0] == at:
                raise Killed
            return result

        return wrapper

    for owner, name in ((Path, "rename"), (Path, "replace"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))
    return seen


def test_dying_at_any_change_of_a_name_leads_to_the_same_end(tmp_path, nano_policy, pairs, monkeypatch):
    config = {"model": str(nano_policy), **SETTINGS, **SCHEDULE}
    whole = make_run(tmp_path / "whole", "reward", config, preferences=pairs)
    with monkeypatch.context() as patch:
        seen = count_and_kill(patch, at=0, before=True)
        run_once(whole)
    num_changes = seen[0]
    assert num_changes > 20
    expected = load_file(whole.artifact / "model.safetensors")
    about = (whole.artifact / "plumbline.json").read_text()
    for at in range(1, num_changes + 1, 3):  # every third, before it and after it: the others differ in nothing new
        run = make_run(tmp_path / f"run{at}", "reward", config, preferences=pairs)
        for before in (True, False):
            with monkeypatch.context() as patch, pytest.raises(Killed):
                count_and_kill(patch, at=at if before else 2, before=before)
                run_once(run)
        run_once(run)
        weights = load_file(run.artifact / "model.safetensors")
        assert all(torch.equal(weights[name], expected[name]) for name in expected), at
        assert (run.artifact / "plumbline.json").read_text() == about
        assert [event["seq"] for event in events_of(run)] == list(range(1, len(events_of(run)) + 1))
        assert not list(run.path.rglob(".*")), at


def cut_weights(checkpoint: Path) -> None:
    with (checkpoint / "weights.safetensors").open("r+b") as file:
        file.truncate(200)


def flip_one_bit(checkpoint: Path) -> None:
    path = checkpoint / "optimizer.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


def break_the_record(checkpoint: Path) -> None:
    (checkpoint / "state.json").write_text("{", encoding="utf-8")


def lose_a_file(checkpoint: Path) -> None:
    (checkpoint / "random.safetensors").unlink()


DAMAGES = {
    cut_weights: "weights.safetensors is not what was written",
    flip_one_bit: "optimizer.safetensors is not what was written",
    break_the_record: "state.json cannot be read",
    lose_a_file: "random.safetensors is missing",
}


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
def test_a_damaged_checkpoint_is_put_aside_for_the_one_before_it(tmp_path, nano_policy, pairs, harm):
    config = {"model": str(nano_policy), **SETTINGS, **SCHEDULE, "keep_best": False}
    whole, run = (make_run(tmp_path / name, "reward", config, preferences=pairs) for name in ("whole", "run"))
    run_once(whole)
    asked = iter([None, None, None, "interrupted"])
    with run.open_events() as events, pytest.raises(Stopped):
        train_reward(run.read_config("reward"), run, events, lambda: next(asked))
    assert [step for step, _ in run.whole_checkpoints()] == [2, 3]
    newest = run.whole_checkpoints()[-1][1]
    harm(newest)
    run_once(run)
    warnings = [event["message"] for event in events_of(run, "warning")]
    assert any(newest.name in sentence and DAMAGES[harm] in sentence for sentence in warnings)
    assert [event["step"] for event in events_of(run, "resumed")] == [2]
    own, expected = (load_file(each.artifact / "model.safetensors") for each in (run, whole))
    assert all(torch.equal(own[name], expected[name]) for name in expected)


def test_where_every_checkpoint_is_damaged_the_run_begins_anew(tmp_path, nano_policy, pairs):
    config = {"model": str(nano_policy), **SETTINGS, **SCHEDULE, "keep_best": False}
    run = make_run(tmp_path / "run", "reward", config, preferences=pairs)
    run_once(run)
    expected = load_file(run.artifact / "model.safetensors")
    for _, checkpoint in run.whole_checkpoints():
        break_the_record(checkpoint)
    run_once(run)
    assert not events_of(run, "resumed")
    own = load_file(run.artifact / "model.safetensors")
    assert all(torch.equal(own[name], expected[name]) for name in expected)


@pytest.mark.parametrize("when", ["before a resume", "at the end"])
def test_the_best_weights_lost_to_the_disk_are_told(tmp_path, nano_policy, pairs, monkeypatch, when):
    """A learning rate that spoils the model: the first measurement is the best one, and its checkpoint is damaged."""
    config = {
        "model": str(nano_policy),
        **SETTINGS,
        "max_steps": 6,
        "epochs": 2,
        "checkpoint_every": 1,
        "evaluate_every": 1,
    }
    config |= {"learning_rate": 0.5, "max_grad_norm": 0.0}
    whole, run = (make_run(tmp_path / name, "reward", config, preferences=pairs) for name in ("whole", "run"))
    run_once(whole)
    best = json.loads((whole.checkpoint_path(6) / "state.json").read_text())["progress"]["best_step"]
    assert best < 4, "the test needs a best step that is not among the last"
    asked = iter([None] * 5)
    with run.open_events() as events, pytest.raises(Stopped):
        train_reward(run.read_config("reward"), run, events, lambda: next(asked, "interrupted"))
    if when == "before a resume":
        flip_one_bit(run.checkpoint_path(best))
    else:
        harmed = dying_disk(run.checkpoint_path(best))
        monkeypatch.setattr(EventLog, "progress", harmed(EventLog.progress))
    run_once(run)
    (warning,) = [
        event["message"] for event in events_of(run, "warning") if "lowest validation loss" in event["message"]
    ]
    assert f"checkpoint step_{best:06d} is damaged" in warning
    kept = load_file(run.artifact / "model.safetensors")
    if when == "at the end":
        summary = events_of(run, "artifact")[-1]["metrics"]
        assert "best_step" not in summary
    best_weights = load_file(whole.artifact / "model.safetensors")
    assert not all(torch.equal(kept[name], best_weights[name]) for name in kept)


def dying_disk(checkpoint: Path):
    """Wraps a function so that the checkpoint is damaged once the function has run."""

    def wrap(function):
        def wrapper(*arguments, **options):
            result = function(*arguments, **options)
            if checkpoint.is_dir():
                flip_one_bit(checkpoint)
            return result

        return wrapper

    return wrap
