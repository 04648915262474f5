"""Where the tokens of several rows stand once they are one line: no padding, and what rows begin with alike only once.

    layout, tokens, positions = lay_out(tokens, mask)       from (B, L), padded on any side
    cells = spread(per_token, layout)                       (N, ...) to (B, W, ...), W the longest row
    per_token = gather(cells, layout)                       and back

A causal model reads a prompt the same way whatever answer follows. So rows are put in order, and each is kept from
where it parts from the row before it: both answers of a pair, all answers of a ranking and all samples of a prompt
share one reading of it, in both directions.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class RowLayout(NamedTuple):
    """N tokens, and the (B, W) rectangle of the rows that they spell, padded on the right."""

    cells: Tensor
    """(N,) the cell of each token, row·W + column: the first one, where several rows share it."""
    sources: Tensor
    """(B·W,) the token of each cell; 0 in cells that are padding."""
    shared_cells: Tensor
    """(S,) the cells whose token stands in an earlier row."""
    num_rows: int
    places: Tensor
    """(R,) the token of every True of the mask, row by row as the mask has them."""
    read: Tensor | None = None
    """(M,) tokens whose last state somebody asks for, each once; None: all."""
    reads_one_a_row: bool = False
    """In the last layer, where this is so; what is not read has no part in anything there."""

    @property
    def width(self) -> int:
        """W, the tokens of the longest row."""
        return len(self.sources) // self.num_rows

    @property
    def is_rectangle(self) -> bool:
        """Rows of one length that share nothing: the tokens lie as the cells do."""
        return len(self.cells) == len(self.sources)

    def for_last_layer(self) -> "RowLayout":
        """The same, for a layer that nothing but `read` comes out of."""
        assert self.read is not None
        rows = self.cells[self.read] // self.width
        return self._replace(reads_one_a_row=len(rows.unique()) == len(rows))


class LaidOut(NamedTuple):
    """A layout with its tokens (N,) and their positions (N,) in their rows."""

    layout: RowLayout
    tokens: Tensor
    positions: Tensor


def lay_out(tokens: Tensor, mask: Tensor) -> LaidOut:
    """The rows of a (B, L) rectangle without what they share and without gaps. tokens: int64; mask: bool."""
    lengths = mask.sum(1)
    width = int(lengths.max())
    rows, columns = mask.nonzero(as_tuple=True)[0], (mask.cumsum(1) - 1)[mask]
    aligned = tokens.new_full((len(mask), width), -1)
    aligned[rows, columns] = tokens[mask]
    texts = aligned.tolist()
    order = torch.tensor(sorted(range(len(texts)), key=texts.__getitem__), device=mask.device)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=mask.device)
    aligned = aligned[order]

    is_real = aligned >= 0
    is_shared = torch.zeros_like(is_real)
    is_shared[1:] = ((aligned[1:] == aligned[:-1]) & is_real[1:]).int().cumprod(1).bool()
    is_kept = is_real & ~is_shared
    number = (is_kept.flatten().cumsum(0) - 1).view(is_kept.shape)
    # going up a column from a shared cell, the first that is kept holds its token
    owner = torch.where(is_kept, torch.arange(len(order), device=mask.device).unsqueeze(1), 0).cummax(0).values
    sources = torch.where(is_real, number.gather(0, owner), 0)
    cells = is_kept.flatten().nonzero().squeeze(1)
    layout = RowLayout(
        cells=cells,
        sources=sources.flatten(),
        shared_cells=is_shared.flatten().nonzero().squeeze(1),
        num_rows=len(order),
        places=sources[place[rows], columns],
    )
    return LaidOut(layout, aligned.flatten()[cells], cells % width)


def spread(per_token: Tensor, layout: RowLayout) -> Tensor:
    """(B, W, ...) what each cell's token has; in padding something finite, whose gradient is not looked at."""
    if layout.is_rectangle:
        return per_token.unflatten(0, (layout.num_rows, -1))
    found: Tensor = _Spread.apply(per_token, layout)
    return found.view(layout.num_rows, -1, *per_token.shape[1:])


def gather(per_cell: Tensor, layout: RowLayout) -> Tensor:
    """(N, ...) what stands in each token's first cell. per_cell: (B, W, ...)."""
    if layout.is_rectangle:
        return per_cell.flatten(0, 1)
    found: Tensor = _Gather.apply(per_cell.flatten(0, 1), layout)
    return found


class _Spread(torch.autograd.Function):
    """A copy by index, whose backward pass is one as well; torch's own adds up row after row, one at a time."""

    @staticmethod
    def forward(ctx: Any, per_token: Tensor, layout: RowLayout) -> Tensor:
        ctx.layout = layout
        return per_token.index_select(0, layout.sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), layout = gradients, ctx.layout
        found = gradient.index_select(0, layout.cells)
        if len(layout.shared_cells):
            found.index_add_(0, layout.sources[layout.shared_cells], gradient[layout.shared_cells])
        return found, None


class _Gather(torch.autograd.Function):
    """As _Spread, the other way round: a cell that is shared or padding has no part in what comes out."""

    @staticmethod
    def forward(ctx: Any, per_cell: Tensor, layout: RowLayout) -> Tensor:
        ctx.layout, ctx.num_cells = layout, len(per_cell)
        return per_cell.index_select(0, layout.cells)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        found = gradient.new_zeros(ctx.num_cells, *gradient.shape[1:])
        return found.index_copy_(0, ctx.layout.cells, gradient), None
