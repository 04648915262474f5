"""How numbers are spread: counts in at most MOST_BINS bins. Standard library only.

    spread([0.1, 0.2, 1.3])  ->  {"width": 0.0625, "first": 1, "counts": [1, 0, 1, 0, ...]}

Bin i of a width holds [i·width, (i + 1)·width). Widths are powers of two and edges are whole multiples of them, so the
bins of two steps are the same or nest, and any steps can be added up without moving a number across an edge.
"""

import math
from collections.abc import Sequence
from typing import Any

MOST_BINS = 24
SMALLEST_WIDTH = 2.0**-10
"""Numbers that are all alike need a bin too; finer than this no reward is read."""


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Counts of finite numbers, one at least: {"width", "first": the number of the first bin, "counts"}."""
    low, high = min(values), max(values)
    width = max(SMALLEST_WIDTH, 2.0 ** math.ceil(math.log2((high - low) / MOST_BINS))) if high > low else SMALLEST_WIDTH
    while math.floor(high / width) - math.floor(low / width) >= MOST_BINS:  # an edge may fall badly
        width *= 2
    first = math.floor(low / width)
    counts = [0] * (math.floor(high / width) - first + 1)
    for value in values:
        counts[math.floor(value / width) - first] += 1
    return {"width": width, "first": first, "counts": counts}
