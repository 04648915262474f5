"""How good a reward model is on pairs it has not learned from, with the uncertainty of each number. Pure functions.

Accuracy leaves ties out (a tie has no right side); log loss and calibration use the soft target as it is. A pair whose
two scores (or lengths) are equal counts as half right: so does a coin.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

NUM_BINS = 10
Z_95 = 1.959963984540054


class ScoredPair(NamedTuple):
    """One held-out pair and what the model made of it."""

    difference: float  # raw score of a minus that of b: the model's log-odds that a is better
    target: float  # P(a is better) by the people
    strength: float  # their mean signed judgment
    length_a: int  # response tokens
    length_b: int


class Share(NamedTuple):
    """A proportion with its 95 % interval."""

    value: float
    low: float
    high: float
    total: int


def wilson_share(successes: float, total: int) -> Share | None:
    """successes / total with Wilson's score interval (1927, 95 %); None of nothing."""
    if total == 0:
        return None
    share = successes / total
    squared = Z_95**2 / total
    centre = (share + squared / 2) / (1 + squared)
    half = Z_95 * math.sqrt(share * (1 - share) / total + squared / (4 * total)) / (1 + squared)
    return Share(share, max(0.0, centre - half), min(1.0, centre + half), total)


def accuracy(pairs: Sequence[ScoredPair]) -> Share | None:
    """Share of decided pairs whose better response has the higher score."""
    return _agreement([(pair.difference, pair.target) for pair in pairs])


def length_baseline(pairs: Sequence[ScoredPair]) -> Share | None:
    """What "the longer one wins" would reach on the same pairs."""
    return _agreement([(float(pair.length_a - pair.length_b), pair.target) for pair in pairs])


def log_loss(pairs: Sequence[ScoredPair]) -> float:
    """Mean cross-entropy of sigmoid(difference) against the target, in nats."""
    return sum(_cross_entropy(pair.difference, pair.target) for pair in pairs) / len(pairs)


class Bin(NamedTuple):
    """The pairs whose predicted P(a is better) falls into one tenth."""

    predicted: float  # mean of sigmoid(difference)
    observed: float  # mean target
    num_pairs: int


def calibration(pairs: Sequence[ScoredPair]) -> list[Bin]:
    """Ten bins of equal width over the predicted probability; an empty one is there with its middle and no pairs."""
    members: list[list[tuple[float, float]]] = [[] for _ in range(NUM_BINS)]
    for pair in pairs:
        predicted = _sigmoid(pair.difference)
        members[min(int(predicted * NUM_BINS), NUM_BINS - 1)].append((predicted, pair.target))
    bins = []
    for index, content in enumerate(members):
        middle = (index + 0.5) / NUM_BINS
        count = max(1, len(content))
        predicted = sum(predicted for predicted, _ in content) / count if content else middle
        bins.append(Bin(predicted, sum(target for _, target in content) / count, len(content)))
    return bins


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of predicted and observed, weighted by how many pairs a bin has (Naeini et al. 2015)."""
    return sum(abs(bin_.predicted - bin_.observed) * bin_.num_pairs for bin_ in bins) / sum(
        bin_.num_pairs for bin_ in bins
    )


def held_out_report(pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    """Every number of a reward model's page, JSON-ready; None where all pairs were ties. pairs: at least one."""
    bins = calibration(pairs)
    right, longer = accuracy(pairs), length_baseline(pairs)
    strengths = sorted({round(abs(pair.strength)) for pair in pairs})
    by_strength = {
        str(strength): accuracy([pair for pair in pairs if round(abs(pair.strength)) == strength])
        for strength in strengths
    }
    return {
        "num_pairs": len(pairs),
        "num_decided": right.total if right else 0,
        "accuracy": right.value if right else None,
        "accuracy_low": right.low if right else None,
        "accuracy_high": right.high if right else None,
        "log_loss": log_loss(pairs),
        "ece": expected_calibration_error(bins),
        "calibration": [{"predicted": b.predicted, "observed": b.observed, "n": b.num_pairs} for b in bins],
        "length_baseline_accuracy": longer.value if longer else None,
        "length_baseline_low": longer.low if longer else None,
        "length_baseline_high": longer.high if longer else None,
        "accuracy_by_strength": {
            strength: {"accuracy": share.value, "low": share.low, "high": share.high, "num_pairs": share.total}
            for strength, share in by_strength.items()
            if share
        },
    }


def _agreement(judged: Sequence[tuple[float, float]]) -> Share | None:
    """judged: (how far a leads, target) pairs."""
    decided = [(lead, target > 0.5) for lead, target in judged if target != 0.5]
    right = sum(0.5 if lead == 0 else float((lead > 0) == a_is_better) for lead, a_is_better in decided)
    return wilson_share(right, len(decided))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _cross_entropy(difference: float, target: float) -> float:
    """-[p log sigmoid(d) + (1-p) log sigmoid(-d)], stable for large |d|."""
    return max(difference, 0.0) - difference * target + math.log1p(math.exp(-abs(difference)))
