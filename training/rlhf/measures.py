"""How good a reward model is on pairs it has not learned from, with the uncertainty of each number. Pure functions.

Accuracy leaves ties out (a tie has no right side); log loss and calibration use the soft target as it is. A pair whose
two scores (or lengths) are equal counts as half right: so does a coin.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from training.rlhf.calibration import (
    Bin,
    Predicted,
    calibration_bins,
    cooled,
    cross_fitted,
    expected_calibration_error,
    fit_temperature,
    log_loss,
)

Z_95 = 1.959963984540054


class ScoredPair(NamedTuple):
    """One held-out pair and what the model made of it."""

    difference: float  # raw score of a minus that of b: the model's log-odds that a is better
    target: float  # P(a is better) by the people
    strength: float  # their mean signed judgment
    length_a: int  # response tokens
    length_b: int
    prompt_id: str = ""
    votes: tuple[float, ...] = ()  # signed judgments of single people


class Share(NamedTuple):
    """A proportion with its 95 % interval."""

    value: float
    low: float
    high: float
    total: int


class Ceiling(NamedTuple):
    """How often two people say the same, and how often the model says what one of them says, on the same pairs."""

    people: Share
    model: Share
    num_votes: int


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


def human_ceiling(pairs: Sequence[ScoredPair]) -> Ceiling | None:
    """What a model of these labels can be held against: two people's agreement (as InstructGPT and Stiennon et al. 2020
    report it), and the model's with one person, on pairs that two or more have judged.

    Votes that are ties have no side and are left out. Every pair counts once, however many voted on it, so Wilson's
    interval over pairs is on the safe side. None where no pair has two votes with a side.
    """
    people, model, num_votes, num_pairs = 0.0, 0.0, 0, 0
    for pair in pairs:
        for_a, for_b = sum(vote > 0 for vote in pair.votes), sum(vote < 0 for vote in pair.votes)
        total = for_a + for_b
        if total < 2:
            continue
        num_pairs, num_votes = num_pairs + 1, num_votes + total
        people += (math.comb(for_a, 2) + math.comb(for_b, 2)) / math.comb(total, 2)
        model += 0.5 if pair.difference == 0 else (for_a if pair.difference > 0 else for_b) / total
    of_people, of_model = wilson_share(people, num_pairs), wilson_share(model, num_pairs)
    return Ceiling(of_people, of_model, num_votes) if of_people and of_model else None


def held_out_report(pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    """Every number of a reward model's page, JSON-ready; None where all pairs were ties. pairs: at least one."""
    predicted = _predicted(pairs)
    bins = calibration_bins(predicted)
    right, longer, ceiling = accuracy(pairs), length_baseline(pairs), human_ceiling(pairs)
    strengths = sorted({round(abs(pair.strength)) for pair in pairs})
    by_strength = {
        str(strength): accuracy([pair for pair in pairs if round(abs(pair.strength)) == strength])
        for strength in strengths
    }
    return {
        "num_pairs": len(pairs),
        "num_decided": right.total if right else 0,
        **_interval("accuracy", right),
        "log_loss": log_loss(predicted),
        "ece": expected_calibration_error(bins),
        "calibration": _as_json(bins),
        "length_baseline_accuracy": longer.value if longer else None,
        "length_baseline_low": longer.low if longer else None,
        "length_baseline_high": longer.high if longer else None,
        **_interval("human_agreement", ceiling.people if ceiling else None),
        **_interval("human_agreement_of_model", ceiling.model if ceiling else None),
        "human_agreement_pairs": ceiling.people.total if ceiling else 0,
        "human_agreement_votes": ceiling.num_votes if ceiling else 0,
        "accuracy_by_strength": {
            strength: {"accuracy": share.value, "low": share.low, "high": share.high, "num_pairs": share.total}
            for strength, share in by_strength.items()
            if share
        },
    }


class Calibrated(NamedTuple):
    """A temperature, and what it does on held-out pairs that did not decide it."""

    temperature: float
    report: dict[str, Any]
    """JSON-ready, to stand beside held_out_report's numbers from before."""


def calibrated(fitted_on: Sequence[ScoredPair], held_out: Sequence[ScoredPair]) -> Calibrated:
    """Fit the temperature on some pairs and measure it on others; on the same, each half of the prompts tells of the
    other.
    """
    temperature = fit_temperature(_predicted(fitted_on))
    if fitted_on == held_out:
        after = cross_fitted(_predicted(held_out), [pair.prompt_id for pair in held_out])
        how = "two halves of the held-out prompts"
    else:
        after, how = cooled(_predicted(held_out), temperature), "the validation split"
    return Calibrated(temperature, _with_temperature(after, temperature) | {"calibrated_on": how})


def as_calibrated(held_out: Sequence[ScoredPair], temperature: float) -> dict[str, Any]:
    """What a temperature that is given does on these pairs, to stand beside held_out_report's numbers."""
    return _with_temperature(cooled(_predicted(held_out), temperature), temperature)


def _with_temperature(after: Sequence[Predicted], temperature: float) -> dict[str, Any]:
    bins = calibration_bins(after)
    return {
        "temperature": temperature,
        "log_loss_calibrated": log_loss(after),
        "ece_calibrated": expected_calibration_error(bins),
        "calibration_calibrated": _as_json(bins),
    }


def _predicted(pairs: Sequence[ScoredPair]) -> list[Predicted]:
    return [Predicted(pair.difference, pair.target) for pair in pairs]


def _as_json(bins: Sequence[Bin]) -> list[dict[str, float]]:
    return [{"predicted": bin_.predicted, "observed": bin_.observed, "n": bin_.num_pairs} for bin_ in bins]


def _interval(name: str, share: Share | None) -> dict[str, float | None]:
    value, low, high = share[:3] if share else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _agreement(judged: Sequence[tuple[float, float]]) -> Share | None:
    """judged: (how far a leads, target) pairs."""
    decided = [(lead, target > 0.5) for lead, target in judged if target != 0.5]
    right = sum(0.5 if lead == 0 else float((lead > 0) == a_is_better) for lead, a_is_better in decided)
    return wilson_share(right, len(decided))
