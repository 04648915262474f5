"""The sft command on a tiny model: it learns, repeats itself exactly, and survives kill -9 bit for bit."""

import math
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import (
    command,
    demonstration_lines,
    environment,
    events_of,
    make_run,
    train,
    train_and_kill,
    train_by_command,
)
from training.rlhf.data import Encoded
from training.rlhf.model import load_policy, precision
from training.rlhf.train_sft import accumulate_gradient, response_loss_sum

SETTINGS = {
    "learning_rate": 1e-2,
    "batch_size": 5,
    "epochs": 25,
    "checkpoint_every": 10,
    "evaluate_every": 4,
    "warmup_steps": 2,
    "device": "cpu",
    "num_threads": 1,
}
NUM_STEPS = 100  # 20 train rows, 5 a step, 25 epochs
CPU = torch.device("cpu")
ROWS = [Encoded([1, 40, 41], [50, 51, 2]), Encoded([1], [60, 2]), Encoded([1, 44], [70] * 9), Encoded([1, 9, 9], [2])]


def sft_run(path, nano_policy, **changes):
    config = {"model": str(nano_policy), **SETTINGS, **changes}
    return make_run(path, "sft", config, demonstrations=demonstration_lines())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, nano_policy):
    run = sft_run(tmp_path_factory.mktemp("sft") / "run", nano_policy)
    train("sft", run)
    return run


def values_by_step(run):
    return {event["step"]: event["values"] for event in events_of(run, "metrics")}


def weights(run):
    return load_file(run.artifact / "model.safetensors")


def assert_same(run, other):
    assert values_by_step(run) == values_by_step(other)
    assert weights(run).keys() == weights(other).keys()
    for name, weight in weights(run).items():
        assert torch.equal(weight, weights(other)[name]), name


def test_it_works(uninterrupted):
    values = values_by_step(uninterrupted)
    assert list(values) == list(range(1, NUM_STEPS + 1))
    assert values[NUM_STEPS]["loss/train"] < 0.6 * values[1]["loss/train"]
    assert values[NUM_STEPS]["validation/loss"] < values[4]["validation/loss"]
    assert values[4]["validation/perplexity"] == pytest.approx(math.exp(values[4]["validation/loss"]))
    assert values[1]["optim/learning_rate"] == 0.5e-2 and values[2]["optim/learning_rate"] == 1e-2
    *_, artifact, memory, done = events_of(uninterrupted)
    assert memory["type"] == "memory" and memory["peak"] > 0
    assert artifact["type"] == "artifact" and artifact["model_kind"] == "policy" and artifact["path"] == "artifact"
    assert done["type"] == "done" and done["status"] == "succeeded" and done["summary"]["steps"] == NUM_STEPS
    assert [event["seq"] for event in events_of(uninterrupted)] == list(range(1, done["seq"] + 1))
    assert [step for step, _ in uninterrupted.whole_checkpoints()] == [90, 100]
    assert load_policy(str(uninterrupted.artifact), device=CPU)


def test_every_step_of_the_optimizer_is_counted(uninterrupted):
    state = load_file(uninterrupted.checkpoint_path(NUM_STEPS) / "optimizer.safetensors")
    assert {int(tensor) for name, tensor in state.items() if name.endswith("/step")} == {NUM_STEPS}


def test_killed_orphaned_or_cancelled_it_goes_on_bit_for_bit(tmp_path, nano_policy, uninterrupted):
    run = sft_run(tmp_path / "run", nano_policy)
    assert train_and_kill("sft", run, at_step=2) == -signal.SIGKILL
    with run.events.open("ab") as log:
        log.write(b'{"seq": 99, "ty')  # what a kill in the middle of a write leaves behind
    run.checkpoints.mkdir(exist_ok=True)
    (run.checkpoints / ".new-step_000099").mkdir()
    orphan(run)
    interrupted_at = run.whole_checkpoints()[-1][0]
    assert train_and_kill("sft", run, at_step=interrupted_at + 4, sign=signal.SIGTERM) == 0
    done = events_of(run)[-1]
    assert done["type"] == "done" and done["status"] == "cancelled"
    assert interrupted_at < run.whole_checkpoints()[-1][0] == done["summary"]["steps"] < NUM_STEPS
    train_by_command("sft", run)
    assert_same(run, uninterrupted)
    assert [e["step"] for e in events_of(run, "resumed")][-2:] == [interrupted_at, done["summary"]["steps"]]
    assert [event["seq"] for event in events_of(run)] == list(range(1, len(events_of(run)) + 1))
    assert not list(run.checkpoints.glob(".*"))


def orphan(run):
    """Start the command under a shell that dies once two more steps are seen, and wait until the command has left."""
    before = len(events_of(run, "metrics"))
    shell = f"{' '.join(command('sft', run))} --parent $$ & read end"
    parent = subprocess.Popen(["sh", "-c", shell], env=environment(), stdin=subprocess.PIPE)
    while len(events_of(run, "metrics")) < before + 2:
        time.sleep(0.005)
    parent.kill()
    parent.communicate()
    with run.lock(wait_seconds=60):  # the orphan holds it until it ends
        assert [event["type"] for event in events_of(run)[-2:]] == ["checkpoint", "memory"]


@pytest.mark.parametrize("micro_batch_size", [1, 3, 0])
def test_micro_batches_and_padding_leave_the_gradient_alone(nano_policy, micro_batch_size):
    model = load_policy(str(nano_policy), device=CPU).double()
    expected = 0.0
    for row in ROWS:  # each row alone, so nothing is padded
        loss = response_loss_sum(model, [row]) / 15
        loss.backward()
        expected += loss.item()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    total = accumulate_gradient(model, ROWS, micro_batch_size=micro_batch_size, context=precision(CPU, "float32"))
    assert total == pytest.approx(expected, abs=1e-12)
    for name, weight in model.named_parameters():
        assert torch.allclose(weight.grad, gradients[name], atol=1e-12, rtol=0), name


def test_the_loss_counts_response_tokens_alone(nano_policy):
    model = load_policy(str(nano_policy), device=CPU)
    row = ROWS[0]
    logits = model(torch.tensor([row.prompt + row.response])).logits[0].log_softmax(-1)
    by_hand = -(logits[2, 50] + logits[3, 51] + logits[4, 2])
    assert response_loss_sum(model, [row]).item() == pytest.approx(by_hand.item(), abs=1e-5)
