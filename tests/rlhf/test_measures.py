"""Held-out numbers, worked out by hand."""

import math

import pytest

from training.rlhf.measures import (
    ScoredPair,
    accuracy,
    calibration,
    expected_calibration_error,
    held_out_report,
    length_baseline,
    log_loss,
    wilson_share,
)


def pair(difference, target, *, strength=1.0, length_a=1, length_b=1):
    return ScoredPair(difference, target, strength, length_a, length_b)


def logit(probability):
    return math.log(probability / (1 - probability))


def test_wilson_interval_of_a_textbook_case():
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 15 of 148 gives 0.0624 to 0.1605."""
    for successes, total, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        share = wilson_share(successes, total)
        assert share.low == pytest.approx(low, abs=5e-5) and share.high == pytest.approx(high, abs=5e-5)
    assert wilson_share(0, 0) is None


def test_accuracy_leaves_ties_out_and_gives_equal_scores_half():
    pairs = [pair(1.0, 1.0), pair(-1.0, 0.9), pair(-2.0, 0.0), pair(0.0, 1.0), pair(5.0, 0.5)]
    assert accuracy(pairs).value == 2.5 / 4 and accuracy(pairs).total == 4


def test_the_length_baseline_sees_lengths_alone():
    pairs = [pair(9.0, 1.0, length_a=3), pair(9.0, 0.0, length_a=3), pair(-9.0, 0.0, length_b=5), pair(9.0, 1.0)]
    assert length_baseline(pairs).value == 2.5 / 4


def test_log_loss_is_cross_entropy_and_does_not_overflow():
    assert log_loss([pair(0.0, 1.0)]) == pytest.approx(math.log(2))
    expected = -(0.7 * math.log(0.8) + 0.3 * math.log(0.2))
    assert log_loss([pair(logit(0.8), 0.7)]) == pytest.approx(expected)
    assert log_loss([pair(-1000.0, 1.0)]) == pytest.approx(1000)


def test_calibration_error_is_the_weighted_distance():
    """Three at 0.85 of which one is right: |0.85 - 1/3| * 3/4; one at 0.15 that is right as predicted 0.15: 0.85/4."""
    pairs = [pair(logit(0.85), target) for target in (1.0, 0.0, 0.0)] + [pair(logit(0.15), 1.0)]
    bins = calibration(pairs)
    assert [bin_.num_pairs for bin_ in bins] == [0, 1, 0, 0, 0, 0, 0, 0, 3, 0]
    assert expected_calibration_error(bins) == pytest.approx((0.85 - 1 / 3) * 3 / 4 + 0.85 / 4)
    assert calibration([pair(1000.0, 1.0)])[9].num_pairs == 1


def test_the_report_tells_strengths_apart_and_survives_ties_alone():
    report = held_out_report([pair(1.0, 1.0, strength=2.6), pair(1.0, 0.0, strength=-1.0), pair(1.0, 0.5, strength=0)])
    assert {key: value["accuracy"] for key, value in report["accuracy_by_strength"].items()} == {"1": 0.0, "3": 1.0}
    assert report["num_pairs"] == 3 and report["num_decided"] == 2 and report["accuracy"] == 0.5
    assert held_out_report([pair(1.0, 0.5)])["accuracy"] is None
