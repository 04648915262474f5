"""Held-out numbers, worked out by hand."""

import math
import random

import pytest

from training.rlhf.calibration import (
    Predicted,
    calibration_bins,
    cooled,
    expected_calibration_error,
    fit_temperature,
    log_loss,
)
from training.rlhf.measures import (
    ScoredPair,
    accuracy,
    calibrated,
    held_out_report,
    human_ceiling,
    length_baseline,
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
    assert log_loss([Predicted(0.0, 1.0)]) == pytest.approx(math.log(2))
    expected = -(0.7 * math.log(0.8) + 0.3 * math.log(0.2))
    assert log_loss([Predicted(logit(0.8), 0.7)]) == pytest.approx(expected)
    assert log_loss([Predicted(-1000.0, 1.0)]) == pytest.approx(1000)


def test_calibration_error_is_the_weighted_distance():
    """Three at 0.85 of which one is right: |0.85 - 1/3| * 3/4; one at 0.15 that is right as predicted 0.15: 0.85/4."""
    pairs = [Predicted(logit(0.85), target) for target in (1.0, 0.0, 0.0)] + [Predicted(logit(0.15), 1.0)]
    bins = calibration_bins(pairs)
    assert [bin_.num_pairs for bin_ in bins] == [0, 1, 0, 0, 0, 0, 0, 0, 3, 0]
    assert expected_calibration_error(bins) == pytest.approx((0.85 - 1 / 3) * 3 / 4 + 0.85 / 4)
    assert calibration_bins([Predicted(1000.0, 1.0)])[9].num_pairs == 1


def test_the_report_tells_strengths_apart_and_survives_ties_alone():
    report = held_out_report([pair(1.0, 1.0, strength=2.6), pair(1.0, 0.0, strength=-1.0), pair(1.0, 0.5, strength=0)])
    assert {key: value["accuracy"] for key, value in report["accuracy_by_strength"].items()} == {"1": 0.0, "3": 1.0}
    assert report["num_pairs"] == 3 and report["num_decided"] == 2 and report["accuracy"] == 0.5
    assert held_out_report([pair(1.0, 0.5)])["accuracy"] is None


# --- temperature ---------------------------------------------------------------------------------------------------


def drawn(num, *, factor, seed=0):
    """Pairs whose people follow sigmoid(d), told by a model that says factor·d; a prompt of two pairs each."""
    chance = random.Random(seed)
    found = []
    for index in range(num):
        truth = chance.gauss(0, 1.5)
        target = float(chance.random() < 1 / (1 + math.exp(-truth)))
        found.append(pair(factor * truth, target)._replace(prompt_id=str(index // 2)))
    return found


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_a_wrong_scale(factor):
    fitted_on, held_out = drawn(4000, factor=factor), drawn(4000, factor=factor, seed=1)
    found = calibrated(fitted_on, held_out)
    assert found.temperature == pytest.approx(factor, rel=0.1)
    before = held_out_report(held_out)
    assert found.report["ece_calibrated"] < 0.025
    if factor != 1.0:
        assert found.report["ece_calibrated"] < 0.4 * before["ece"]
        assert found.report["log_loss_calibrated"] < before["log_loss"] - 0.02
    assert found.report["calibrated_on"] == "the validation split"
    assert sum(each["n"] for each in found.report["calibration_calibrated"]) == 4000


def test_the_temperature_is_the_minimum_of_the_loss():
    pairs = [Predicted(each.difference, each.target) for each in drawn(300, factor=2.0)]
    best = fit_temperature(pairs)
    doubt = 1 / 302
    smoothed = [Predicted(each.log_odds, each.target * (1 - 2 * doubt) + doubt) for each in pairs]
    losses = [log_loss(cooled(smoothed, best * factor)) for factor in (0.97, 1.0, 1.03)]
    assert min(losses) == losses[1]


def test_pairs_that_are_all_right_do_not_ask_for_certainty():
    found = fit_temperature([Predicted(2.0, 1.0)] * 8)
    assert 1 / (1 + math.exp(-2.0 / found)) == pytest.approx(0.9, abs=1e-6)  # Platt: (8 + 1)/(8 + 2)
    assert fit_temperature([Predicted(0.0, 1.0)]) > 0


def test_where_only_one_split_is_held_out_its_halves_tell_of_each_other():
    """Two prompts that want opposite temperatures: fitted and measured on the same pairs, nobody would see it."""
    pairs = [pair(2.0, 0.9)._replace(prompt_id="sure")] * 20 + [pair(2.0, 0.6)._replace(prompt_id="unsure")] * 20
    found = calibrated(pairs, pairs)
    assert found.report["calibrated_on"] == "two halves of the held-out prompts"
    assert found.report["ece_calibrated"] == pytest.approx(0.3, abs=0.03)
    alone = [each._replace(prompt_id="one") for each in pairs]
    assert calibrated(alone, alone).report["ece_calibrated"] == held_out_report(alone)["ece"]


# --- people --------------------------------------------------------------------------------------------------------


def test_the_ceiling_is_how_often_two_people_agree():
    """First pair: 3 votes for a and 1 against make 6 twos, of which 3 agree. Second: one of two, who disagree."""
    pairs = [
        pair(1.0, 0.75)._replace(votes=(1.0, 2.0, 3.0, -1.0)),
        pair(-1.0, 0.5)._replace(votes=(1.0, -2.0)),
        pair(-1.0, 1.0)._replace(votes=(1.0,)),  # nobody to compare with
        pair(-1.0, 1.0)._replace(votes=(1.0, 0.0)),  # a tie has no side
        pair(-1.0, 1.0),
    ]
    found = human_ceiling(pairs)
    assert found.people.value == pytest.approx((3 / 6 + 0) / 2) and found.num_votes == 6
    assert found.model.value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found.people.total == 2 and found.people.low < found.people.value < found.people.high
    assert human_ceiling(pairs[2:]) is None
    report = held_out_report(pairs)
    assert report["human_agreement"] == 0.25 and report["human_agreement_pairs"] == 2
    assert report["human_agreement_of_model"] == 0.625
    assert held_out_report(pairs[2:])["human_agreement"] is None


def test_the_ceiling_of_people_who_err_at_random():
    """Right with probability 0.8 each: two agree with 0.8² + 0.2²; a model that is right agrees with 0.8 of them."""
    chance = random.Random(3)
    pairs = [
        pair(1.0, 1.0)._replace(votes=tuple(1.0 if chance.random() < 0.8 else -1.0 for _ in range(2 + index % 4)))
        for index in range(3000)
    ]
    found = human_ceiling(pairs)
    assert found.people.value == pytest.approx(0.68, abs=0.02) and found.model.value == pytest.approx(0.8, abs=0.02)
