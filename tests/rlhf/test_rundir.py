"""A run's folder stays readable whatever moment its writer is killed at."""

import json
import subprocess
import sys

import pytest

from training.rlhf.config import SFTConfig
from training.rlhf.rundir import RunDir, new_folder, read_events, write_jsonl, write_text


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path)


def test_seq_goes_on_after_a_torn_line(run):
    with run.open_events() as events:
        events.progress(step=1, total_steps=2, epoch=0)
        events.warning("näherungsweise")
    with run.events.open("ab") as handle:
        handle.write(b'{"seq": 3, "type": "met')
    first, offset = read_events(run.events, 0)
    assert [event["seq"] for event in first] == [1, 2]
    with run.open_events() as events:
        events.resumed(step=1)
    second, end = read_events(run.events, offset)
    assert [(event["seq"], event["type"]) for event in second] == [(3, "resumed")]
    assert end == run.events.stat().st_size


def test_events_say_what_was_given(run):
    with run.open_events() as events:
        events.metrics(step=4, values={"loss/train": 0.5})
        events.done(status="succeeded", summary={"accuracy": 0.7})
        with pytest.raises(AssertionError, match="loss/train is nan at step 5"):
            events.metrics(step=5, values={"loss/train": float("nan")})
    metrics, done = read_events(run.events, 0)[0]
    assert metrics["values"] == {"loss/train": 0.5} and metrics["step"] == 4 and metrics["time"] > 1e9
    assert done["status"] == "succeeded" and done["summary"] == {"accuracy": 0.7}


def test_a_missing_log_has_no_events(run):
    assert read_events(run.events, 0) == ([], 0)


def test_a_folder_appears_whole_or_not_at_all(run):
    target = run.checkpoint_path(3)
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        (folder / "weights").write_text("half")
        raise RuntimeError
    assert run.whole_checkpoints() == []
    for content in ("first", "second"):
        with new_folder(target) as folder:
            (folder / "weights").write_text(content)
    assert run.whole_checkpoints() == [(3, target)]
    assert (target / "weights").read_text() == "second"


def test_leftovers_are_removed_and_what_was_moved_aside_comes_back(run):
    for name in (".new-step_000002", ".old-step_000001"):
        (run.checkpoints / name).mkdir(parents=True)
    run.remove_leftovers()
    assert [path.name for path in run.checkpoints.iterdir()] == ["step_000001"]


def test_checkpoints_are_sorted_by_step(run):
    for step in (1_000_000, 20, 3):
        run.checkpoint_path(step).mkdir(parents=True)
    assert [step for step, _ in run.whole_checkpoints()] == [3, 20, 1_000_000]


def test_text_is_replaced_whole(run):
    write_text(run.config, "one")
    with pytest.raises(TypeError):
        write_jsonl(run.config, [{"bad": object()}])
    assert run.config.read_text() == "one"


def test_config_goes_round_and_complains_in_sentences(run):
    with pytest.raises(ValueError, match=r"no config\.json"):
        run.read_config("sft")
    run.write_config(SFTConfig(epochs=3))
    assert run.read_config("sft") == SFTConfig(epochs=3)
    run.config.write_text('{"epochs": ')
    with pytest.raises(ValueError, match="is not JSON"):
        run.read_config("sft")
    run.config.write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="must hold one object"):
        run.read_config("sft")


def test_the_lock_keeps_a_second_trainer_out_until_the_first_dies(run):
    program = (
        "import sys; from training.rlhf.rundir import RunDir\n"
        "with RunDir(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="another trainer still works"), run.lock(wait_seconds=0.2):
        pass
    holder.kill()
    holder.communicate()
    with run.lock(wait_seconds=5):
        pass


def test_config_and_rundir_load_no_torch():
    program = "import sys, training.rlhf.rundir; sys.exit('torch' in sys.modules or 'django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
