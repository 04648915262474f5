"""What TensorBoard's own reader finds in a run's folder, also after a resume; what a missing wandb costs."""

import importlib.util

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.rlhf.nano import demonstration_lines, events_of, make_run, train
from training.rlhf.boards import boards
from training.rlhf.config import SFTConfig

SETTINGS = {"device": "cpu", "num_threads": 1, "max_steps": 3, "batch_size": 4, "evaluate_every": 2}


def scalars(run) -> dict[str, list[tuple[int, float]]]:
    reader = EventAccumulator(str(run.tensorboard))
    reader.Reload()
    return {tag: [(each.step, each.value) for each in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_a_run_can_be_read_by_tensorboard(tmp_path, nano_policy):
    run = make_run(
        tmp_path / "run", "sft", {"model": str(nano_policy), **SETTINGS}, demonstrations=demonstration_lines(20)
    )
    train("sft", run)
    told = {
        (event["step"], name): value for event in events_of(run, "metrics") for name, value in event["values"].items()
    }
    found = {(step, name): value for name, pairs in scalars(run).items() for step, value in pairs}
    assert found == pytest.approx(told, rel=1e-6)


def test_a_resumed_run_takes_back_the_steps_that_it_repeats(tmp_path):
    run = make_run(tmp_path / "run", "sft", {})
    config = SFTConfig(model="x")
    for first, value in ((1, 1.0), (3, 2.0)):  # the second life goes on from step 2, which the first had left behind
        with run.open_events() as events, boards(run, config, events):
            if first > 1:
                events.resumed(step=first - 1)
            for step in range(first, first + 4):
                events.metrics(step=step, values={"loss/train": value})
    assert scalars(run)["loss/train"] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0), (6, 2.0)]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed here")
def test_a_key_without_the_library_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    run = make_run(tmp_path / "run", "sft", {})
    with run.open_events() as events, boards(run, SFTConfig(model="x"), events):
        events.metrics(step=1, values={"loss/train": 1.0})
    (warning,) = events_of(run, "warning")
    assert "wandb is not installed" in warning["message"] and "secret" not in run.events.read_text()
