"""Rows of unequal length in one line: the linear layers see real tokens only, attention each row by itself.

    enable_packing(model)                     once, after loading; does nothing to an architecture that cannot
    states = packed_states(trunk, tokens, mask, wanted)         (M, d), one for every True of `wanted`

Padding costs as much as text in every layer but attention, and cutting a batch into pieces of like length costs a pass
a piece. Here all real tokens of a batch are one row for the model, each with its own position and what rows begin with
alike only once (row_layout.py), and only the attention function lays them out row by row. It is an attention
implementation of transformers like any other, so adapters and saved models know nothing of it. Called without
`row_layout` it is `sdpa`. The last layer works out nothing that nobody reads. Left out: windows, soft caps and whatever
else needs a mask of its own; such models are padded as before.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import peft
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from training.rlhf.data import micro_batches, pass_cost
from training.rlhf.norms import fuse_norms
from training.rlhf.row_layout import RowLayout, gather, lay_out, spread

ATTENTION = "packed_rows"
PROBE_TOLERANCE = 1e-4
TOKENS_A_PASS = {"cpu": 2048, "cuda": 65536}
"""Real tokens of one pass. On a CPU more only spills out of its caches."""
LEAST_TOKENS_A_PASS = 128
"""Of one that is cut off for a thread of its own: less takes longer to start than to work on."""
WINDOWS = ("sliding_window", "attention_chunk_size", "attn_logit_softcapping", "final_logit_softcapping")
"""Settings under which attention is more than a causal mask."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    row_layout: RowLayout | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row. query, key, value: (1, heads, N, d); returns (1, N, heads, d)."""
    if row_layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)  # type: ignore[no-any-return]
    settings = {name: settings[name] for name in ("scaling", "dropout") if name in settings}
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    keys, values = (spread(tensor, row_layout) for tensor in (key, value))
    if row_layout.reads_one_a_row:
        return _attended_where_read(module, query, keys, values, row_layout, settings).unsqueeze(0), None
    attended = [
        # padding stands behind every row's own tokens, so the causal mask alone hides it
        sdpa_attention_forward(
            module, *(tensor.transpose(1, 2) for tensor in rectangle), None, is_causal=True, **settings
        )[0]
        for rectangle in zip(spread(query, row_layout), keys, values, strict=True)
    ]
    return gather(attended, row_layout).unsqueeze(0), None


def _attended_where_read(
    module: nn.Module,
    query: Tensor,
    keys: list[Tensor],
    values: list[Tensor],
    layout: RowLayout,
    settings: dict[str, Any],
) -> Tensor:
    """(N, heads, d), 0 where nobody reads. query: (N, heads, d); keys, values: (B, W, heads, d) by rectangle."""
    assert layout.read is not None
    cells, found = layout.cells[layout.read], torch.zeros_like(query)
    for (start, num_rows, width), *both in zip(layout.rectangles, keys, values, strict=True):
        here = (cells >= start) & (cells < start + num_rows * width)
        rows, last = (cells[here] - start) // width, (cells[here] - start) % width
        if not len(rows):  # all its rows end in tokens of others
            continue
        # a row may end in another's token
        key, value = (
            tensor[rows].transpose(1, 2) if len(rows) < num_rows else tensor.transpose(1, 2) for tensor in both
        )
        is_before = torch.arange(width, device=last.device) <= last.unsqueeze(1)
        read = layout.read[here]
        own = query.index_select(0, read).unsqueeze(2)
        attended: Tensor = sdpa_attention_forward(module, own, key, value, is_before[:, None, None], **settings)[0]
        found = found.index_copy(0, read, attended.squeeze(1))
    return found


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, packed_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, sdpa_mask)


def packs(model: nn.Module) -> bool:
    """Whether enable_packing found that the model can."""
    # nothing else may pose as one of them by its config: a steered policy holds a copy of its reference's
    config: Any = model.config if isinstance(model, PreTrainedModel | peft.PeftModel) else None
    return config is not None and config._attn_implementation == ATTENTION


