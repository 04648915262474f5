"""How the rewards of a step's answers are spread, and how that moves while a run trains: the trainer's counts
(training/rlhf/spread.py) brought to common bins.

    panels(run)      a few stretches of the run, the first and the newest among them, over the same bins
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.models import Metric, Run

REWARD = "reward"
PANELS = 6
STRETCH = 8
"""Steps that a panel adds up, at most: the answers of a single step are too few for a smooth picture."""
MOST_BINS = 32

Counted = Mapping[str, Any]
"""{"width", "first", "counts"} as the trainer wrote it."""


@dataclass(frozen=True)
class Bin:
    low: float
    high: float
    count: int

    @property
    def range(self) -> str:
        """As figures with a true minus."""
        return f"{self.low:g} … {self.high:g}".replace("-", "\u2212")


@dataclass(frozen=True)
class Panel:
    """Some steps' answers by their reward; all panels of a picture have the same bins."""

    first_step: int
    last_step: int
    bins: list[Bin]

    @property
    def num(self) -> int:
        return sum(each.count for each in self.bins)

    @property
    def low(self) -> float:
        return self.bins[0].low

    @property
    def high(self) -> float:
        return self.bins[-1].high

    @property
    def bars(self) -> list[tuple[str, int]]:
        return [(each.range, each.count) for each in self.bins]


def panels(run: Run) -> list[Panel]:
    """At most PANELS, oldest first; none of a run that wrote no such counts. Three queries, however long the run is."""
    rows = Metric.objects.filter(run=run)
    newest = rows.order_by("-step").values_list("step", "spreads").first()
    if newest is None or REWARD not in (newest[1] or {}):
        return []
    first, last = rows.order_by("step").values_list("step", flat=True)[:1].get(), newest[0]
    stretches = list(_stretches(first, last))
    wanted = {step for stretch in stretches for step in stretch}
    found = rows.filter(step__in=wanted).values_list("step", "spreads")
    counted = {step: kept[REWARD] for step, kept in found if kept and REWARD in kept}
    groups = [[step for step in stretch if step in counted] for stretch in stretches]
    return over_common_bins([(group, [counted[step] for step in group]) for group in groups if group])


def of_summary(run: Run) -> list[Panel]:
    """The one panel of a run that only measures."""
    counted = run.summary.get("reward/spread")
    return over_common_bins([([0], [counted])]) if counted else []


def table(run: Run, *, most: int = 20) -> list[Panel]:
    """Single steps, evenly spaced over the run, the first and the last among them."""
    rows = Metric.objects.filter(run=run, spreads__has_key=REWARD).order_by("step")
    steps = list(rows.values_list("step", flat=True))
    chosen = evenly(steps, most)
    found = rows.filter(step__in=chosen).values_list("step", "spreads")
    return over_common_bins([([step], [kept[REWARD]]) for step, kept in found if kept])


def evenly(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of them, the first and the last among them."""
    last = len(steps) - 1
    return sorted({steps[round(index * last / (most - 1))] for index in range(most)}) if steps else []


def _stretches(first: int, last: int) -> Iterator[range]:
    """Up to PANELS stretches of one length that do not overlap, evenly spaced from the first step to the last."""
    num = last - first + 1
    size = max(1, min(STRETCH, num // PANELS))
    starts = {first + round(index * (num - size) / (PANELS - 1)) for index in range(PANELS)}
    for start in sorted(starts):
        yield range(start, start + size)


def over_common_bins(groups: Sequence[tuple[Sequence[int], Sequence[Counted]]]) -> list[Panel]:
    """Each group of steps added up; all over the same bins, MOST_BINS at most."""
    everything = [counted for _steps, several in groups for counted in several]
    if not everything:
        return []
    width = max(counted["width"] for counted in everything)
    while True:
        sums = [_sum(several, width) for _steps, several in groups]
        low, high = min(min(each) for each in sums), max(max(each) for each in sums)
        if high - low < MOST_BINS:
            break
        width *= 2
    return [
        Panel(
            steps[0], steps[-1],
            [Bin(bin_ * width, (bin_ + 1) * width, counts.get(bin_, 0)) for bin_ in range(low, high + 1)],
        )
        for (steps, _several), counts in zip(groups, sums, strict=True)
    ]  # fmt: skip


def _sum(several: Sequence[Counted], width: float) -> dict[int, int]:
    """Bin to count at this width, which is a whole multiple of every width given."""
    found: dict[int, int] = {}
    for counted in several:
        ratio = round(width / counted["width"])
        for place, count in enumerate(counted["counts"], start=counted["first"]):
            if count:
                found[place // ratio] = found.get(place // ratio, 0) + count
    return found
