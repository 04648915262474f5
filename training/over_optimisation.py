"""Reward against distance: what best-of-n would buy, and where the reward of this run will have its peak.

d = √KL from the reference, in nats a response. Of a policy tuned by reinforcement learning the gold reward follows
R(d) = d·(α − β·log d) over many sizes of models (Gao et al. 2022, eq. 2), whose peak is at log d = α/β − 1. Best-of-n
of the reference reaches log n − (n − 1)/n nats (Stiennon et al. 2020). The reward that is fitted here is the one the
run is paid; where another model watches it is that one, because the paid one need not fall.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.curves import Chart, Values
from training.models import Metric, Run
from training.points import newest_step

NUM_RESAMPLES = 200
NUM_GRID = 60
FEWEST = 8
"""Points below which nothing is fitted."""
MOST_N = 1024
MOST_STEPS = 500


@dataclass(frozen=True)
class Fit:
    """R(d) − R(0) = d·(α − β·log d), with what resampling the steps says about it."""

    start: float
    """The reward at d = 0."""
    alpha: float
    beta: float
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    """95 % band over the steps, resampled."""

    @property
    def peak(self) -> tuple[float, float] | None:
        """(d, reward) of the peak; None where the curve does not bend down."""
        if self.beta <= 0:
            return None
        d = math.exp(min(self.alpha / self.beta - 1, 50.0))
        return d, self.start + d * (self.alpha - self.beta * math.log(d))

    @property
    def is_peak_near(self) -> bool:
        """Whether it lies where the data can say anything about it: not beyond twice the farthest step."""
        return self.peak is not None and self.peak[0] <= 2 * self.x[-1]


def of_run(run: Run) -> Fit | None:
    """The fit of what a policy run has measured so far: of the model that watches where there is one."""
    rows = _rows(run)
    metric = "reward/watched" if run.watcher_id else "reward/mean"
    pairs = [(math.sqrt(max(each["kl/sequence"], 0.0)), each[metric]) for each in rows if metric in each]
    return fit(pairs, start=rows[0][metric]) if pairs else None


def lines(run: Run, chart: Chart) -> dict[str, dict[str, list[float]]]:
    """The chart's lines beside the measured one, by source: x, y and the band (low, high)."""
    rows = _rows(run)
    if not rows:
        return {}
    farthest = max(math.sqrt(max(each["kl/sequence"], 0.0)) for each in rows)
    x, y = best_of_n(rows[0]["reward/mean"], rows[0]["reward/std"], farthest=farthest)
    found = {"best_of_n": {"x": x, "y": y, "low": y, "high": y}}
    if (fitted := of_run(run)) is not None:
        found["fit"] = {"x": fitted.x, "y": fitted.y, "low": fitted.low, "high": fitted.high}
    return {chart.source(line): found[line.metric] for line in chart.beside if line.metric in found}


def _rows(run: Run) -> list[Values]:
    """At most MOST_STEPS of its steps, evenly spaced, the first among them."""
    rows = Metric.objects.filter(run=run, values__has_keys=["kl/sequence", "reward/mean", "reward/std"])
    newest = newest_step(run) or 0
    if newest > MOST_STEPS:
        first = rows.order_by("step").values_list("step", flat=True)[:1]
        rows = rows.filter(step__in=[*first, *range(0, newest + 1, newest // MOST_STEPS)])
    return list(rows.order_by("step").values_list("values", flat=True))


def fit(points: Sequence[tuple[float, float]], *, start: float, seed: int = 0) -> Fit | None:
    """The least-squares fit of (d, reward) pairs; None of too few, or where they do not leave the start."""
    moved = [(d, reward) for d, reward in points if d > 0.05]
    if len(moved) < FEWEST or max(d for d, _ in moved) < 0.5:
        return None
    d, reward = np.array(moved, dtype=float).T
    terms, gains = _terms(d), reward - start
    (alpha, beta), *_rest = np.linalg.lstsq(terms, gains, rcond=None)
    grid = np.linspace(d.max() / NUM_GRID, 1.5 * d.max(), NUM_GRID)
    chance = np.random.default_rng(seed)
    resampled = []
    for _ in range(NUM_RESAMPLES):
        rows = chance.integers(len(d), size=len(d))
        found, *_rest = np.linalg.lstsq(terms[rows], gains[rows], rcond=None)
        resampled.append(_terms(grid) @ found)
    low, high = np.percentile(np.array(resampled), [2.5, 97.5], axis=0)
    drawn = [(values + start).tolist() for values in (_terms(grid) @ np.array([alpha, beta]), low, high)]
    return Fit(start, float(alpha), float(beta), grid.tolist(), *drawn)


def _terms(d: np.ndarray) -> np.ndarray:
    """(N, 2): R is linear in α and β."""
    return np.stack([d, -d * np.log(d)], axis=1)


def best_of_n(mean: float, deviation: float, *, farthest: float) -> tuple[list[float], list[float]]:
    """(√KL, expected reward) of the best of n answers of the reference, n = 1, 2, 4, … up to the distance given.

    Scores are taken as normal with the reference's mean and standard deviation.
    """
    x: list[float] = []
    y: list[float] = []
    n = 1
    while n <= MOST_N and (not x or x[-1] <= farthest):
        x.append(math.sqrt(math.log(n) - (n - 1) / n))
        y.append(mean + deviation * _expected_maximum(n))
        n *= 2
    return x, y


def _expected_maximum(n: int) -> float:
    """Of n standard normal draws: ∫ z·n·φ(z)·Φ(z)^(n−1) dz, by the trapezoid rule."""
    normal = statistics.NormalDist()
    z = np.linspace(-9.0, 9.0, 3601)
    phi = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    cumulative = np.array([normal.cdf(each) for each in z])
    return float(np.trapezoid(z * n * phi * cumulative ** (n - 1), z))
