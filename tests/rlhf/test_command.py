"""The command's own manners: help without torch, wrong folders, owners of errors, what a person gets to read."""

import subprocess
import sys

import pytest

from tests.rlhf.nano import demonstration_lines, events_of, make_run, train
from training.rlhf import __main__ as command


def test_help_loads_no_torch():
    program = (
        "import sys\nfrom training.rlhf.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "RUN_DIR" in done.stdout


def test_a_missing_folder_is_a_sentence(tmp_path, capfd):
    assert command.main(["sft", str(tmp_path / "nowhere")]) == 2
    assert "is not a folder: name one with a config.json" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"learning_rte": 1}, "'learning_rte' is not a setting of a sft run. Did you mean 'learning_rate'?"),
        ({"model": ""}, "model is empty"),
        ({"model": "a/b"}, "together with `revision`"),
    ],
)
def test_what_a_person_got_wrong_is_told_in_a_sentence(tmp_path, capfd, config, sentence):
    run = make_run(tmp_path / "run", "sft", config, demonstrations=demonstration_lines(3))
    events = train("sft", run, expect=2)
    assert [event["type"] for event in events] == ["error"]
    assert events[0]["owner"] == "user" and sentence in events[0]["message"]
    shown = capfd.readouterr().err
    assert sentence in shown and "Traceback" not in shown
    assert "Traceback" in run.stderr.read_text()


def test_every_error_has_an_owner(tmp_path, capfd):
    run = make_run(tmp_path / "run", "sft", {"model": "x"})
    run.demonstrations.symlink_to(run.demonstrations)  # reading it fails in a way that a data check does not expect
    assert train("sft", run, expect=2)[-1]["owner"] == "user"
    sentence, is_theirs = command.explained(KeyError("x"))
    assert "an error of its own (KeyError)" in sentence and not is_theirs
    sentence, is_theirs = command.explained(MemoryError())
    assert "lower micro_batch_size" in sentence and is_theirs


def test_a_folder_in_use_is_left_alone(tmp_path, capfd):
    run = make_run(tmp_path / "run", "sft", {})
    with run.lock():
        assert command.main(["sft", str(run.path)], lock_wait_seconds=0.1) == 2
    assert "another trainer still works" in capfd.readouterr().err
    assert events_of(run) == []
