"""Whether a reward model's probabilities can be taken at their word, and the temperature that makes them so.

Pure functions of scored pairs: the model's log-odds that a is better, and the share of people who say so. A soft target
counts as it is.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

NUM_BINS = 10
HOTTEST = 100.0
"""Temperatures are sought from 1/HOTTEST to HOTTEST; beyond, sigmoid(d/T) is a coin or a certainty anyway."""
HALVINGS = 60


class Predicted(NamedTuple):
    """One held-out pair as calibration sees it."""

    log_odds: float  # the model's, that a is better
    target: float  # P(a is better) by the people


class Bin(NamedTuple):
    """The pairs whose predicted P(a is better) falls into one tenth."""

    predicted: float  # mean of sigmoid(log-odds)
    observed: float  # mean target
    num_pairs: int


def calibration_bins(pairs: Sequence[Predicted]) -> list[Bin]:
    """Ten bins of equal width over the predicted probability; an empty one is there with its middle and no pairs."""
    members: list[list[tuple[float, float]]] = [[] for _ in range(NUM_BINS)]
    for pair in pairs:
        predicted = sigmoid(pair.log_odds)
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


def log_loss(pairs: Sequence[Predicted]) -> float:
    """Mean cross-entropy of sigmoid(log-odds) against the target, in nats."""
    return sum(_cross_entropy(*pair) for pair in pairs) / len(pairs)


def fit_temperature(pairs: Sequence[Predicted]) -> float:
    """The T > 0 of the least log loss of sigmoid(log-odds / T) (Guo et al. 2017). pairs: at least one.

    Targets are drawn towards the middle by 1/(n + 2), as Platt (1999) did: pairs that are all right would otherwise ask
    for certainty. The loss is convex in 1/T, so halving the interval in which its slope changes sign finds the minimum.
    """
    doubt = 1 / (len(pairs) + 2)
    low, high = 1 / HOTTEST, HOTTEST  # of 1/T
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        slope = math.fsum(
            (sigmoid(middle * pair.log_odds) - (pair.target * (1 - 2 * doubt) + doubt)) * pair.log_odds
            for pair in pairs
        )
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 1 / math.sqrt(low * high)


def cooled(pairs: Sequence[Predicted], temperature: float) -> list[Predicted]:
    """The pairs with their log-odds divided by the temperature."""
    return [Predicted(pair.log_odds / temperature, pair.target) for pair in pairs]


def cross_fitted(pairs: Sequence[Predicted], prompt_ids: Sequence[str]) -> list[Predicted]:
    """The pairs of each half of the prompts, cooled by the temperature that the other half asks for: what one can say
    of a temperature where no pairs but those it was fitted on are left. With a single prompt, as they are.
    """
    half = {prompt_id: number % 2 for number, prompt_id in enumerate(dict.fromkeys(prompt_ids))}
    halves = [half[prompt_id] for prompt_id in prompt_ids]
    if len(set(halves)) < 2:
        return list(pairs)
    of_half = [[pair for pair, own in zip(pairs, halves, strict=True) if own == side] for side in (0, 1)]
    asked = [fit_temperature(of_half[1]), fit_temperature(of_half[0])]
    return [cooled([pair], asked[own])[0] for pair, own in zip(pairs, halves, strict=True)]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _cross_entropy(log_odds: float, target: float) -> float:
    """-[p log sigmoid(d) + (1-p) log sigmoid(-d)], stable for large |d|."""
    return max(log_odds, 0.0) - log_odds * target + math.log1p(math.exp(-abs(log_odds)))
