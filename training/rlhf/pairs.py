"""Preference pairs as a reward model learns from them: as tokens, weighted, and cut into steps and passes.

    pairs = read_pairs(config, run)
    for piece in pieces(batch, size=config.micro_batch_size, model=model): ...

All pairs of one prompt (those of a ranking, say) share an optimizer step and a pass through the model, so each of its
responses is read once however many pairs it stands in (Ouyang et al. 2022, section 3.5).
"""

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn
from transformers import PreTrainedTokenizerBase

from training.rlhf.config import RewardConfig
from training.rlhf.data import Encoder, PreferencePair, of_split, read_preferences, read_prompts
from training.rlhf.model import load_tokenizer
from training.rlhf.packing import packs
from training.rlhf.packing import pieces as packed_pieces
from training.rlhf.rundir import RunDir


class EncodedPair(NamedTuple):
    """A preference pair as tokens."""

    tokens_a: tuple[int, ...]  # prompt and response
    tokens_b: tuple[int, ...]
    target: float
    margin: float  # how far a should lead; negative where b is better
    weight: float
    prompt_id: str
    strength: float
    length_a: int  # response tokens alone
    length_b: int
    votes: tuple[float, ...] = ()  # signed judgments of single people, positive when a is better


class Pairs(NamedTuple):
    """The data of a run."""

    tokenizer: PreTrainedTokenizerBase
    train: list[EncodedPair]
    validation: list[EncodedPair]  # may be empty
    held_out: list[EncodedPair]
    references: list[tuple[int, ...]]  # what a normalised score of 0 is the mean of
    references_are: str
    warnings: list[str]


def read_pairs(config: RewardConfig, run: RunDir) -> Pairs:
    """Read and encode the run's data; ValueError when there is nothing to train on or nothing held out."""
    lines = read_preferences(run.preferences)
    tokenizer = load_tokenizer(config.model, config.revision)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    of_split(lines, "train")  # refuses an empty one
    by_split: dict[str, list[EncodedPair]] = {"train": [], "validation": [], "test": []}
    for line in lines:
        by_split[line.split].append(encode_pair(encoder, line, margin_per_strength=config.margin_per_strength))
    held_out = by_split["test"] or by_split["validation"]
    if not held_out:
        raise ValueError(
            "preferences.jsonl holds nothing out: without a validation or test split the accuracy would be measured "
            "on what was trained on. Give some prompts the split validation or test."
        )
    # a weight of 0 asks for no influence; in a step alone it would also have no mean
    train = [pair for pair in by_split["train"] if pair.weight > 0]
    if not train:
        raise ValueError("every pair of the train split has weight 0: give those that shall count a weight above 0.")
    if config.weigh_by == "prompt":
        train = a_prompt_weighs_one(train)
    references, references_are = _references(run, encoder, train)
    return Pairs(tokenizer, train, by_split["validation"], held_out, references, references_are, encoder.warnings())


def encode_pair(encoder: Encoder, line: PreferencePair, *, margin_per_strength: float) -> EncodedPair:
    """One line as tokens. Its own margin, or the one by strength, is asked of whichever side the target prefers."""
    prompt = encoder.prompt(line.prompt)
    response_a, response_b = encoder.response(line.response_a), encoder.response(line.response_b)
    size = margin_per_strength * abs(line.strength) if line.margin is None else line.margin
    side = (line.target > 0.5) - (line.target < 0.5)
    return EncodedPair(
        tokens_a=(*prompt, *response_a),
        tokens_b=(*prompt, *response_b),
        target=line.target,
        margin=side * size,
        weight=line.weight,
        prompt_id=line.prompt_id,
        strength=line.strength,
        length_a=len(response_a),
        length_b=len(response_b),
        votes=line.votes,
    )


def a_prompt_weighs_one(pairs: Sequence[EncodedPair]) -> list[EncodedPair]:
    """The same pairs, the weights of each prompt's divided by their sum: a ranking of six counts as much as a pair."""
    totals: dict[str, float] = {}
    for pair in pairs:
        totals[pair.prompt_id] = totals.get(pair.prompt_id, 0.0) + pair.weight
    return [pair._replace(weight=pair.weight / totals[pair.prompt_id]) for pair in pairs]


def responses_of(pairs: Sequence[EncodedPair]) -> list[tuple[int, ...]]:
    """Every response of the pairs once, in the order in which they come."""
    return list(dict.fromkeys(tokens for pair in pairs for tokens in (pair.tokens_a, pair.tokens_b)))


def pieces(pairs: Sequence[EncodedPair], *, size: int, model: nn.Module, at_once: int = 1) -> Iterator[list[int]]:
    """The pairs' numbers, cut into passes of at most `size` responses (0: no limit); a prompt's pairs stay together.

    A prompt with more responses than its share of `size` is a pass of its own. See packing.pieces.
    """
    members: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        members.setdefault(pair.prompt_id, []).append(number)
    groups = list(members.values())
    found = [responses_of([pairs[number] for number in group]) for group in groups]

    def num_tokens(group: int) -> int:
        """The prompt once, and every response."""
        first = pairs[groups[group][0]]
        prompt = len(first.tokens_a) - first.length_a
        return prompt + sum(len(row) - prompt for row in found[group])

    for chosen in packed_pieces(
        range(len(groups)),
        size=size,
        length=lambda group: max(map(len, found[group])),
        device=next(model.parameters()).device,
        is_packed=packs(getattr(model, "trunk", model)),
        at_once=at_once,
        num_rows=lambda group: len(found[group]),
        num_tokens=num_tokens,
    ):
        yield [number for group in chosen for number in groups[group]]


def resample_counts(prompt_ids: Sequence[str], *, num_heads: int, seed: int) -> list[list[int]]:
    """How often each head sees each pair: Poisson(1) by head and prompt (Oza and Russell 2001), the bootstrap for data
    that comes in steps. A prompt's pairs are taken or left together. One head sees everything once.
    """
    if num_heads == 1:
        return [[1] for _ in prompt_ids]
    return [
        [_poisson(random.Random(f"{seed}/head {head}/{prompt_id}").random()) for head in range(num_heads)]
        for prompt_id in prompt_ids
    ]


def _poisson(uniform: float) -> int:
    """The Poisson(1) quantile of a number in [0, 1)."""
    count, probability = 0, math.exp(-1)
    cumulative = probability
    while uniform >= cumulative and count < 20:  # far beyond what a double can tell apart
        count += 1
        probability /= count
        cumulative += probability
    return count


def _references(run: RunDir, encoder: Encoder, train: Sequence[EncodedPair]) -> tuple[list[tuple[int, ...]], str]:
    """The responses whose mean score is to be 0, and what they are, in words."""
    references = [
        (*encoder.prompt(prompt.messages), *encoder.response(prompt.reference))
        for prompt in (read_prompts(run.prompts) if run.prompts.is_file() else [])
        if prompt.split == "train" and prompt.reference is not None
    ]
    if references:
        return references, "the reference responses of the train split"
    return responses_of(train), "all responses of the train split (it has no reference responses)"
