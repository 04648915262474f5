"""The lines of a run's data files, read, checked, rendered to tokens and padded into batches.

One named type a kind of line: PreferencePair, Prompt, Demonstration, Answer. A bad line is refused with its number, a
prompt that stands in two splits with its name.

A conversation becomes tokens by the tokenizer's chat template with its generation prompt. A tokenizer without one gets
the plain rendering: its BOS if it has one, then "### Role\\ncontent\\n\\n" for every message, then "### Assistant\\n".
A response is the tokens of its text and then EOS. Padding is told from text by the mask alone, never by the pad id.
"""

import bisect
import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

SPLITS = ("train", "validation", "test")
Messages = list[dict[str, str]]


class PreferencePair(NamedTuple):
    """Two responses to one prompt and what people said."""

    id: str
    prompt_id: str
    prompt: Messages
    response_a: str
    response_b: str
    target: float  # P(a is better), 0..1
    strength: float  # mean signed judgment, -3..3, positive when a is better
    weight: float
    margin: float | None  # how far the better one should lead, at least 0
    split: str
    votes: tuple[float, ...] = ()  # what single people said, as strength does; empty where nobody kept them


class Prompt(NamedTuple):
    """A conversation that wants an answer."""

    id: str
    messages: Messages
    reference: str | None
    split: str


class Demonstration(NamedTuple):
    """A conversation with the answer to imitate."""

    id: str
    prompt_id: str
    prompt: Messages
    response: str
    split: str


class Answer(NamedTuple):
    """A response to a prompt from anywhere: a line of responses.jsonl."""

    id: str  # its own, or prompt and number of the sample
    prompt_id: str
    prompt: Messages
    text: str
    ended: bool  # by itself, as far as anybody knows


class _HasSplit(Protocol):
    @property
    def split(self) -> str: ...


Line = TypeVar("Line", PreferencePair, Prompt, Demonstration, Answer)
HasSplit = TypeVar("HasSplit", bound=_HasSplit)


def read_preferences(path: Path) -> list[PreferencePair]:
    """The pairs of preferences.jsonl; ValueError with a sentence on a bad line or a prompt in two splits."""
    pairs = _read(path, _preference)
    _refuse_leakage(path, [(pair.prompt_id, pair.prompt, pair.split) for pair in pairs])
    return pairs


def read_prompts(path: Path) -> list[Prompt]:
    """The conversations of prompts.jsonl; refuses as read_preferences does."""
    prompts = _read(path, _prompt)
    _refuse_leakage(path, [(prompt.id, prompt.messages, prompt.split) for prompt in prompts])
    return prompts


def read_demonstrations(path: Path) -> list[Demonstration]:
    """The examples of demonstrations.jsonl; refuses as read_preferences does."""
    demonstrations = _read(path, _demonstration)
    _refuse_leakage(path, [(line.prompt_id, line.prompt, line.split) for line in demonstrations])
    return demonstrations


def read_answers(path: Path) -> list[Answer]:
    """The lines of responses.jsonl; ValueError with a sentence on a bad one."""
    return _read(path, _answer)


def of_split(lines: Sequence[HasSplit], split: str) -> list[HasSplit]:
    """The lines of one split, or of all; none is refused in a sentence."""
    chosen = [line for line in lines if split in ("all", line.split)]
    if not chosen:
        counts = ", ".join(f"{sum(line.split == name for line in lines)} {name}" for name in SPLITS)
        raise ValueError(f"the {split} split is empty ({counts}): add data, or split it differently.")
    return chosen