def token_batches(
    rows: Sequence[int],
    *,
    size: int,
    length: Callable[[int], int],
    budget: int,
    at_once: int = 1,
    num_rows: Callable[[int], int] = lambda _: 1,
    num_tokens: Callable[[int], int] | None = None,
) -> Iterator[list[int]]:
    """The rows of one step in few pieces of up to `budget` tokens, about as many in each; a row longer than that is a
    piece of its own. For models that need no padding. size: rows of a piece, 0: any number. at_once: so many pieces
    share budget and size, and there are so many or a multiple, where there is enough for them. num_rows, num_tokens: of
    what belongs together and counts as one of `rows`; its `length` is that of its longest row.
    """
    weight = num_tokens or length
    ordered = sorted(rows, key=length)
    total = sum(map(weight, ordered))
    parts = max(1, min(at_once, total // LEAST_TOKENS_A_PASS)) * max(1, math.ceil(total / budget))
    share = total / parts
    size, budget = size and max(1, size // at_once), budget // at_once
    piece: list[int] = []
    held = filled = 0
    for row in ordered:
        is_full = filled + weight(row) / 2 > share or filled + weight(row) > budget
        if piece and (is_full or 0 < size < held + num_rows(row)):
            yield piece
            piece, held, filled = [], 0, 0
        piece.append(row)
        held, filled = held + num_rows(row), filled + weight(row)
    if piece:
        yield piece


def pieces(
    rows: Sequence[int],
    *,
    size: int,
    length: Callable[[int], int],
    device: torch.device,
    is_packed: bool,
    at_once: int = 1,
    num_rows: Callable[[int], int] = lambda _: 1,
    num_tokens: Callable[[int], int] | None = None,
) -> Iterator[list[int]]:
    """The rows of one step as they pass through the model: up to `size` of them (0: any number) at once, of like
    length; packed ones up to a number of tokens that keeps the device busy without filling its memory. at_once: pieces
    that are in memory together, and share both (training.rlhf.beside).
    """
    if is_packed:
        return token_batches(
            rows,
            size=size,
            length=length,
            budget=TOKENS_A_PASS[device.type],
            at_once=at_once,
            num_rows=num_rows,
            num_tokens=num_tokens,
        )
    if at_once > 1:
        size = max(1, size // at_once) if size else math.ceil(sum(map(num_rows, rows)) / at_once)
    return micro_batches(rows, size=size, length=length, pass_cost=pass_cost(device), num_rows=num_rows)


def packed_states(trunk: nn.Module, tokens: Tensor, mask: Tensor, wanted: Tensor | None = None) -> Tensor:
    """(M, d) last hidden states of the wanted tokens, row by row; None: of all real ones.

    tokens, mask, wanted: (B, L), padded on any side; wanted: bool, True nowhere but where the mask is.
    """
    layout, line, positions = lay_out(tokens, mask)
    places = layout.places if wanted is None else layout.places[wanted[mask]]
    if wanted is not None:
        is_read = torch.zeros(len(line), dtype=torch.bool, device=line.device)
        is_read[places] = True
        layout = layout._replace(read=is_read.nonzero().squeeze(1))
    output: Any = trunk(
        input_ids=line.unsqueeze(0),
        position_ids=positions.unsqueeze(0),
        # one that is complete already: the model then builds none
        attention_mask=mask.new_ones(1, 1, 1, 1),
        use_cache=False,
        row_layout=layout,
    )
    states: Tensor = output.last_hidden_state[0]
    return states.index_select(0, places)


class LastLayer:
    """A model's last layer, whose feed-forward part sees only the tokens that are read: half of that layer's work and
    more, where a reward model reads one token a row.
    """

    def __init__(self, layer: nn.Module, feed_forward: nn.Module) -> None:
        self._layer, self._feed_forward = layer.forward, feed_forward.forward
        # by thread: several may pass through the model at the same time
        self._read: dict[int, Tensor] = {}
        # not modules of their own: the names of the weights stay
        layer.forward, feed_forward.forward = self.forward, self.feed_forward

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        layout = settings.get("row_layout")
        if layout is not None and layout.read is not None:
            self._read[threading.get_ident()] = layout.read
            settings["row_layout"] = layout.for_last_layer()
        try:
            return self._layer(*inputs, **settings)
        finally:
            self._read.pop(threading.get_ident(), None)

    def feed_forward(self, states: Tensor) -> Tensor:
        """What is added to the states (1, N, d); 0 where nobody reads them."""
        read = self._read.get(threading.get_ident())
        if read is None:
            return self._feed_forward(states)  # type: ignore[no-any-return]
        found: Tensor = self._feed_forward(states.index_select(1, read))
        return found.new_zeros(states.shape).index_copy(1, read, found)


def spare_last_layer(trunk: nn.Module) -> list[nn.Module]:
    """Let the last layer leave out what nobody reads; returns whose ways were changed, none without the usual build."""
    layers = [module for module in trunk.modules() if isinstance(module, GradientCheckpointingLayer)]
    feed_forward = getattr(layers[-1], "mlp", None) if layers else None
    if not isinstance(feed_forward, nn.Module) or "forward" in vars(layers[-1]):  # or it was done before
        return []
    LastLayer(layers[-1], feed_forward)
    return [layers[-1], feed_forward]


@torch.no_grad()
def enable_packing(model: PreTrainedModel) -> bool:
    """Let the model pack if its rows then come out as they do alone, which is tried; False where they do not.

    A causal model must also give its logits by its trunk and its head alone: some scale or cap them in between.
    """
    fuse_norms(model)
    config = model.config.get_text_config()
    trunk = getattr(model, model.base_model_prefix, model)  # a model without a head is its own trunk
    if any(getattr(config, name, None) for name in WINDOWS) or not isinstance(trunk, PreTrainedModel):
        return False
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return False
    head = model.get_output_embeddings()
    if head is None:
        head = nn.Identity()
    elif not isinstance(head, nn.Linear) or head.bias is not None:
        return False
    device = next(model.parameters()).device
    tokens = torch.tensor([[0, 1, 2, 3, 0], [0, 1, 4, 5, 6]], device=device) % config.vocab_size
    mask = torch.tensor([[True] * 4 + [False], [True] * 5], device=device)
    before, was_training = model.config._attn_implementation, model.training
    model.eval()
    caller = model if isinstance(head, nn.Linear) else trunk
    alone = [
        caller(input_ids=row[own].unsqueeze(0), use_cache=False)[0][0] for row, own in zip(tokens, mask, strict=True)
    ]
    model.set_attn_implementation(ATTENTION)
    can = _gives(trunk, head, tokens, mask, torch.cat(alone), wanted=None)
    if can and (changed := spare_last_layer(trunk)):
        wanted = mask & (torch.arange(5, device=device) == mask.sum(1, keepdim=True) - 1)
        if not _gives(trunk, head, tokens, mask, torch.cat(alone)[wanted[mask]], wanted=wanted):
            for module in changed:
                del module.forward
    model.train(was_training)
    if not can:
        model.set_attn_implementation(before)
    return can


def _gives(
    trunk: nn.Module, head: nn.Module, tokens: Tensor, mask: Tensor, expected: Tensor, *, wanted: Tensor | None
) -> bool:
    """Whether packed rows come out as expected."""
    try:
        packed = head(packed_states(trunk, tokens, mask, wanted))
    except (TypeError, RuntimeError, ValueError):  # it does not pass its arguments on to attention
        return False
    return bool(
        packed.shape == expected.shape and (packed - expected).abs().max() <= PROBE_TOLERANCE * expected.abs().max()
    )
