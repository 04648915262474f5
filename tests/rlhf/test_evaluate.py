"""The evaluate command: a reward model on pairs, a policy on prompts or on given answers."""

import json
import math

import pytest
import torch

from tests.rlhf.nano import make_run, nano_tokenizer, preference_lines, save_nano_policy, train, user
from training.rlhf.data import Encoder
from training.rlhf.held_out import score_rows
from training.rlhf.model import load_policy, load_scalar, load_tokenizer, new_scalar, save_model

CPU = torch.device("cpu")
PROMPTS = [{"id": f"p{index}", "messages": user(f"say {index}"), "split": "test"} for index in range(5)]
SETTINGS = {"device": "cpu", "num_threads": 1, "batch_size": 3, "max_response_tokens": 6}


@pytest.fixture(scope="module")
def reward(tmp_path_factory, nano_policy):
    folder = tmp_path_factory.mktemp("reward")
    torch.manual_seed(0)
    model = new_scalar(str(nano_policy), device=CPU, head="random")
    model.reward_mean, model.reward_std, model.temperature = 0.5, 2.0, 1.25
    save_model(folder, model, load_tokenizer(str(nano_policy)), about={})
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return save_nano_policy(tmp_path_factory.mktemp("reference"), seed=5)


def lines_of(run):
    return [json.loads(line) for line in (run.path / "scores.jsonl").read_text().splitlines()]


def test_a_reward_model_is_measured_on_pairs(tmp_path, reward):
    run = make_run(tmp_path / "run", "evaluate", {"model": str(reward), **SETTINGS}, preferences=preference_lines())
    summary = train("evaluate", run)[-1]["summary"]
    assert summary == json.loads((run.path / "evaluation.json").read_text())
    lines = lines_of(run)
    assert [line["id"] for line in lines] == [line["id"] for line in preference_lines() if line["split"] == "test"]
    right = [
        (line["score_a"] > line["score_b"]) == (pair["target"] > 0.5)
        for line, pair in zip(lines, [p for p in preference_lines() if p["split"] == "test"], strict=True)
    ]
    assert summary["num_pairs"] == len(lines) == 8 and summary["accuracy"] == sum(right) / 8
    for line in lines:  # normalised scores differ by the raw difference over the deviation
        log_odds = math.log(line["probability"] / (1 - line["probability"]))
        assert (line["score_a"] - line["score_b"]) * 2.0 == pytest.approx(1.25 * log_odds, abs=1e-4)
    assert summary["temperature"] == 1.25 and summary["ece_calibrated"] != summary["ece"]


def test_a_policy_answers_prompts_and_is_judged(tmp_path, nano_policy, reference, reward):
    config = {"model": str(nano_policy), "reference_model": str(reference), "reward_model": str(reward), **SETTINGS}
    runs = [make_run(tmp_path / name, "evaluate", config, prompts=PROMPTS) for name in ("one", "two")]
    summaries = [train("evaluate", run)[-1]["summary"] for run in runs]
    assert summaries[0] == summaries[1] and lines_of(runs[0]) == lines_of(runs[1])
    lines = lines_of(runs[0])
    assert [line["prompt_id"] for line in lines] == [prompt["id"] for prompt in PROMPTS]
    summary = summaries[0]
    assert summary["num_responses"] == 5 and 1 <= summary["response/length"] <= 6
    assert summary["reward/mean"] == pytest.approx(sum(line["reward"] for line in lines) / 5)
    gaps = [line["logprob"] - line["reference_logprob"] for line in lines]
    assert summary["kl/sequence"] == pytest.approx(sum(gaps) / 5) and summary["kl/sequence"] > 0


def test_a_policy_reads_given_answers(tmp_path, nano_policy, reward):
    answers = [
        {"prompt_id": "p0", "prompt": user("say 0"), "sample": 0, "text": "abc"},
        {"prompt_id": "p0", "prompt": user("say 0"), "sample": 1, "text": "longer than six tokens"},
        {"prompt_id": "p1", "prompt": user("say something longer"), "sample": 0, "text": ""},
    ]
    config = {"model": str(nano_policy), "reward_model": str(reward), **SETTINGS}
    run = make_run(tmp_path / "run", "evaluate", config, responses=answers)
    summary = train("evaluate", run)[-1]["summary"]
    lines = lines_of(run)
    assert [line["text"] for line in lines] == [answer["text"] for answer in answers]
    assert [(line["num_tokens"], line["ended"]) for line in lines] == [(4, True), (6, False), (1, True)]
    assert "kl/sequence" not in summary
    policy, scorer = load_policy(str(nano_policy), device=CPU), load_scalar(str(reward), device=CPU)
    encoder = Encoder(nano_tokenizer(), max_prompt_tokens=99, max_response_tokens=6)
    for line in lines:
        prompt, response = encoder.encode(line["prompt"], line["text"])
        with torch.no_grad():
            logits = policy(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
            expected = sum(logits[len(prompt) - 1 + t, token].item() for t, token in enumerate(response))
            score = scorer.normalised(score_rows(scorer, [prompt + response]).mean(1)).item()
        assert line["logprob"] == pytest.approx(expected, abs=1e-4)
        assert line["reward"] == pytest.approx(score, abs=1e-5)


def test_what_cannot_be_compared_is_refused(tmp_path, nano_policy, reference, reward):
    foreign = tmp_path / "foreign"
    save_nano_policy(foreign)
    tokenizer = nano_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(foreign)
    (foreign / "chat_template.jinja").unlink(missing_ok=True)
    config = {"model": str(nano_policy), "reference_model": str(foreign), **SETTINGS}
    run = make_run(tmp_path / "run", "evaluate", config, prompts=PROMPTS)
    assert "log-probabilities cannot be compared" in train("evaluate", run, expect=2)[-1]["message"]
    run = make_run(tmp_path / "empty", "evaluate", {"model": str(nano_policy), **SETTINGS, "split": "train"})
    assert "prompts.jsonl is missing" in train("evaluate", run, expect=2)[-1]["message"]