def data_hash(path: Path) -> str:
    """SHA-256 of a file, which names exactly what a run has learned from. A large one is read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Encoded(NamedTuple):
    """One prompt and one response as token ids."""

    prompt: list[int]
    response: list[int]


class Encoder:
    """Renders conversations with one tokenizer and counts what had to be cut."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_prompt_tokens: int, max_response_tokens: int) -> None:
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no EOS token, so no response could end: set eos_token in its config.")
        self.tokenizer = tokenizer
        self.max_prompt_tokens = max_prompt_tokens
        self.max_response_tokens = max_response_tokens
        self.num_cut_prompts = 0
        self.num_cut_responses = 0

    def prompt(self, messages: Messages) -> list[int]:
        """Token ids up to where the answer begins. Too long: the opening special tokens and the end are kept."""
        ids = self._rendered(messages)
        if len(ids) <= self.max_prompt_tokens:
            return ids
        self.num_cut_prompts += 1
        special = set(self.tokenizer.all_special_ids)
        num_opening = next((index for index, token in enumerate(ids) if token not in special), 0)
        opening = ids[: min(num_opening, self.max_prompt_tokens - 1)]
        return opening + ids[len(ids) - (self.max_prompt_tokens - len(opening)) :]

    def response(self, text: str) -> list[int]:
        """Token ids of the text and EOS. Too long: cut, and then without EOS. "</s>" in the text stays text."""
        ids = [*self._text_ids(text), self.tokenizer.eos_token_id]
        if len(ids) <= self.max_response_tokens:
            return ids
        self.num_cut_responses += 1
        return ids[: self.max_response_tokens]

    def encode(self, messages: Messages, text: str) -> Encoded:
        return Encoded(self.prompt(messages), self.response(text))

    def warnings(self) -> list[str]:
        """A sentence for each kind of cut made so far."""
        sentences = []
        if self.num_cut_prompts:
            sentences.append(
                f"{self.num_cut_prompts} prompts are longer than max_prompt_tokens ({self.max_prompt_tokens}) and "
                "kept only their opening special tokens and their end."
            )
        if self.num_cut_responses:
            sentences.append(
                f"{self.num_cut_responses} responses are longer than max_response_tokens "
                f"({self.max_response_tokens}) and were cut, so they have no stop token."
            )
        return sentences

    def _rendered(self, messages: Messages) -> list[int]:
        if self.tokenizer.chat_template is not None:
            try:
                text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            except Exception as error:  # a template is a program of the model's author and may raise anything
                raise ValueError(f"the tokenizer's chat template refuses a conversation: {error}.") from error
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        turns = [f"### {message['role'].capitalize()}\n{message['content']}\n\n" for message in messages]
        begin = self.tokenizer.bos_token_id
        return [*([] if begin is None else [begin]), *self._text_ids("".join(turns) + "### Assistant\n")]

    def _text_ids(self, text: str) -> list[int]:
        """The text as people wrote it: a special token's name in it is spelled out, or it could end a response."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


class TokenBatch(NamedTuple):
    """Rows of different lengths in one rectangle."""

    tokens: Tensor  # (B, L) int64
    mask: Tensor  # (B, L) bool, true on real tokens

    def to(self, device: torch.device) -> "TokenBatch":
        return TokenBatch(self.tokens.to(device), self.mask.to(device))


def pad_rows(rows: Sequence[Sequence[int]], *, side: Literal["left", "right"]) -> TokenBatch:
    """The rows padded to the longest of them. The filler is id 0: nothing may look at it, the mask is false there."""
    width = max(len(row) for row in rows)
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, row in enumerate(rows):
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        tokens[index, place] = torch.tensor(row, dtype=torch.long)
        mask[index, place] = True
    return TokenBatch(tokens, mask)


def plan_batches(
    groups: Sequence[Hashable], *, batch_size: int, epochs: int, seed: int, max_steps: int = 0
) -> list[list[int]]:
    """Row numbers of every optimizer step of a run; rows of one group (one prompt's pairs) share a step.

    A pure function of its arguments, so a resumed run sees the same order. A group larger than `batch_size` is a step
    of its own. max_steps: 0 for no limit.
    """
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    batches: list[list[int]] = []
    for epoch in range(epochs):
        order = list(members.values())
        random.Random(f"{seed}/{epoch}").shuffle(order)
        batch: list[int] = []
        for rows in order:
            if batch and len(batch) + len(rows) > batch_size:
                batches.append(batch)
                batch = []
            batch = [*batch, *rows]
        batches.append(batch)
    return batches[:max_steps] if max_steps else batches


def micro_batches(
    rows: Sequence[int],
    *,
    size: int,
    length: Callable[[int], int],
    pass_cost: int = 0,
    num_rows: Callable[[int], int] = lambda _: 1,
) -> Iterator[list[int]]:
    """The rows of one step in pieces, rows of like length together to pad little.

    size: rows of a piece, 0 for all at once. pass_cost: what one more pass through the model costs, in padded tokens;
    pieces of up to `size` rows are then cut where passes and padding together cost least. 0 cuts by size alone.
    num_rows: how many rows each of `rows` stands for, where some belong together; more than `size` are a piece alone.
    """
    ordered = sorted(rows, key=length)
    before = list(itertools.accumulate((num_rows(row) for row in ordered), initial=0))
    most = size or before[-1]
    if not pass_cost:
        start = 0
        for end in range(1, len(ordered) + 1):
            if end == len(ordered) or before[end + 1] - before[start] > most:
                yield ordered[start:end]
                start = end
        return
    cheapest, starts = [0], [0]  # of the first n rows: what they cost, and where their last piece begins
    for end in range(1, len(ordered) + 1):
        width = length(ordered[end - 1])
        first = min(bisect.bisect_left(before, before[end] - most), end - 1)
        choices = [
            (cheapest[start] + (before[end] - before[start]) * width + pass_cost, start) for start in range(first, end)
        ]
        cost, start = min(choices)
        cheapest.append(cost)
        starts.append(start)
    bounds = [len(ordered)]
    while bounds[-1]:
        bounds.append(starts[bounds[-1]])
    for end, start in reversed(list(itertools.pairwise(bounds))):
        yield ordered[start:end]


def pass_cost(device: torch.device) -> int:
    """Tokens that a pass of a small model could have worked on in the time that starting it takes; measured, rough."""
    return 64 if device.type == "cpu" else 16384


def _read(path: Path, parse: Callable[[dict[str, Any]], Line]) -> list[Line]:
    if not path.is_file():
        raise ValueError(f"{path} is missing: this kind of run reads its data there.")
    lines: list[Line] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise ValueError("it is not an object")
            line = parse(values)
        except KeyError as error:
            raise ValueError(f"{path.name} line {number}: {error.args[0]!r} is missing.") from None
        except ValueError as error:
            raise ValueError(f"{path.name} line {number}: {error}.") from None
        if line.id in seen:
            raise ValueError(f"{path.name} line {number}: id {line.id!r} stands in line {seen[line.id]} already.")
        seen[line.id] = number
        lines.append(line)
    if not lines:
        raise ValueError(f"{path.name} is empty: this kind of run reads its data there.")
    return lines


def _preference(values: dict[str, Any]) -> PreferencePair:
    margin = values.get("margin")
    return PreferencePair(
        id=str(values["id"]),
        prompt_id=str(values["prompt_id"]),
        prompt=_messages(values["prompt"]),
        response_a=_text(values, "response_a"),
        response_b=_text(values, "response_b"),
        target=_number(values, "target", low=0, high=1),
        strength=_number({"strength": 0.0, **values}, "strength", low=-3, high=3),
        weight=_number({"weight": 1.0, **values}, "weight", low=0, high=math.inf),
        margin=None if margin is None else _number(values, "margin", low=0, high=math.inf),
        split=_split(values),
        votes=tuple(_number({"a vote": vote}, "a vote", low=-3, high=3) for vote in _list(values, "votes")),
    )


def _prompt(values: dict[str, Any]) -> Prompt:
    reference = None if values.get("reference") is None else _text(values, "reference")
    return Prompt(str(values["id"]), _messages(values["messages"]), reference, _split(values))


def _demonstration(values: dict[str, Any]) -> Demonstration:
    messages, response = _messages(values["prompt"]), _text(values, "response")
    return Demonstration(str(values["id"]), str(values["prompt_id"]), messages, response, _split(values))


def _answer(values: dict[str, Any]) -> Answer:
    prompt_id = str(values["prompt_id"])
    key = str(values.get("id", f"{prompt_id}/{values.get('sample', 0)}"))
    ended = values.get("ended", True) is not False
    return Answer(key, prompt_id, _messages(values["prompt"]), _text(values, "text"), ended)


def _messages(value: Any) -> Messages:
    if not isinstance(value, list) or not value:
        raise ValueError("a prompt must be a list of {role, content} messages")
    for message in value:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise ValueError("every message of a prompt must have a role and a content, both text")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _text(values: dict[str, Any], key: str) -> str:
    if not isinstance(values[key], str):
        raise ValueError(f"{key} must be text, got {values[key]!r}")
    return str(values[key])


def _number(values: dict[str, Any], key: str, *, low: float, high: float) -> float:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key} must be a finite number, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{key} must be between {low} and {high}, got {value!r}")
    return float(value)


def _list(values: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(found := values.get(key, []), list):
        raise ValueError(f"{key} must be a list, got {found!r}")
    return found


def _split(values: dict[str, Any]) -> str:
    if values["split"] not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {values['split']!r}")
    return str(values["split"])


def _refuse_leakage(path: Path, lines: Sequence[tuple[str, Messages, str]]) -> None:
    """Neither one prompt id nor one conversation under two ids may stand in two splits."""
    first_split: dict[str, str] = {}
    for prompt_id, messages, split in lines:
        for key in (f"id {prompt_id}", json.dumps(messages, sort_keys=True)):
            other = first_split.setdefault(key, split)
            if other != split:
                raise ValueError(
                    f"{path.name}: prompt {prompt_id!r} stands in the {other} and in the {split} split. Split by "
                    "prompt, or the held-out numbers would be measured on what was trained on."
                )
