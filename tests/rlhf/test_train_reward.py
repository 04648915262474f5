"""The reward command on a tiny model: it learns a rule that length cannot explain, and survives kill -9 bit for bit."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file

from tests.rlhf.nano import events_of, make_run, preference_lines, save_nano_gpt2, train, train_and_kill, user
from training.rlhf.config import RewardConfig
from training.rlhf.data import Encoder, PreferencePair
from training.rlhf.held_out import score_rows
from training.rlhf.model import load_scalar, load_tokenizer, new_scalar, read_about
from training.rlhf.pairs import EncodedPair, encode_pair, read_pairs
from training.rlhf.rundir import Stopped, write_jsonl
from training.rlhf.train_reward import accumulate_gradient, train_reward

SETTINGS = {
    "learning_rate": 5e-3,
    "batch_size": 8,
    "epochs": 16,
    "checkpoint_every": 8,
    "evaluate_every": 8,
    "device": "cpu",
    "num_threads": 1,
}
NUM_STEPS = 64  # 32 train pairs, 8 a step, 16 epochs
CPU = torch.device("cpu")


def reward_run(path, nano_policy, lines=None, **changes):
    config = {"model": str(nano_policy), **SETTINGS, **changes}
    return make_run(path, "reward", config, preferences=lines or preference_lines())


def summary_of(run):
    return train("reward", run)[-1]["summary"]


def refusal_of(run):
    """The sentence of a run that the person who started it has to change."""
    error = train("reward", run, expect=2)[-1]
    assert error["type"] == "error" and error["owner"] == "user"
    return error["message"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, nano_policy):
    run = reward_run(tmp_path_factory.mktemp("reward") / "run", nano_policy)
    train("reward", run)
    return run


def test_it_works(uninterrupted):
    values = {event["step"]: event["values"] for event in events_of(uninterrupted, "metrics")}
    assert list(values) == list(range(1, NUM_STEPS + 1))
    assert values[NUM_STEPS]["loss/train"] < 0.3 < 0.5 < values[1]["loss/train"]
    assert set(values[8]) >= {"validation/loss", "validation/accuracy", "validation/ece", "train/accuracy"}
    *_, artifact, memory, done = events_of(uninterrupted)
    assert memory["type"] == "memory" and memory["peak"] > 0
    assert artifact["model_kind"] == "reward" and done["status"] == "succeeded"
    summary = done["summary"]
    assert summary == artifact["metrics"]
    assert summary["num_pairs"] == 8 and summary["accuracy"] == 1.0 and summary["accuracy_low"] < 1.0
    assert summary["length_baseline_accuracy"] < 0.8
    assert len(summary["calibration"]) == 10 and set(summary["accuracy_by_strength"]) <= {"1", "2", "3"}
    assert not events_of(uninterrupted, "warning")


def test_the_artifact_holds_the_best_weights_and_their_normalisation(uninterrupted, nano_policy):
    summary = events_of(uninterrupted)[-1]["summary"]
    losses = {
        event["step"]: event["values"]["validation/loss"]
        for event in events_of(uninterrupted, "metrics")
        if "validation/loss" in event["values"]
    }
    assert summary["best_step"] == min(losses, key=losses.__getitem__)
    assert summary["best_step"] in [step for step, _ in uninterrupted.whole_checkpoints()]
    model = load_scalar(str(uninterrupted.artifact), device=CPU)
    config = RewardConfig(model=str(nano_policy))
    rows = read_pairs(config, uninterrupted).references
    scores = model.normalised(score_rows(model, rows).mean(1))
    assert scores.mean().item() == pytest.approx(0, abs=1e-4)
    assert scores.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    about = read_about(str(uninterrupted.artifact))
    assert about["kind"] == "reward" and about["parent"] == str(nano_policy) and len(about["data_hash"]) == 64
    assert about["normalised_over"].startswith("all responses of the train split")
    assert about["temperature"] == summary["temperature"] == model.temperature != 1.0
    assert summary["calibrated_on"] == "the validation split"


def test_killed_or_cancelled_it_goes_on_bit_for_bit(tmp_path, nano_policy, uninterrupted):
    run = reward_run(tmp_path / "run", nano_policy)
    assert train_and_kill("reward", run, at_step=2) == -signal.SIGKILL
    assert train_and_kill("reward", run, at_step=11) == -signal.SIGKILL
    train("reward", run)
    assert events_of(run, "resumed")
    ours, theirs = ({e["step"]: e["values"] for e in events_of(one, "metrics")} for one in (run, uninterrupted))
    assert ours == theirs
    assert events_of(run)[-1]["summary"] == events_of(uninterrupted)[-1]["summary"]
    assert (run.artifact / "plumbline.json").read_text() == (uninterrupted.artifact / "plumbline.json").read_text()
    weights, expected = (load_file(one.artifact / "model.safetensors") for one in (run, uninterrupted))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_adapters_resume_bit_for_bit_and_the_seed_decides(tmp_path, nano_policy):
    """The loop's own stop, save and resume in one process; with LoRA the checkpoint holds adapters and head alone."""
    settings = {"lora_rank": 2, "epochs": 2, "evaluate_every": 3}
    whole = reward_run(tmp_path / "whole", nano_policy, **settings)
    summary = summary_of(whole)
    stopped = reward_run(tmp_path / "stopped", nano_policy, **settings)
    answers = iter([None, None, None, "cancelled"])
    with pytest.raises(Stopped) as caught, stopped.open_events() as events:
        train_reward(stopped.read_config("reward"), stopped, events, lambda: next(answers))
    assert caught.value.step == 3 and [step for step, _ in stopped.whole_checkpoints()] == [3]
    saved = load_file(stopped.checkpoint_path(3) / "weights.safetensors")
    assert all("lora_" in name or "score" in name for name in saved) and any("score" in name for name in saved)
    torch.manual_seed(99)  # whatever the process drew in between must not matter
    assert summary_of(stopped) == summary
    weights, expected = (load_file(run.artifact / "model.safetensors") for run in (stopped, whole))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    other = reward_run(tmp_path / "other", nano_policy, **settings, seed=1)
    assert summary_of(other)["log_loss"] != summary["log_loss"]


