"""Write answers to the run's prompts: responses.jsonl in the run's folder, no model.

    python -m training.rlhf generate RUN_DIR

Reads config.json and prompts.jsonl. Each line of responses.jsonl is one answer: prompt_id, prompt, sample (its number
among the answers to that prompt), text, num_tokens, ended, logprob (the sum over its tokens, in nats, at the sampling
temperature) and, with a reward model, reward (its normalised score; with several heads also reward_std, how far they
disagree). The file appears whole or not at all; a run that was killed begins again and writes the same answers. With
the backend openai a server writes them (served.py), and what it has answered is not asked again.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from training.rlhf.config import GenerateConfig
from training.rlhf.data import Encoded, Encoder, Messages, Prompt, of_split, read_prompts
from training.rlhf.model import (
    choose_device,
    load_scalar,
    load_tokenizer,
    precision,
    refuse_foreign_tokenizer,
)
from training.rlhf.rundir import EventLog, RunDir, StopCheck, Stopped, write_jsonl
from training.rlhf.sampling import Responses, Watch, given_responses, sample
from training.rlhf.scoring import Scorer, response_texts
from training.rlhf.served import Asked, ChatServer
from training.rlhf.steering import load_writer


class Request(NamedTuple):
    """One answer to write."""

    prompt: Prompt
    tokens: list[int]
    sample: int


def generate(config: GenerateConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Answer every prompt of the split and return the summary; raises Stopped, with nothing written, when asked to
    stop.
    """
    if config.backend == "openai":
        return generate_by_server(config, run, events, stop)

    # 1. The prompts, as tokens.
    tokenizer = load_tokenizer(config.model, config.revision)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    prompts = of_split(read_prompts(run.prompts), config.split)
    requests = [
        Request(prompt, tokens, number)
        for prompt, tokens in [(prompt, encoder.prompt(prompt.messages)) for prompt in prompts]
        for number in range(config.samples_per_prompt)
    ]

    # 2. The models.
    device = choose_device(config.device)
    policy = load_writer(config.model, config.revision, device=device)
    refuse_foreign_tokenizer(policy, tokenizer)
    scorer = None
    if config.reward_model:
        reward = load_scalar(config.reward_model, device=device)
        scorer = Scorer(reward, load_tokenizer(config.reward_model), tokenizer, config)
    for sentence in [*encoder.warnings(), *(scorer.warnings() if scorer else [])]:
        events.warning(sentence)

    # 3. The answers, a batch at a time.
    lines: list[dict[str, Any]] = []
    for number, start in enumerate(range(0, len(requests), config.batch_size)):
        if reason := stop():
            raise Stopped(reason, step=start)
        batch = requests[start : start + config.batch_size]
        lines += answer(policy, scorer, batch, config, tokenizer, batch_number=number)
        events.progress(step=len(lines), total_steps=len(requests))

    # 4. The file.
    write_jsonl(run.responses, lines)
    return summary(lines)


def generate_by_server(config: GenerateConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """The same from a server, whose answers have no log-probability; a stopped run keeps those that it has."""
    prompts = of_split(read_prompts(run.prompts), config.split)
    requests = [
        Asked(prompt.id, number, prompt.messages) for prompt in prompts for number in range(config.samples_per_prompt)
    ]
    kept = run.path / "served.jsonl"
    served = ChatServer(config).answers(
        requests, kept=kept, stop=stop, told=lambda step: events.progress(step=step, total_steps=len(requests))
    )
    lines = [
        {
            "prompt_id": request.prompt_id,
            "prompt": request.messages,
            "sample": request.sample,
            "text": answer.text.replace("\0", "\N{REPLACEMENT CHARACTER}"),
            "num_tokens": answer.num_tokens,
            "ended": answer.ended,
            "logprob": None,
        }
        for request, answer in zip(requests, served, strict=True)
    ]
    if config.reward_model:
        lines = scored(lines, config, events)
    write_jsonl(run.responses, lines)
    kept.unlink()
    return summary(lines)


def scored(lines: list[dict[str, Any]], config: GenerateConfig, events: EventLog) -> list[dict[str, Any]]:
    """The lines with the reward model's score of their texts, read with its own tokenizer."""
    device = choose_device(config.device)
    tokenizer = load_tokenizer(config.reward_model)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=4 * config.max_response_tokens
    )
    scorer = Scorer(load_scalar(config.reward_model, device=device), tokenizer, tokenizer, config)
    found = []
    for start in range(0, len(lines), config.batch_size):
        batch = lines[start : start + config.batch_size]
        rows = []
        for line in batch:
            row = encoder.encode(line["prompt"], line["text"])
            rows.append(row if line["ended"] or len(row.response) == 1 else Encoded(row.prompt, row.response[:-1]))
        responses = given_responses(rows, stop_id=tokenizer.eos_token_id, device=device)
        values = of_reward_model(scorer, [line["prompt"] for line in batch], responses)
        found += [line | {name: column[row] for name, column in values.items()} for row, line in enumerate(batch)]
    for sentence in encoder.warnings():
        events.warning(sentence)
    return found


def answer(
    policy: torch.nn.Module,
    scorer: Scorer | None,
    batch: list[Request],
    config: GenerateConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_number: int,
    watch: Watch | None = None,
) -> Iterator[dict[str, Any]]:
    """One line a request. The random numbers are a function of the seed and the batch's number. watch: of sample()."""
    seed = random.Random(f"{config.seed}/generate/{batch_number}").getrandbits(63)
    with precision(next(policy.parameters()).device, config.dtype):
        responses = sample(
            policy,
            [request.tokens for request in batch],
            stop_ids=[tokenizer.eos_token_id],
            pad_id=tokenizer.eos_token_id,
            max_tokens=config.max_response_tokens,
            temperature=config.temperature,
            generator=torch.Generator().manual_seed(seed),
            watch=watch,
        )
    scored = of_reward_model(scorer, [request.prompt.messages for request in batch], responses)
    logprobs = responses.logprobs.sum(1).tolist()
    for row, text in enumerate(response_texts(tokenizer, responses)):
        request = batch[row]
        yield {
            "prompt_id": request.prompt.id,
            "prompt": request.prompt.messages,
            "sample": request.sample,
            "text": text,
            "num_tokens": int(responses.mask[row].sum()),
            "ended": bool(responses.ended[row]),
            "logprob": logprobs[row],
        } | {name: values[row] for name, values in scored.items()}


def of_reward_model(scorer: Scorer | None, prompts: list[Messages], responses: Responses) -> dict[str, list[float]]:
    """What stands in a line about its score: nothing without a reward model; with several heads how far they
    disagree.
    """
    if scorer is None:
        return {}
    score, std = scorer.scores(prompts, responses)
    return {"reward": score.tolist()} | ({} if std is None else {"reward_std": std.tolist()})


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the answers are like on average."""
    means = {
        "response/length": sum(line["num_tokens"] for line in lines) / len(lines),
        "response/ended": sum(line["ended"] for line in lines) / len(lines),
    }
    if "reward" in lines[0]:
        means["reward/mean"] = sum(line["reward"] for line in lines) / len(lines)
    if "reward_std" in lines[0]:
        means["reward/head_std"] = sum(line["reward_std"] for line in lines) / len(lines)
    return {"num_responses": len(lines), **means}
