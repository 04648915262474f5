"""The Bradley–Terry model of sources that were compared in pairs: pure functions of numpy arrays.

P(i is chosen over j) = σ(θ_i − θ_j + γ·d), where d is how much longer i's answer is (Bradley and Terry 1952; with the
covariate as in Agresti, Categorical Data Analysis, 11.6). A tie is half a win for each. γ is left out (0) in the raw
model.

Every source also plays PRIOR virtual ties against an average one (θ = 0). So one that has always won gets a high but
finite strength, and one that was never compared stands at the average. With hundreds of labels a source the prior moves
nothing that is seen.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PRIOR = 1.0
"""Virtual ties of each source (and of the length) against the average: the weight of one label."""
MAX_ITERATIONS = 200
TOLERANCE = 1e-6
"""Of the last step, in units of θ; Newton's steps square the error, so the answer is far closer."""
LARGEST_STEP = 1.0
"""Of one Newton step, in units of θ: unlimited, it overshoots where a source nearly always wins."""
AT_ONCE = 2_000_000
"""Numbers held in memory for replicates that are fitted together."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """What was compared: (first, second, d) each once, sorted, so that the cells of a pair stand together."""

    first: Integers
    second: Integers
    """Of each cell, the number of the source."""
    length: Floats
    """Of each cell, d: how much longer the first's answer is, in standard deviations."""
    num_sources: int

    @property
    def starts(self) -> Integers:
        """Where each pair's cells begin."""
        new = np.ones(len(self.first), dtype=bool)
        new[1:] = (np.diff(self.first) != 0) | (np.diff(self.second) != 0)
        return np.flatnonzero(new)


@dataclasses.dataclass(frozen=True)
class Fit:
    """One row a replicate."""

    strength: Floats
    """(replicates, sources): θ, with a mean of 0."""
    length_effect: Floats
    """(replicates,): γ, log odds for one standard deviation more; 0 in the raw model."""
    has_converged: bool


def fit(cells: Cells, wins: Floats, num: Floats, *, with_length: bool, prior: float = PRIOR) -> Fit:
    """The posterior mode for each replicate, by Newton's method.

    wins, num: (replicates, cells); how often the first was chosen (ties: half), of how many comparisons. Weights may be
    fractions. Of a prior of 0 the caller knows that a finite answer exists.
    """
    chunk = max(AT_ONCE // max(wins.shape[1], cells.num_sources**2, 1), 1)
    # The first is fitted alone, and all others begin where it ended: two or three steps from there instead of ten.
    parts = [_fit(cells, wins[:1], num[:1], with_length=with_length, prior=prior)]
    found = np.append(parts[0].strength[0], parts[0].length_effect[0])
    for start in range(1, len(wins), chunk):
        some = slice(start, start + chunk)
        parts.append(_fit(cells, wins[some], num[some], with_length=with_length, prior=prior, begin=found))
    strength = np.concatenate([part.strength for part in parts])
    effects = np.concatenate([part.length_effect for part in parts])
    return Fit(strength - strength.mean(axis=1, keepdims=True), effects, all(part.has_converged for part in parts))


def _fit(
    cells: Cells, wins: Floats, num: Floats, *, with_length: bool, prior: float, begin: Floats | float = 0.0
) -> Fit:
    replicates, size = len(wins), cells.num_sources
    at = np.zeros((replicates, size + 1)) + begin  # θ of every source, then γ
    for _iteration in range(MAX_ITERATIONS):
        gradient, hessian = _derivatives(cells, wins, num, at, prior=prior)
        if not with_length:
            gradient[:, size] = 0
            hessian[:, size, :], hessian[:, :, size], hessian[:, size, size] = 0, 0, 1
        if prior == 0:  # θ is known up to a constant: hold the first where it is
            gradient[:, 0] = 0
            hessian[:, 0, :], hessian[:, :, 0], hessian[:, 0, 0] = 0, 0, 1
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        largest = np.abs(step).max(axis=1, keepdims=True)
        at += step * np.minimum(1, LARGEST_STEP / np.maximum(largest, TOLERANCE))
        if largest.max() < TOLERANCE:
            return Fit(at[:, :size], at[:, size], True)
    return Fit(at[:, :size], at[:, size], False)


def _derivatives(cells: Cells, wins: Floats, num: Floats, at: Floats, *, prior: float) -> tuple[Floats, Floats]:
    """Gradient and negative Hessian of the log posterior: (replicates, k) and (replicates, k, k), γ in the last."""
    size, starts = cells.num_sources, cells.starts
    first, second = cells.first[starts], cells.second[starts]
    chosen = _sigmoid(at[:, cells.first] - at[:, cells.second] + at[:, [size]] * cells.length)
    residual, weight = wins - num * chosen, num * chosen * (1 - chosen)

    def by_pair(values: Floats) -> Floats:
        return np.add.reduceat(values, starts, axis=1)

    of_average = _sigmoid(at)
    gradient = prior * (0.5 - of_average)
    curvature = prior * of_average * (1 - of_average)
    signs = np.zeros((len(starts), size))
    signs[np.arange(len(starts)), first], signs[np.arange(len(starts)), second] = 1, -1
    gradient[:, :size] += by_pair(residual) @ signs
    gradient[:, size] += (residual * cells.length).sum(axis=1)

    pairs, crossed = by_pair(weight), by_pair(weight * cells.length) @ signs
    hessian = np.zeros((len(wins), size + 1, size + 1))
    hessian[:, first, second] = hessian[:, second, first] = -pairs
    curvature[:, :size] += pairs @ np.abs(signs)
    curvature[:, size] += (weight * cells.length**2).sum(axis=1)
    hessian[:, :size, size] = hessian[:, size, :size] = crossed
    places = np.arange(size + 1)
    hessian[:, places, places] = curvature
    return gradient, hessian


def _sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))


def connected(num_sources: int, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> list[list[int]]:
    """The sources in groups that were never compared with each other; the largest first."""
    reach = np.eye(num_sources, dtype=bool)
    reach[first, second] = reach[second, first] = True
    return _groups(_closure(reach))


def unbroken(num_sources: int, winner: npt.NDArray[Any], loser: npt.NDArray[Any]) -> list[list[int]]:
    """The sources in groups inside which everybody is beaten, perhaps through others, by everybody (Ford 1957).

    More groups than `connected` finds: some always won against others, and without a prior their lead is infinite.
    winner, loser: each pair in which the first won, or tied, at least once.
    """
    reach = np.eye(num_sources, dtype=bool)
    reach[winner, loser] = True
    reach = _closure(reach)
    return _groups(reach & reach.T)


def _closure(reach: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    for through in range(len(reach)):
        reach |= reach[:, [through]] & reach[[through], :]
    return reach


def _groups(together: npt.NDArray[np.bool_]) -> list[list[int]]:
    groups = {tuple(np.flatnonzero(row).tolist()) for row in together}
    return sorted((list(group) for group in groups), key=lambda group: (-len(group), group))