def test_half_precision_learns_with_float32_weights(tmp_path, nano_policy):
    run = reward_run(tmp_path / "run", nano_policy, dtype="bfloat16", epochs=4)
    assert summary_of(run)["accuracy"] > 0.8
    weights = load_file(run.artifact / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_a_resume_with_other_settings_or_data_is_refused(tmp_path, nano_policy):
    run = reward_run(tmp_path / "run", nano_policy, max_steps=1)
    summary_of(run)
    config = json.loads(run.config.read_text())
    run.config.write_text(json.dumps({**config, "learning_rate": 0.25}))
    assert "made with learning_rate 0.005, but config.json now says 0.25" in refusal_of(run)
    run.config.write_text(json.dumps(config | {"micro_batch_size": 1}))
    summary_of(run)  # less memory is no other question
    write_jsonl(run.preferences, preference_lines(40))
    assert "preferences.jsonl has changed since step_000001" in refusal_of(run)


def test_nothing_held_out_is_refused(tmp_path, nano_policy):
    lines = [line | {"split": "train"} for line in preference_lines(6)]
    assert "holds nothing out" in refusal_of(reward_run(tmp_path / "run", nano_policy, lines))
    lines = [line | {"split": "test"} for line in preference_lines(6)]
    assert "the train split is empty" in refusal_of(reward_run(tmp_path / "other", nano_policy, lines))


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_checkpoint(tmp_path, nano_policy):
    run = reward_run(
        tmp_path / "run", nano_policy, learning_rate=1e30, max_grad_norm=0, checkpoint_every=1, keep_best=False
    )
    assert "at step 2, so the run stops before that step. Lower learning_rate" in refusal_of(run)
    assert [step for step, _ in run.whole_checkpoints()] == [1]
    assert "Traceback" in run.stderr.read_text()


def test_a_model_that_only_sees_length_is_doubted(tmp_path, nano_policy):
    lines = preference_lines()
    for line in lines:  # the longer one always wins, so no model can beat the baseline
        line["response_a"], line["response_b"] = ("long" * 3, "s") if line["target"] else ("s", "long" * 3)
    run = reward_run(tmp_path / "run", nano_policy, lines, max_steps=2)
    summary = summary_of(run)
    assert summary["length_baseline_accuracy"] == 1.0
    assert 'does not beat "the longer answer wins"' in events_of(run, "warning")[-1]["message"]


def test_reference_responses_set_the_zero(tmp_path, nano_policy):
    prompts = [
        {"id": "p0", "messages": user("question 0"), "reference": "as it was", "split": "train"},
        {"id": "p1", "messages": user("question 1"), "reference": "and so on", "split": "train"},
        {"id": "p4", "messages": user("question 4"), "reference": "held out", "split": "validation"},
    ]
    config = {"model": str(nano_policy), **SETTINGS, "max_steps": 1}
    run = make_run(tmp_path / "run", "reward", config, preferences=preference_lines(), prompts=prompts)
    summary_of(run)
    model = load_scalar(str(run.artifact), device=CPU)
    encoder = Encoder(load_tokenizer(str(nano_policy)), max_prompt_tokens=99, max_response_tokens=99)
    encoded = [encoder.encode(prompt["messages"], prompt["reference"]) for prompt in prompts[:2]]
    rows = [prompt + response for prompt, response in encoded]
    assert model.normalised(score_rows(model, rows).mean(1)).mean().item() == pytest.approx(0, abs=1e-4)
    assert read_about(str(run.artifact))["normalised_over"] == "the reference responses of the train split"


def test_margins_are_asked_of_the_better_side(nano_policy):
    encoder = Encoder(load_tokenizer(str(nano_policy)), max_prompt_tokens=99, max_response_tokens=99)
    line = PreferencePair("c", "p", user("q"), "a", "b", 0.0, -2.0, 1.0, None, "train")
    lines = [line, line._replace(margin=0.25), line._replace(target=0.5), line._replace(target=0.8)]
    margins = [encode_pair(encoder, line, margin_per_strength=0.5).margin for line in lines]
    assert margins == [-1.0, -0.25, 0.0, 1.0]


def pairs_of_unequal_lengths():
    rows = [((1, 40, 41), (1, 40)), ((1, 50) * 4, (1, 50, 51)), ((1, 40, 41), (1, 60, 61, 62, 2)), ((1,), (1, 9))]
    targets, margins, weights = (1.0, 0.3, 0.5, 0.0), (0.2, 0.0, 0.0, -0.4), (1.0, 0.5, 2.0, 1.0)
    return [
        EncodedPair(a, b, target, margin, weight, "p", 1.0, len(a), len(b))
        for (a, b), target, margin, weight in zip(rows, targets, margins, weights, strict=True)
    ]


@pytest.mark.parametrize("micro_batch_size", [1, 2, 3])
def test_micro_batches_and_padding_leave_the_gradient_alone(tmp_path, micro_batch_size):
    """On a GPT-2, because Llama's norm rounds to float32 inside a float64 model."""
    model = new_scalar(str(save_nano_gpt2(tmp_path)), device=CPU, head="random").double()
    gradients, losses = [], []
    for size in (0, micro_batch_size):
        config = RewardConfig(micro_batch_size=size, centering=0.01, label_smoothing=0.1)
        model.zero_grad()
        loss, _ = accumulate_gradient(model, pairs_of_unequal_lengths(), config)
        losses.append(loss)
        gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-12, rtol=0), name


class FixedScores(torch.nn.Module):
    """Stands where a network would: the score of a row is a weight of its own, looked up by its last token."""

    def __init__(self, scores):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.tensor(scores, dtype=torch.float64))

    @property
    def head(self):
        return torch.nn.Linear(1, 1)

    def head_scores(self, tokens, mask):
        return self.scores[tokens[:, 0], None]


@pytest.mark.parametrize(
    ("settings", "margin", "expected"),
    [
        ({}, 0.0, 0.720337),
        ({}, 0.5, 0.992737),
        ({"centering": 0.01}, 0.0, 0.720337 + 0.021650),
        ({"label_smoothing": 0.1}, 0.0, 0.725337),
    ],
)
def test_golden_losses(settings, margin, expected):
    """Pairs (1.2, .5) and (.3, .9), the first always the better: numbers of five independent implementations."""
    model = FixedScores([1.2, 0.5, 0.3, 0.9])
    pairs = [EncodedPair((2 * i,), (2 * i + 1,), 1.0, margin, 1.0, f"p{i}", 1.0, 1, 1) for i in range(2)]
    loss, _ = accumulate_gradient(model, pairs, RewardConfig(**settings))
    assert loss == pytest.approx(expected, abs=1e-6)
