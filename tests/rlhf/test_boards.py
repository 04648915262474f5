"""What TensorBoard's own reader finds in a run's folder, also after a resume; what a missing wandb costs."""

import importlib.util
import json
import sys
from collections.abc import Iterator

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


def test_a_key_without_the_library_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as where it is not installed
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    run = make_run(tmp_path / "run", "sft", {})
    with run.open_events() as events, boards(run, SFTConfig(model="x"), events):
        events.metrics(step=1, values={"loss/train": 1.0})
    (warning,) = events_of(run, "warning")
    assert "wandb is not installed" in warning["message"] and "secret" not in run.events.read_text()


def leveldb_records(log: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format, header taken off (7 bytes, which count for the blocks): 4 bytes
    of checksum, 2 of length, 1 that is 1 for a whole record. This one fits into a block.
    """
    while log:
        length, sort = int.from_bytes(log[4:6], "little"), log[6]
        assert sort == 1
        yield log[7 : 7 + length]
        log = log[7 + length :]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed: pip install wandb")
def test_its_own_library_writes_the_curve_down_and_a_resume_drops_what_comes_again(tmp_path, monkeypatch):
    """Offline: what would be sent lies in a file of the library's own records."""
    import wandb  # noqa: PLC0415 - few install it
    from wandb.proto import wandb_internal_pb2  # noqa: PLC0415

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = make_run(tmp_path / "run", "sft", {})
    with run.open_events() as events, boards(run, SFTConfig(model="x", seed=7), events):
        for step in (1, 2, 2, 3):
            events.metrics(step=step, values={"loss/train": 1.0 / step})
    assert not events_of(run, "warning")
    wandb.teardown()  # its process writes the last of the file as it ends
    (file,) = run.path.glob("wandb/offline-run-*/*.wandb")
    settings, curve = {}, []
    for data in leveldb_records(file.read_bytes()[7:]):
        record = wandb_internal_pb2.Record.FromString(data)
        sort = record.WhichOneof("record_type")
        if sort == "run":
            settings |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif sort == "history":
            values = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            curve.append((values["_step"], values["loss/train"]))
    assert curve == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert settings["seed"] == 7 and settings["kind"] == "sft"
    assert run.path.joinpath("wandb_id").read_text() in file.name
