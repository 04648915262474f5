"""The figures over a model diff, with their intervals: who wins, by how much, how the changes are spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from training.diffs import Diff
from training.reward_report import Share

NUM_BINS = 21
Z95 = 1.959964


@dataclass(frozen=True)
class DiffReport:
    """The figures over a model diff: who wins by reward, by how much, and how the changes are spread."""

    diff: Diff

    @property
    def num_scored(self) -> int:
        return len(self.diff.reward_changes)

    @property
    def wins(self) -> Share | None:
        """Prompts on which b scores higher, with the 95 % interval of Wilson (equal rewards count half)."""
        share = self.diff.win_rate
        return None if share is None else Share(share, *wilson(share, self.num_scored))

    @property
    def change(self) -> Share | None:
        """Mean change of the reward with a 95 % interval (normal, over prompts)."""
        return mean_with_interval(self.diff.reward_changes)

    @property
    def kl(self) -> Share | None:
        """Mean KL of b from a, in nats an answer, with a 95 % interval (normal, over prompts)."""
        return mean_with_interval(self.diff.kls)

    @property
    def spread(self) -> list[tuple[str, int]]:
        """How many prompts by change of the reward, in bins of equal width around 0."""
        widest = max(map(abs, self.diff.reward_changes), default=0.0)
        return histogram(self.diff.reward_changes, low=-widest, high=widest)


def mean_with_interval(values: Sequence[float]) -> Share | None:
    """None of fewer than two values, which have no spread."""
    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    half = Z95 * statistics.stdev(values) / math.sqrt(len(values))
    return Share(mean, mean - half, mean + half)


def histogram(values: Sequence[float], *, low: float, high: float) -> list[tuple[str, int]]:
    """How many of the values lie in each of NUM_BINS equal bins from low to high: (middle of the bin, count)."""
    if high <= low:
        return []
    width = (high - low) / NUM_BINS
    counts = [0] * NUM_BINS
    for value in values:
        counts[min(int((value - low) / width), NUM_BINS - 1)] += 1
    return [(f"{low + (index + 0.5) * width:+.2f}", count) for index, count in enumerate(counts)]


def wilson(share: float, num: float) -> tuple[float, float]:
    """The 95 % score interval of a share among `num` (Wilson 1927)."""
    centre = (share + Z95**2 / (2 * num)) / (1 + Z95**2 / num)
    half = Z95 / (1 + Z95**2 / num) * math.sqrt(share * (1 - share) / num + Z95**2 / (4 * num**2))
    return centre - half, centre + half
