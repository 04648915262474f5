"""Answers from a causal model, with the log-probability of every token; and the same log-probabilities by one full
pass.

    responses = sample(model, prompts, stop_ids=..., pad_id=..., max_tokens=64, temperature=1.0, generator=generator)
    response_logprobs(model, responses, temperature=1.0)

Tokens are drawn from softmax(logits / temperature) and from nothing else: no top-p, no top-k, no penalties, because the
log-probabilities that training needs are those of exactly this distribution. The prompts of a batch are padded on the
left while sampling; what is returned is padded on the right, where a causal model never sees it, so that a full pass
needs no attention mask and a row's numbers do not depend on its neighbours.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from training.rlhf.data import Encoded, pad_rows
from training.rlhf.distributed import every, num_processes
from training.rlhf.heads import head_of, picked_logprobs, trunk_of
from training.rlhf.inputs import forward_names
from training.rlhf.losses import token_logprobs
from training.rlhf.packing import packed_states, packs
from training.rlhf.token_steps import TokenStep, hidden_keys, token_step

COMPACT_BELOW = 0.75
"""Finished rows leave the batch once fewer than this share of it are still at work: copying the cache has to pay."""


Watch = Callable[[Tensor], bool]
"""Called with what is written so far, (B, t) int64, before each further token; True ends the sampling there."""


class Responses(NamedTuple):
    """B answers to B prompts. N counts the response tokens of all rows, in row-major order of the mask."""

    tokens: Tensor
    """(B, L) int64: prompt, then response, then padding."""
    prompt_lengths: Tensor
    """(B,) int64."""
    mask: Tensor
    """(B, T) bool, T = max_tokens: True on response tokens up to and including the first stop token."""
    logprobs: Tensor
    """(B, T) in nats, of the distribution sampled from, as the sampler saw it; 0 where the mask is False."""
    ended: Tensor
    """(B,) bool: the model wrote a stop token by itself."""

    def lengths(self) -> Tensor:
        """(B,) tokens of prompt and response together."""
        return self.prompt_lengths + self.mask.sum(1)

    def take(self, rows: Tensor, *, width: int = 0) -> "Responses":
        """These rows, cut to their own longest prompt with response, and to `width` response columns (0: the
        longest).
        """
        picked = Responses(*(field[rows] for field in self))
        columns = width or int(picked.mask.sum(1).max())
        return picked._replace(
            tokens=picked.tokens[:, : int(picked.lengths().max())],
            mask=picked.mask[:, :columns],
            logprobs=picked.logprobs[:, :columns],
        )

    def texts(self) -> list[list[int]]:
        """The response tokens of each row, stop token included."""
        return [
            row[start : start + count].tolist()
            for row, start, count in zip(
                self.tokens.cpu(), self.prompt_lengths.tolist(), self.mask.sum(1).tolist(), strict=True
            )
        ]


@torch.no_grad()
def sample(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Collection[int],
    pad_id: int,
    max_tokens: int,
    temperature: float,
    generator: torch.Generator,
    watch: Watch | None = None,
) -> Responses:
    """One response of up to `max_tokens` tokens to each prompt.

    temperature 0 takes the likeliest token (its log-probability is then given at temperature 1). All random numbers are
    drawn before the first token, one a row and position, so that a row's answer does not depend on when others finish.
    generator: on the CPU. pad_id may equal a stop id: masks are built from lengths, never from ids. watch: by whoever
    wants to see the tokens as they come.
    """
    if not prompts or min(len(prompt) for prompt in prompts) == 0:
        raise ValueError("every prompt needs at least one token to answer to")
    device = next(model.parameters()).device
    uniform = torch.rand(len(prompts), max_tokens, generator=generator, dtype=torch.float64).to(device)
    stops = torch.tensor(sorted(stop_ids), device=device)
    decoder = _Decoder(model, prompts, pad_id=pad_id, max_tokens=max_tokens)
    written = torch.full((len(prompts), max_tokens), pad_id, device=device)
    logprobs = torch.zeros(
        len(prompts), max_tokens, dtype=torch.promote_types(decoder.dtype, torch.float32), device=device
    )
    mask = torch.zeros(len(prompts), max_tokens, dtype=torch.bool, device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)

    rows = torch.arange(len(prompts), device=device)
    """Which prompt each row of the shrinking batch answers."""
    for t in range(max_tokens):
        tokens, said = _draw(decoder.logits(), uniform[rows, t], temperature)
        at_work = ~ended[rows]
        live = rows[at_work]
        written[live, t] = tokens[at_work]
        logprobs[live, t] = said[at_work].to(logprobs.dtype)
        mask[live, t] = True
        ended[live] = torch.isin(tokens[at_work], stops)
        at_work = ~ended[rows]
        num_at_work = int(at_work.sum())
        if num_at_work == 0 or (watch is not None and watch(written[:, : t + 1])):
            break
        if num_at_work < COMPACT_BELOW * len(rows):
            decoder.keep(at_work.nonzero().squeeze(1))
            rows, tokens = rows[at_work], tokens[at_work]
        decoder.feed(tokens)
    return _right_padded(prompts, written, logprobs, mask, ended, pad_id=pad_id)


def _draw(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """One token a row by inverting the cumulative distribution, and its log-probability, float64.

    logits: (B, V); uniform: (B,) in [0, 1), float64.
    """
    # float64: with a large vocabulary a float32 running sum loses the tail's probabilities.
    probabilities = torch.softmax(logits.double() / (temperature or 1.0), -1)
    if temperature == 0:
        tokens = logits.argmax(-1)
    else:
        cumulative = probabilities.cumsum(-1)
        target = uniform.unsqueeze(1) * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, target, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)
    return tokens, probabilities.gather(1, tokens.unsqueeze(1)).squeeze(1).log()


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


class _RoomyLayer(DynamicLayer):
    """Keys and values of one layer in memory that is there from the start: DynamicLayer copies all for every token."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._all_keys, self._all_values = (
                states.new_empty(*states.shape[:2], self._room, states.shape[3])
                for states in (key_states, value_states)
            )
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        self._all_keys[:, :, start:end], self._all_values[:, :, start:end] = key_states, value_states
        self.keys, self.values = self._all_keys[:, :, :end], self._all_values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        end = self.get_seq_length()
        self._all_keys, self._all_values = self._all_keys[indices], self._all_values[indices]
        self.keys, self.values = self._all_keys[:, :, :end], self._all_values[:, :, :end]


