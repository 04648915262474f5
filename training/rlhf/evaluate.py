"""Measure a model on the run's data; nothing is trained.

    python -m training.rlhf evaluate RUN_DIR

A reward model is measured on preferences.jsonl: evaluation.json holds the numbers of measures.py, scores.jsonl a line a
pair. A policy answers prompts.jsonl, or reads the answers in responses.jsonl where somebody put one there:
evaluation.json holds means, scores.jsonl a line an answer with its log-probability, that of the reference model and its
reward, where those models are given. Which of the two it is stands in the model's folder. A run that was killed begins
again.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.rlhf.calibration import sigmoid
from training.rlhf.config import EvaluateConfig
from training.rlhf.data import (
    Encoded,
    Encoder,
    Messages,
    PreferencePair,
    of_split,
    read_answers,
    read_preferences,
    read_prompts,
)
from training.rlhf.held_out import HeadScores, head_report, score_pairs, scored_pairs
from training.rlhf.measures import ScoredPair, as_calibrated, held_out_report
from training.rlhf.model import (
    ScalarModel,
    choose_device,
    is_reward_model,
    load_policy,
    load_scalar,
    load_tokenizer,
    precision,
    refuse_foreign_tokenizer,
    same_tokens,
)
from training.rlhf.pairs import encode_pair
from training.rlhf.rundir import EventLog, RunDir, StopCheck, Stopped, write_jsonl, write_text
from training.rlhf.sampling import as_grid, given_responses, response_logprobs, sample
from training.rlhf.scoring import Scorer, response_texts
from training.rlhf.spread import spread
from training.rlhf.steering import load_writer


class Question(NamedTuple):
    """One prompt to answer, or one answer to read."""

    prompt_id: str
    messages: Messages
    prompt: list[int]
    response: list[int]  # empty when the policy writes the answer
    text: str | None  # None then


class Panel(NamedTuple):
    """The models that look at an answer, on one device."""

    policy: nn.Module
    tokenizer: PreTrainedTokenizerBase
    reference: nn.Module | None
    scorer: Scorer | None


def evaluate(config: EvaluateConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Measure and return the summary, which evaluation.json also holds."""
    measure = evaluate_reward_model if is_reward_model(config.model) else evaluate_policy
    summary, lines = measure(config, run, events, stop)
    write_jsonl(run.path / "scores.jsonl", lines)
    write_text(run.path / "evaluation.json", json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return summary


def evaluate_reward_model(
    config: EvaluateConfig, run: RunDir, events: EventLog, stop: StopCheck
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The held-out report, and the normalised scores of every pair in the order of the file."""
    device = choose_device(config.device)
    tokenizer, model = load_tokenizer(config.model), load_scalar(config.model, device=device)
    encoder = _encoder(config, tokenizer)
    chosen = of_split(read_preferences(run.preferences), config.split)
    pairs = [encode_pair(encoder, line, margin_per_strength=0.0) for line in chosen]
    for sentence in encoder.warnings():
        events.warning(sentence)
    scored: list[ScoredPair] = []
    lines: list[dict[str, Any]] = []
    differences: list[Tensor] = []
    for start in _batches(len(pairs), config, events, stop):
        rows = slice(start, start + config.batch_size)
        with torch.no_grad(), precision(device, config.dtype):
            scores = score_pairs(model, pairs[rows])
        scored += scored_pairs(pairs[rows], scores.difference)
        differences.append((scores.a - scores.b) / model.reward_std)
        lines += pair_lines(model, chosen[rows], scores)
    report = held_out_report(scored) | as_calibrated(scored, model.temperature)
    if model.num_heads > 1:
        report |= head_report(scored, torch.cat(differences))
    return report, lines


def pair_lines(model: ScalarModel, pairs: Sequence[PreferencePair], scores: HeadScores) -> Iterator[dict[str, Any]]:
    """A line a pair: its normalised scores, and the probability, at the model's temperature, that a is better."""
    mean_a, mean_b = (model.normalised(raw.mean(1)).tolist() for raw in scores)
    log_odds = (scores.difference / model.temperature).tolist()
    apart = model.normalised_heads(scores.a) - model.normalised_heads(scores.b)
    for row, pair in enumerate(pairs):
        line = {"id": pair.id, "prompt_id": pair.prompt_id, "score_a": mean_a[row], "score_b": mean_b[row]}
        line["probability"] = sigmoid(log_odds[row])
        if model.num_heads > 1:
            line["difference_std"] = float(apart[row].std(correction=0))
        yield line


def evaluate_policy(
    config: EvaluateConfig, run: RunDir, events: EventLog, stop: StopCheck
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Means over the answers, and a line an answer."""
    panel = load_panel(config)
    encoder = _encoder(config, panel.tokenizer)
    questions = read_questions(config, run, encoder)
    for sentence in [*encoder.warnings(), *(panel.scorer.warnings() if panel.scorer else [])]:
        events.warning(sentence)
    lines: list[dict[str, Any]] = []
    for start in _batches(len(questions), config, events, stop):
        lines += look_at(panel, questions[start : start + config.batch_size], config, batch_number=start)
    return policy_summary(lines, are_sampled=questions[0].text is None), lines


def load_panel(config: EvaluateConfig) -> Panel:
    """The policy and whoever judges it; ValueError when the reference does not share the policy's tokens."""
    device = choose_device(config.device)
    tokenizer = load_tokenizer(config.model, config.revision)
    policy = load_writer(config.model, config.revision, device=device)
    refuse_foreign_tokenizer(policy, tokenizer)
    reference = scorer = None
    if config.reference_model:
        if not same_tokens(tokenizer, load_tokenizer(config.reference_model, config.reference_revision)):
            raise ValueError(
                f"the tokenizers of model {config.model!r} and reference_model {config.reference_model!r} differ, so "
                "their log-probabilities cannot be compared: name a reference of the same family, or none."
            )
        reference = load_policy(config.reference_model, config.reference_revision, device=device)
    if config.reward_model:
        reward = load_scalar(config.reward_model, device=device)
        scorer = Scorer(reward, load_tokenizer(config.reward_model), tokenizer, config)
    return Panel(policy, tokenizer, reference, scorer)


def read_questions(config: EvaluateConfig, run: RunDir, encoder: Encoder) -> list[Question]:
    """The answers of responses.jsonl where it exists, else the prompts of the split."""
    if run.responses.is_file():
        return [
            Question(answer.prompt_id, answer.prompt, *encoder.encode(answer.prompt, answer.text), answer.text)
            for answer in read_answers(run.responses)
        ]
    prompts = of_split(read_prompts(run.prompts), config.split)
    return [Question(prompt.id, prompt.messages, encoder.prompt(prompt.messages), [], None) for prompt in prompts]


@torch.no_grad()
def look_at(
    panel: Panel, questions: Sequence[Question], config: EvaluateConfig, *, batch_number: int
) -> Iterator[dict[str, Any]]:
    """One line an answer. What is drawn depends on the seed and the batch alone."""
    device = next(panel.policy.parameters()).device
    stop_id = panel.tokenizer.eos_token_id
    with precision(device, config.dtype):
        if questions[0].text is None:
            seed = random.Random(f"{config.seed}/evaluate/{batch_number}").getrandbits(63)
            responses = sample(
                panel.policy,
                [question.prompt for question in questions],
                stop_ids=[stop_id],
                pad_id=stop_id,
                max_tokens=config.max_response_tokens,
                temperature=config.temperature,
                generator=torch.Generator().manual_seed(seed),
            )
        else:
            responses = given_responses(
                [Encoded(question.prompt, question.response) for question in questions], stop_id=stop_id, device=device
            )
        own = response_logprobs(panel.policy, responses, temperature=config.temperature)
        logprobs = {"logprob": as_grid(own, responses.mask).sum(1).tolist()}
        if panel.reference is not None:
            reference = response_logprobs(panel.reference, responses, temperature=config.temperature)
            logprobs["reference_logprob"] = as_grid(reference, responses.mask).sum(1).tolist()
    if panel.scorer is not None:
        scores = panel.scorer.scores([question.messages for question in questions], responses)
        logprobs["reward"] = scores.score.tolist()
        if scores.std is not None:
            logprobs["reward_std"] = scores.std.tolist()
    texts = response_texts(panel.tokenizer, responses)
    for row, question in enumerate(questions):
        yield {
            "prompt_id": question.prompt_id,
            "prompt": question.messages,
            "text": texts[row] if question.text is None else question.text,
            "num_tokens": int(responses.mask[row].sum()),
            "ended": bool(responses.ended[row]),
            **{name: values[row] for name, values in logprobs.items()},
        }


def policy_summary(lines: Sequence[dict[str, Any]], *, are_sampled: bool) -> dict[str, Any]:
    """Means over the answers. KL is a mean of log-ratios only over answers that the policy itself has drawn."""

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    summary: dict[str, Any] = {
        "num_responses": len(lines),
        "response/length": mean([line["num_tokens"] for line in lines]),
        "response/ended": mean([line["ended"] for line in lines]),
        "logprob/mean": mean([line["logprob"] for line in lines]),
    }
    if "reward" in lines[0]:
        rewards = [line["reward"] for line in lines]
        summary["reward/mean"] = mean(rewards)
        summary["reward/spread"] = spread(rewards)
        summary["reward/std"] = math.sqrt(mean([(reward - mean(rewards)) ** 2 for reward in rewards]))
    if "reward_std" in lines[0]:
        summary["reward/head_std"] = mean([line["reward_std"] for line in lines])
    if "reference_logprob" in lines[0]:
        gaps = [line["logprob"] - line["reference_logprob"] for line in lines]
        summary["kl/sequence" if are_sampled else "logratio/mean"] = mean(gaps)
    return summary


def _batches(total: int, config: EvaluateConfig, events: EventLog, stop: StopCheck) -> Iterator[int]:
    """The first row of each batch; says how far it is, and stops between batches when asked to."""
    for start in range(0, total, config.batch_size):
        if reason := stop():
            raise Stopped(reason, step=start)
        yield start
        events.progress(step=min(start + config.batch_size, total), total_steps=total)


def _encoder(config: EvaluateConfig, tokenizer: PreTrainedTokenizerBase) -> Encoder:
    return Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
