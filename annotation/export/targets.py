"""What several people's strengths come to: pure functions, no database.

Several annotators on one pair give a soft target p = Σ w·g(s) / Σ w, the probability that the first answer is better.
s is the signed strength, positive when the first answer is better; w is the annotator's weight (1 unless told).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

from annotation.consensus import Vote

Grading = Literal["choice", "graded"]


def grade(strength: float, *, grading: Grading, kappa: float) -> float:
    """g(s), the probability that one vote stands for: 0.5 for a tie; a choice is 1 or 0, or σ(κ·s) when graded."""
    if grading == "graded":
        return 1 / (1 + math.exp(-kappa * strength))
    if grading != "choice":
        raise ValueError(f"grading must be choice or graded, got {grading!r}")
    return 0.5 if strength == 0 else float(strength > 0)


def target(votes: Collection[Vote], *, grading: Grading, kappa: float) -> float:
    """p = Σ w·g(s) / Σ w. Raises ValueError when there is no vote with a weight."""
    return _mean([(grade(vote.strength, grading=grading, kappa=kappa), vote.weight) for vote in votes])


def mean_strength(votes: Collection[Vote]) -> float:
    """Σ w·s / Σ w, −3 … 3."""
    return _mean([(vote.strength, vote.weight) for vote in votes])


def rating_score(values: Collection[tuple[int, int, float]]) -> float:
    """One person's ratings of one answer as one number, higher is better; two scores are at most 1 apart.

    values: (value from 1, the scale's last step, the criterion's weight) for each criterion; a negative weight is of a
    criterion where less is better. Raises ValueError when no criterion has a weight.
    """
    total = math.fsum(abs(weight) for _value, _scale_max, weight in values)
    if total == 0:
        raise ValueError("Give at least one criterion a weight: ratings become preferences by it.")
    return math.fsum(weight * (value - 1) / (scale_max - 1) for value, scale_max, weight in values) / total


def _mean(weighted: Collection[tuple[float, float]]) -> float:
    total = math.fsum(weight for _value, weight in weighted)
    if total <= 0:
        raise ValueError("At least one vote needs a weight above 0.")
    return math.fsum(value * weight for value, weight in weighted) / total
