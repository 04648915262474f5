"""Two models read the same answers: which tokens the one finds likelier than the other, and how far apart they are.

    python -m training.rlhf compare RUN_DIR

`model` is called b, `reference_model` a. Both read the answers of responses.jsonl (an id, prompt_id, prompt, text and
whether it ended) at temperature 1. Each line of likelihoods.jsonl is one answer: id; logprob_a and logprob_b, the sums
over its tokens; kl_a and kl_b, how far the other model stands from a and from b along this answer; tokens, a list of
[text, logprob_a, logprob_b], whose texts joined are the answer (an empty last one ends it). All in nats. The file
appears whole or not at all.

kl_b is the sum over positions of KL(b's next token || a's next token), each over the whole vocabulary. Over answers
that b has drawn its mean is the KL of b from a, exactly as that of summed log-ratios is, with far less noise and never
below zero: each position's expectation is taken instead of drawn (Amini et al. 2025, "Better Estimation of the KL
Divergence Between Language Models").
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.rlhf.config import CompareConfig
from training.rlhf.data import Answer, Encoded, Encoder, micro_batches, pass_cost, read_answers
from training.rlhf.model import (
    choose_device,
    load_tokenizer,
    precision,
    refuse_foreign_tokenizer,
    same_tokens,
)
from training.rlhf.rundir import EventLog, RunDir, StopCheck, Stopped, write_jsonl
from training.rlhf.sampling import Responses, as_grid, given_responses, response_logits, response_tokens
from training.rlhf.steering import load_writer

STOP = ""
"""The text of the token that ends an answer."""
LAYER = re.compile(r"^(.*?\.\d+)\.")


class Reading(NamedTuple):
    """One answer as both models read it."""

    id: str
    encoded: Encoded
    pieces: list[str]
    """The text of each token but the stop token; empty for one that only completes a character."""
    has_stop: bool
    rest: str
    """What was cut off, because the answer is longer than max_response_tokens."""


class Likelihoods(NamedTuple):
    """(B, T) each, in nats; 0 beyond a row's response."""

    a: Tensor
    b: Tensor
    kl_a: Tensor
    kl_b: Tensor


