"""Rows of unequal length in one line: the linear layers see real tokens only, attention each row by itself.

    enable_packing(model)                     once, after loading; does nothing to an architecture that cannot
    states = packed_states(trunk, tokens, mask)         (N, d), one for every True of the mask

Padding costs as much as text in every layer but attention, and cutting a batch into pieces of like length costs a pass
a piece. Here all real tokens of a batch are one row for the model, each with its own position, and only the attention
function lays them out row by row. It is an attention implementation of transformers like any other, so adapters and
saved models know nothing of it. Called without `row_layout` it is `sdpa`. Left out: windows, soft caps and whatever
else needs a mask of its own; such models are padded as before.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import peft
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from training.rlhf.data import micro_batches, pass_cost

ATTENTION = "packed_rows"
PROBE_TOLERANCE = 1e-4
TOKENS_A_PASS = {"cpu": 2048, "cuda": 65536}
"""Real tokens of one pass. On a CPU more only spills out of its caches."""
WINDOWS = ("sliding_window", "attention_chunk_size", "attn_logit_softcapping", "final_logit_softcapping")
"""Settings under which attention is more than a causal mask."""


class RowLayout(NamedTuple):
    """Where the N packed tokens stand in a (B, L) rectangle that is padded on the right."""

    cells: Tensor
    """(N,) cell of each packed token, row·L + column."""
    sources: Tensor
    """(B·L,) packed token of each cell; 0 in cells that are padding, which no real token attends to."""
    num_rows: int


def layout_of(mask: Tensor) -> RowLayout:
    """The layout of the True cells of a (B, L) mask, their own order kept, gaps closed."""
    lengths = mask.sum(1)
    width = int(lengths.max())
    rows = mask.nonzero(as_tuple=True)[0]
    columns = (mask.cumsum(1) - 1)[mask]
    cells = rows * width + columns
    sources = torch.zeros(len(mask) * width, dtype=torch.long, device=mask.device)
    sources[cells] = torch.arange(len(cells), device=mask.device)
    return RowLayout(cells, sources, len(mask))


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
    query, key, value = (_unpacked(tensor, row_layout) for tensor in (query, key, value))
    # padding stands behind every row's own tokens, so the causal mask alone hides it
    attended: Tensor = sdpa_attention_forward(module, query, key, value, None, is_causal=True, **settings)[0]
    return attended.flatten(0, 1).index_select(0, row_layout.cells).unsqueeze(0), None


def _unpacked(tensor: Tensor, layout: RowLayout) -> Tensor:
    """(1, heads, N, d) to (B, heads, L, d)."""
    cells = tensor[0].transpose(0, 1).index_select(0, layout.sources)
    return cells.view(layout.num_rows, -1, *cells.shape[1:]).transpose(1, 2)


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, packed_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, sdpa_mask)


def packs(model: nn.Module) -> bool:
    """Whether enable_packing found that the model can."""
    # nothing else may pose as one of them by its config: a steered policy holds a copy of its reference's
    config: Any = model.config if isinstance(model, PreTrainedModel | peft.PeftModel) else None
    return config is not None and config._attn_implementation == ATTENTION


def token_batches(rows: Sequence[int], *, size: int, length: Callable[[int], int], budget: int) -> Iterator[list[int]]:
    """The rows of one step in few pieces of up to `budget` tokens, about as many in each; a row longer than that is a
    piece of its own. For models that need no padding. size: rows of a piece, 0: any number.
    """
    ordered = sorted(rows, key=length)
    total = sum(map(length, ordered))
    share = total / max(1, math.ceil(total / budget))
    piece: list[int] = []
    filled = 0
    for row in ordered:
        is_full = filled + length(row) / 2 > share or filled + length(row) > budget
        if piece and (is_full or len(piece) == size):
            yield piece
            piece, filled = [], 0
        piece.append(row)
        filled += length(row)
    if piece:
        yield piece


def cost_of_pass(model: nn.Module) -> int:
    """data.pass_cost, of a trunk or what stands on one: unequal rows cost nothing if it packs, so it takes fewer."""
    device = next(model.parameters()).device
    return TOKENS_A_PASS[device.type] if packs(getattr(model, "trunk", model)) else pass_cost(device)


def pieces(
    rows: Sequence[int], *, size: int, length: Callable[[int], int], device: torch.device, is_packed: bool
) -> Iterator[list[int]]:
    """The rows of one step as they pass through the model: up to `size` of them (0: any number) at once, of like
    length; packed ones up to a number of tokens that keeps the device busy without filling its memory.
    """
    if is_packed:
        return token_batches(rows, size=size, length=length, budget=TOKENS_A_PASS[device.type])
    return micro_batches(rows, size=size, length=length, pass_cost=pass_cost(device))


def packed_states(trunk: nn.Module, tokens: Tensor, mask: Tensor) -> Tensor:
    """(N, d) last hidden states of the real tokens, row by row. tokens, mask: (B, L), padded on any side."""
    output: Any = trunk(
        input_ids=tokens[mask].unsqueeze(0),
        position_ids=(mask.cumsum(1) - 1)[mask].unsqueeze(0),
        # one that is complete already: the model then builds none
        attention_mask=mask.new_ones(1, 1, 1, 1),
        use_cache=False,
        row_layout=layout_of(mask),
    )
    states: Tensor = output.last_hidden_state[0]
    return states


@torch.no_grad()
def enable_packing(model: PreTrainedModel) -> bool:
    """Let the model pack if its rows then come out as they do alone, which is tried; False where they do not.

    A causal model must also give its logits by its trunk and its head alone: some scale or cap them in between.
    """
    config = model.config.get_text_config()
    trunk = getattr(model, model.base_model_prefix, None)
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
    tokens = torch.arange(10, device=device).view(2, 5) % config.vocab_size
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5], device=device)
    before, was_training = model.config._attn_implementation, model.training
    model.eval()
    caller = model if isinstance(head, nn.Linear) else trunk
    alone = [
        caller(input_ids=row[own].unsqueeze(0), use_cache=False)[0][0] for row, own in zip(tokens, mask, strict=True)
    ]
    model.set_attn_implementation(ATTENTION)
    try:
        packed = head(packed_states(trunk, tokens, mask))
    except (TypeError, RuntimeError, ValueError):  # it does not pass its arguments on to attention
        packed = torch.tensor(torch.nan)
    model.train(was_training)
    wanted = torch.cat(alone)
    if packed.shape == wanted.shape and (packed - wanted).abs().max() <= PROBE_TOLERANCE * wanted.abs().max():
        return True
    model.set_attn_implementation(before)
    return False
