"""A share of right ones (gold tasks answered right, say) with its interval."""

from __future__ import annotations

import math
from typing import NamedTuple

Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution: two sides of 95 %."""


class Share(NamedTuple):
    """right of num; value, low and high are None when num is 0."""

    right: float
    num: float
    value: float | None
    low: float | None
    high: float | None


def share(right: float, num: float) -> Share:
    """right/num with Wilson's (1927) 95 % score interval: it keeps within 0 … 1 and holds for few trials.

    right may hold halves (a tie where one of two is right). Raises ValueError unless 0 ≤ right ≤ num.
    """
    if not 0 <= right <= num:
        raise ValueError(f"right must be between 0 and {num}, got {right}")
    if num == 0:
        return Share(right, num, None, None, None)
    p, spread = right / num, Z * Z / num
    centre = (p + spread / 2) / (1 + spread)
    half = Z * math.sqrt(p * (1 - p) / num + spread / (4 * num)) / (1 + spread)
    return Share(right, num, p, max(0.0, centre - half), min(1.0, centre + half))