def compare(config: CompareConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Read every answer with both models and return the summary; raises Stopped, with nothing written, when asked."""
    # 1. The answers, as tokens that both models share.
    tokenizer = shared_tokenizer(config)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    readings = [read(encoder, answer) for answer in read_answers(run.responses)]
    for sentence in encoder.warnings():
        events.warning(sentence)

    # 2. The models, and how far their weights lie apart.
    device = choose_device(config.device)
    a = load_writer(config.reference_model, config.reference_revision, device=device)
    b = load_writer(config.model, config.revision, device=device)
    for model in (a, b):
        refuse_foreign_tokenizer(model, tokenizer)
    layers = weight_changes(a, b)

    # 3. Both read them, answers of like length together.
    lines: dict[int, dict[str, Any]] = {}
    lengths = [len(reading.encoded.prompt) + len(reading.encoded.response) for reading in readings]
    for rows in micro_batches(
        range(len(readings)), size=config.batch_size, length=lengths.__getitem__, pass_cost=pass_cost(device)
    ):
        if reason := stop():
            raise Stopped(reason, step=len(lines))
        with precision(device, config.dtype):
            batch = list(read_batch(a, b, [readings[row] for row in rows], stop_id=tokenizer.eos_token_id))
        lines |= zip(rows, batch, strict=True)
        events.progress(step=len(lines), total_steps=len(readings))

    # 4. The file.
    write_jsonl(run.likelihoods, [lines[row] for row in range(len(readings))])
    return {"num_responses": len(readings), "layers": layers}


def shared_tokenizer(config: CompareConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of both; ValueError when they differ, because then no token of the one is one of the other."""
    tokenizer = load_tokenizer(config.model, config.revision)
    if not same_tokens(tokenizer, load_tokenizer(config.reference_model, config.reference_revision)):
        raise ValueError(
            f"the tokenizers of model {config.model!r} and reference_model {config.reference_model!r} differ, so "
            "their tokens cannot be compared: compare two models of the same family."
        )
    return tokenizer


def read(encoder: Encoder, answer: Answer) -> Reading:
    """The answer's tokens with the text of each; an answer that was cut off gets no stop token."""
    encoded = encoder.encode(answer.prompt, answer.text)
    pieces = token_texts(encoder.tokenizer, answer.text)
    has_stop = answer.ended and len(encoded.response) > len(pieces)
    whole = encoded.response if has_stop else encoded.response[: len(pieces)]
    num_read = len(whole) - has_stop
    rest = "".join(pieces[num_read:])
    return Reading(answer.id, Encoded(encoded.prompt, whole), pieces[:num_read], has_stop, rest)


def token_texts(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """The text cut at the ends of its tokens. Of tokens that share one character, the first has it."""
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer {type(tokenizer).__name__} cannot say which characters a token stands for: save the model "
            "with a tokenizer.json, as the tokenizers library writes it."
        )
    encoding = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    ends = [end for _start, end in encoding["offset_mapping"]]
    pieces, done = [], 0
    for end in ends:
        pieces.append(text[done:end])
        done = max(done, end)
    if pieces:
        pieces[-1] += text[done:]  # a blank that the tokenizer drops
    return pieces


@torch.no_grad()
def read_batch(a: nn.Module, b: nn.Module, readings: Sequence[Reading], *, stop_id: int) -> Iterator[dict[str, Any]]:
    """A line for each reading. An answer without a single token has nothing to be read."""
    with_tokens = [reading for reading in readings if reading.encoded.response]
    rows: Iterator[tuple[list[float], ...]] = iter(())
    if with_tokens:
        device = next(b.parameters()).device
        responses = given_responses([each.encoded for each in with_tokens], stop_id=stop_id, device=device)
        rows = zip(*(grid.tolist() for grid in likelihoods(a, b, responses)), strict=True)
    for reading in readings:
        yield line_of(reading, *(next(rows) if reading.encoded.response else ([], [], [], [])))


def likelihoods(a: nn.Module, b: nn.Module, responses: Responses) -> Likelihoods:
    """What both say of every response token, from one pass each."""
    tokens = response_tokens(responses).unsqueeze(1)
    log_a, log_b = (response_logits(model, responses).float().log_softmax(-1) for model in (a, b))
    apart = log_b - log_a
    of_tokens = (log_a.gather(1, tokens).squeeze(1), log_b.gather(1, tokens).squeeze(1))
    kl_a, kl_b = -(log_a.exp() * apart).sum(-1), (log_b.exp() * apart).sum(-1)
    return Likelihoods(*(as_grid(values, responses.mask) for values in (*of_tokens, kl_a, kl_b)))


def line_of(reading: Reading, *rows: Sequence[float]) -> dict[str, Any]:
    """rows: what stands in Likelihoods for this answer. Tokens that share a character are told as one."""
    of_a, of_b, kl_a, kl_b = (row[: len(reading.encoded.response)] for row in rows)
    tokens: list[list[Any]] = []
    for piece, logprob_a, logprob_b in zip(reading.pieces, of_a, of_b, strict=False):
        if piece or not tokens:
            tokens.append([piece, logprob_a, logprob_b])
        else:
            tokens[-1][1:] = [tokens[-1][1] + logprob_a, tokens[-1][2] + logprob_b]
    if reading.has_stop:
        tokens.append([STOP, of_a[-1], of_b[-1]])
    if reading.rest:
        tokens.append([reading.rest, None, None])
    return {
        "id": reading.id,
        "logprob_a": sum(of_a),
        "logprob_b": sum(of_b),
        "kl_a": max(sum(kl_a), 0.0),  # below zero only by rounding
        "kl_b": max(sum(kl_b), 0.0),
        "tokens": [[text, *(value if value is None else round(value, 4) for value in two)] for text, *two in tokens],
    }


def weight_changes(a: nn.Module, b: nn.Module) -> list[dict[str, Any]]:
    """By layer, in the model's order: |W_b - W_a| / |W_a| (Frobenius norms over all its weights), and how many.

    Weights that only one of the two has, or in another shape, have no change and are left out.
    """
    before = dict(a.named_parameters())
    squares: dict[str, list[float]] = {}
    for name, weights in b.named_parameters():
        former = before.get(name)
        if former is None or former.shape != weights.shape:
            continue
        found = LAYER.match(name)
        sums = squares.setdefault(found[1] if found else name.removesuffix(".weight"), [0.0, 0.0, 0])
        with torch.no_grad():
            sums[0] += float((weights.double() - former.double()).square().sum())
            sums[1] += float(former.double().square().sum())
        sums[2] += weights.numel()
    return [
        {"layer": layer, "relative_change": (apart / whole) ** 0.5 if whole else None, "num_weights": num}
        for layer, (apart, whole, num) in squares.items()
    ]
