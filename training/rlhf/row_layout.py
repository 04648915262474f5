"""Where the tokens of several rows stand once they are one line: no padding, and what rows begin with alike only once.

    layout, tokens, positions = lay_out(tokens, mask)       from (B, L), padded on any side
    rectangles = spread(per_token, layout)                  (N, ...) to some (B, W, ...), W the longest row there
    per_token = gather(rectangles, layout)                  and back

A causal model reads a prompt the same way whatever answer follows. So rows are put in order, and each is kept from
where it parts from the row before it: both answers of a pair, all answers of a ranking and all samples of a prompt
share one reading of it, in both directions. Attention pays for the square of a rectangle's width, so short rows have
rectangles of their own where that saves something.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

MOST_RECTANGLES = 4
WORTH = 4_000, 0.1
"""What a further rectangle has to save, in numbers of a head's scores and as a share of all: it is one call more."""


class Rectangle(NamedTuple):
    """Rows that are attended to together."""

    start: int
    """Of its cells among those of all rectangles."""
    num_rows: int
    width: int
    """Tokens of its longest row."""

    @property
    def end(self) -> int:
        return self.start + self.num_rows * self.width


class RowLayout(NamedTuple):
    """N tokens, and rectangles with the B rows that they spell, padded on the right; C cells in all."""

    cells: Tensor
    """(N,) the cell of each token: the first one, where several rows share it."""
    rows: Tensor
    """(N,) the row of that cell."""
    sources: Tensor
    """(C,) the token of each cell; 0 in cells that are padding."""
    shared_cells: Tensor
    """(S,) the cells whose token stands in an earlier row."""
    rectangles: tuple[Rectangle, ...]
    places: Tensor
    """(R,) the token of every True of the mask, row by row as the mask has them."""
    read: Tensor | None = None
    """(M,) tokens whose last state somebody asks for, each once; None: all."""
    reads_one_a_row: bool = False
    """In the last layer, where this is so; what is not read has no part in anything there."""

    @property
    def is_rectangle(self) -> bool:
        """Rows of one length that share nothing: the tokens lie as the cells do."""
        return len(self.cells) == len(self.sources) and len(self.rectangles) == 1

    def for_last_layer(self) -> "RowLayout":
        """The same, for a layer that nothing but `read` comes out of."""
        assert self.read is not None
        rows = self.rows[self.read]
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
    rectangles, starts = cut([sum(token >= 0 for token in texts[row]) for row in order.tolist()])
    cell = torch.tensor(starts, device=mask.device).unsqueeze(1) + torch.arange(width, device=mask.device)
    of_cells = sources.new_zeros(rectangles[-1].end)
    of_cells[cell[is_real]] = sources[is_real]
    own_rows, positions = is_kept.nonzero(as_tuple=True)
    layout = RowLayout(
        cells=cell[is_kept],
        rows=own_rows,
        sources=of_cells,
        shared_cells=cell[is_shared],
        rectangles=rectangles,
        places=sources[place[rows], columns],
    )
    return LaidOut(layout, aligned[is_kept], positions)


def cut(lengths: Sequence[int]) -> tuple[tuple[Rectangle, ...], list[int]]:
    """The rectangles, shortest rows first, and each row's first cell. Rows keep their order within a rectangle: what is
    read of every row of one comes out in the order in which its keys lie.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    ends, whole = [len(order)], len(order) * lengths[order[-1]] ** 2
    while len(ends) < MOST_RECTANGLES:
        # the rows below one further cut, each as wide as the longest of them
        bounds = [0, *ends]
        saved, at = max(
            (
                (at - start) * (lengths[order[end - 1]] ** 2 - lengths[order[at - 1]] ** 2),
                at,
            )
            for start, end in zip(bounds, ends, strict=False)
            for at in range(start + 1, end + 1)
        )
        if saved <= max(WORTH[0], WORTH[1] * whole):
            break
        ends = sorted([*ends, at])
    rectangles: list[Rectangle] = []
    starts = [0] * len(lengths)
    for begin, end in zip([0, *ends], ends, strict=False):
        members = sorted(order[begin:end])
        rectangle = Rectangle(
            rectangles[-1].end if rectangles else 0, len(members), max(map(lengths.__getitem__, members))
        )
        for number, row in enumerate(members):
            starts[row] = rectangle.start + number * rectangle.width
        rectangles.append(rectangle)
    return tuple(rectangles), starts


def spread(per_token: Tensor, layout: RowLayout) -> list[Tensor]:
    """(B, W, ...) of each rectangle: what each cell's token has; in padding something finite, whose gradient is not
    looked at.
    """
    found: Tensor = per_token if layout.is_rectangle else _Spread.apply(per_token, layout)
    if len(layout.rectangles) == 1:
        return [found.unflatten(0, layout.rectangles[0][1:])]
    parts = found.split([rectangle.end - rectangle.start for rectangle in layout.rectangles])
    return [part.unflatten(0, rectangle[1:]) for part, rectangle in zip(parts, layout.rectangles, strict=True)]


def gather(per_cell: Sequence[Tensor], layout: RowLayout) -> Tensor:
    """(N, ...) what stands in each token's first cell. per_cell: (B, W, ...) of each rectangle."""
    flat = [part.flatten(0, 1) for part in per_cell]
    whole = flat[0] if len(flat) == 1 else torch.cat(flat)
    found: Tensor = whole if layout.is_rectangle else _Gather.apply(whole, layout)
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