class _Decoder:
    """A model with its key-value cache over a batch of left-padded prompts, one token at a time.

    A prompt that stands in the batch several times is read once.
    """

    def __init__(self, model: nn.Module, prompts: Sequence[Sequence[int]], *, pad_id: int, max_tokens: int) -> None:
        device = next(model.parameters()).device
        numbers: dict[tuple[int, ...], int] = {}
        which = [numbers.setdefault(tuple(prompt), len(numbers)) for prompt in prompts]
        self._copies = torch.tensor(which, device=device) if len(numbers) < len(prompts) else None
        width = max(map(len, numbers))
        rows = [[pad_id] * (width - len(prompt)) + list(prompt) for prompt in numbers]
        lengths = torch.tensor([len(prompt) for prompt in numbers], device=device)
        self._model = model
        self.dtype = next(model.parameters()).dtype
        self._is_padded = int(lengths.min()) < width
        self._mask = (torch.arange(width, device=device) >= width - lengths.unsqueeze(1)).long()
        self._positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        self._input = torch.tensor(rows, device=device)
        self._cache = DynamicCache(config=model.config)
        # layers of another kind, with a window say, keep what they need and no more
        self._cache.layers = [
            _RoomyLayer(width + max_tokens) if type(layer) is DynamicLayer else layer for layer in self._cache.layers
        ]
        self._step: TokenStep | None = None
        """How further tokens are read, once the prompts are."""

    def logits(self) -> Tensor:
        """(B, V) for the next token of every row."""
        if self._step is not None:
            hidden = hidden_keys(self._mask, self.dtype) if self._is_padded else None
            return _at_least_float32(self._step(self._input, self._positions, hidden, self._cache.layers))
        output: Any = self._model(
            input_ids=self._input,
            # Without padding the model builds its plain causal mask, which is cheaper.
            attention_mask=self._mask if self._is_padded else None,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        if self._copies is not None:
            self.keep(self._copies)
            logits, self._copies = logits[self._copies], None
        if all(type(layer) is _RoomyLayer for layer in self._cache.layers):
            self._step = token_step(self._model)
        return _at_least_float32(logits)

    def feed(self, tokens: Tensor) -> None:
        """tokens: (B,) what each row wrote last."""
        self._input = tokens.unsqueeze(1)
        self._positions = self._positions[:, -1:] + 1
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, rows: Tensor) -> None:
        """These rows go on, each as often as it stands here. rows: int64."""
        self._cache.batch_select_indices(rows)
        self._mask, self._positions = self._mask[rows], self._positions[rows]


def _right_padded(
    prompts: Sequence[Sequence[int]], written: Tensor, logprobs: Tensor, mask: Tensor, ended: Tensor, *, pad_id: int
) -> Responses:
    counts = mask.sum(1).tolist()
    width = max(len(prompt) + count for prompt, count in zip(prompts, counts, strict=True))
    tokens = torch.full((len(prompts), width), pad_id, device=written.device)
    for row, (prompt, count) in enumerate(zip(prompts, counts, strict=True)):
        tokens[row, : len(prompt)] = torch.tensor(prompt, device=written.device)
        tokens[row, len(prompt) : len(prompt) + count] = written[row, :count]
    return Responses(
        tokens=tokens,
        prompt_lengths=torch.tensor([len(prompt) for prompt in prompts], device=written.device),
        mask=mask,
        logprobs=logprobs,
        ended=ended,
    )


