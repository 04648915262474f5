"""Two processes do what one does: the same gradients, curves and weights; stopped or killed, none of them stays."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import command, environment, events_of, make_run, train
from tests.rlhf.test_kill import CLOCKS, SETTINGS, lines_of, reward_model
from training.rlhf.config import PolicyConfig
from training.rlhf.launch import note_end, understood
from training.rlhf.model import load_policy, load_scalar
from training.rlhf.rundir import RunDir

__all__ = ["reward_model"]
SHARED = {"device": "cpu", "num_threads": 1, "checkpoint_every": 2, "learning_rate": 1e-3}
WAYS = {"shards": {"lora_rank": 0}, "adapters": {"lora_rank": 2}}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, nano_policy: Path, reward_model: Path) -> Path:
    """Every kind of run in both ways, by one process and by two; and the gradients compared in float64."""
    folder = tmp_path_factory.mktemp("ranks")
    shutil.copytree(nano_policy, folder / "model")
    for kind, own in SETTINGS.items():
        for way, how in WAYS.items():
            config = {"model": str(nano_policy), **SHARED, **own, **how}
            config |= {"reward_model": str(reward_model)} if kind == "policy" else {"micro_batch_size": 3}
            for name in ("alone", "together"):
                make_run(folder / f"{kind}-{way}" / name, kind, config, **lines_of(kind))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *("-m", "tests.rlhf.ranks", str(folder)),
        ],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


def curve(run: RunDir) -> dict[tuple[int, str], float]:
    return {
        (event["step"], name): value
        for event in events_of(run, "metrics")
        for name, value in event["values"].items()
        if not name.startswith(CLOCKS)
    }


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("kind", list(SETTINGS))
def test_two_processes_have_the_curve_of_one(both, kind, way):
    alone, together = (RunDir(both / f"{kind}-{way}" / name) for name in ("alone", "together"))
    expected = curve(alone)
    assert len(expected) > 8
    assert curve(together) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    for file in alone.artifact.rglob("*.safetensors"):
        own, its = load_file(together.artifact / file.relative_to(alone.artifact)), load_file(file)
        assert own.keys() == its.keys()
        for name, weight in its.items():
            torch.testing.assert_close(own[name], weight, rtol=1e-4, atol=1e-5)
    assert [path.name for _, path in together.whole_checkpoints()] == [
        path.name for _, path in alone.whole_checkpoints()
    ]


def test_what_two_processes_leave_is_a_model_like_any_other(both):
    folders = {kind: both / f"{kind}-shards" / "together" / "artifact" for kind in SETTINGS}
    for kind, folder in folders.items():
        (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
        wanted = "LlamaForSequenceClassification" if kind == "reward" else "LlamaForCausalLM"
        assert architecture == wanted
    load_scalar(str(folders["reward"]), device=torch.device("cpu"))
    load_policy(str(folders["policy"]), device=torch.device("cpu"))


def ranks_of(folder: Path) -> list[int]:
    """Processes that work in this run's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            is_dead = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            continue
        if "training.rlhf" in words and str(folder) in words and not is_dead:
            found.append(int(entry.name))
    return found


def start(run: RunDir) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command("policy", run), env=environment(), stderr=subprocess.DEVNULL)


def wait_for_step(run: RunDir, step: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        if any(event["step"] >= step for event in events_of(run, "progress")):
            return
        time.sleep(0.02)
    raise AssertionError(f"it ended before step {step}: {run.stderr.read_text()[-2000:]}")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not end children with their parent")
def test_killed_stopped_and_resumed_with_fewer_processes(tmp_path, nano_policy, reward_model):
    config = {
        "model": str(nano_policy), "reward_model": str(reward_model), **SHARED, **SETTINGS["policy"], "num_steps": 30,
        "checkpoint_every": 1,
    }  # fmt: skip
    whole = make_run(tmp_path / "whole", "policy", config, **lines_of("policy"))
    run = make_run(tmp_path / "run", "policy", config | {"processes": 2}, **lines_of("policy"))

    first = start(run)
    wait_for_step(run, 2, first)
    assert len(ranks_of(run.path)) == 4  # the command, torchrun and two ranks
    first.kill()
    first.wait()
    while ranks_of(run.path):
        time.sleep(0.02)
    assert events_of(run)[-1]["type"] not in ("done", "error")

    second = start(run)
    killed_at = run.whole_checkpoints()[-1][0]
    wait_for_step(run, killed_at + 2, second)
    second.send_signal(signal.SIGTERM)
    assert second.wait() == 0
    assert not ranks_of(run.path)
    last = events_of(run)[-1]
    assert (last["type"], last["status"]) == ("done", "cancelled")
    assert events_of(run, "resumed")

    run.write_config(PolicyConfig(**config))
    train("policy", run)
    train("policy", whole)
    assert curve(run) == pytest.approx(curve(whole), rel=1e-3, abs=1e-4)
    assert [event["seq"] for event in events_of(run)] == list(range(1, len(events_of(run)) + 1))


def test_a_process_that_ends_alone_is_told_in_a_sentence(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", "sft", {})
    ends = tmp_path / "ends.jsonl"
    assert understood(ends, run, 2) == 2  # nobody could say anything: the kernel ended one, torchrun the others
    assert "ended from outside, as the system does when memory runs out" in events_of(run, "error")[-1]["message"]

    monkeypatch.setenv("PLUMBLINE_ENDS_FILE", str(ends))
    monkeypatch.setenv("RANK", "1")
    note_end(1, "The second met an error of its own.", owner="plumbline")
    assert understood(ends, run, 2) == 1
    assert events_of(run, "error")[-1]["message"] == "The second met an error of its own."
    assert events_of(run, "error")[-1]["owner"] == "plumbline"

    monkeypatch.setenv("RANK", "0")
    note_end(75)  # the first has said what there is to say
    assert understood(ends, run, 2) == 75
    assert len(events_of(run, "error")) == 2