def gathered(mine: Responses | None, *, pad_id: int, device: torch.device) -> Responses:
    """The responses of all processes, in their order, where each sampled some; None: this one sampled none."""
    if num_processes() == 1:
        assert mine is not None
        return mine
    sent = None if mine is None else Responses(*(field.cpu() for field in mine))
    parts = [part for part in every(sent) if part is not None]
    width = max(part.tokens.shape[1] for part in parts)
    padded = [
        part._replace(tokens=F.pad(part.tokens, (0, width - part.tokens.shape[1]), value=pad_id)) for part in parts
    ]
    return Responses(*(torch.cat(fields).to(device) for fields in zip(*padded, strict=True)))


def given_responses(rows: Sequence[Encoded], *, stop_id: int, device: torch.device) -> Responses:
    """Answers from elsewhere in the shape that sampled ones have; their sampler's log-probabilities are unknown (0)."""
    tokens = pad_rows([row.prompt + row.response for row in rows], side="right").tokens
    mask = pad_rows([row.response for row in rows], side="right").mask
    return Responses(
        tokens=tokens.to(device),
        prompt_lengths=torch.tensor([len(row.prompt) for row in rows], device=device),
        mask=mask.to(device),
        logprobs=torch.zeros(mask.shape, device=device),
        ended=torch.tensor([row.response[-1] == stop_id for row in rows], device=device),
    )


def response_states(model: nn.Module, responses: Responses, counts: Tensor) -> Tensor:
    """(M, d) hidden states in which the tokens of `counts` are chosen, of a causal model that packs."""
    return trunk_states(trunk_of(model), responses, counts)


def trunk_states(trunk: nn.Module, responses: Responses, counts: Tensor) -> Tensor:
    """The same, of a model without a head. counts: (B, T) bool, the response mask or one slot more; what stands behind
    a row's last such state is not passed through the model.
    """
    lengths = responses.prompt_lengths + counts.sum(1) - 1
    columns = torch.arange(responses.tokens.shape[1], device=counts.device)
    rows, offsets = counts.nonzero(as_tuple=True)
    wanted = torch.zeros_like(responses.tokens, dtype=torch.bool)
    wanted[rows, responses.prompt_lengths[rows] - 1 + offsets] = True
    return packed_states(trunk, responses.tokens, columns < lengths.unsqueeze(1), wanted)


def response_logits(model: nn.Module, responses: Responses) -> Tensor:
    """(N, V) logits that predict each response token, from one pass; prompt positions get none, padding does no
    work.
    """
    first = int(responses.prompt_lengths.min()) - 1
    width = responses.tokens.shape[1] - 1
    # Padding stands behind every row's own tokens, so the causal mask alone hides it and no attention mask is needed.
    inputs: dict[str, Any] = {"input_ids": responses.tokens[:, :width]}
    names = forward_names(model)
    if "use_cache" in names:
        inputs["use_cache"] = False
    if "logits_to_keep" in names:
        inputs["logits_to_keep"] = width - first
    logits: Tensor = model(**inputs).logits[:, first - width :]
    rows, offsets = responses.mask.nonzero(as_tuple=True)
    columns = responses.prompt_lengths[rows] - 1 + offsets - first
    return logits.flatten(0, 1).index_select(0, rows * logits.shape[1] + columns)


def response_tokens(responses: Responses) -> Tensor:
    """(N,) the response tokens themselves."""
    rows, offsets = responses.mask.nonzero(as_tuple=True)
    return responses.tokens[rows, responses.prompt_lengths[rows] + offsets]


def response_logprobs(model: nn.Module, responses: Responses, *, temperature: float) -> Tensor:
    """(N,) log-probability in nats of each response token at the sampling temperature, with gradient where enabled."""
    if packs(model):
        states = response_states(model, responses, responses.mask)
        return picked_logprobs(states, head_of(model), response_tokens(responses), temperature=temperature).logprobs
    return token_logprobs(response_logits(model, responses), response_tokens(responses), temperature=temperature)


def at_responses(per_position: Tensor, responses: Responses, mask: Tensor) -> Tensor:
    """(M,) what stands where each token of `mask` is predicted. per_position: (B, L); mask: (B, T) bool, M True.

    Column t of the mask is predicted at position prompt_length − 1 + t.
    """
    rows, offsets = mask.nonzero(as_tuple=True)
    return per_position.flatten().index_select(
        0, rows * per_position.shape[1] + responses.prompt_lengths[rows] - 1 + offsets
    )


def as_grid(flat: Tensor, mask: Tensor) -> Tensor:
    """(B, T) with the N values of `flat` where `mask` is True and 0 elsewhere; no gradient passes."""
    grid = torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device)
    grid[mask] = flat.detach()
    return grid
