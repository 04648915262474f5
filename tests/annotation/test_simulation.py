"""The stated rule worked out by hand, and simulated choices that follow it at the stated rates."""

import math
import random

import pytest

from annotation import simulation
from annotation.simulation import NOISE, TIE, compare, parts, rate, score
from training.starter import corpus

KETTLE = "The kettle arrived broken. I want a new one."
GOOD = (
    "I am sorry that your kettle is broken. I have ordered a new one for you free of charge. "
    "It will reach you by Friday. Thank you for your patience."
)
CURT = "Did you drop it?"


def test_a_very_good_reply_earns_every_point() -> None:
    """30 words; 2 matter + 1 fits + 1 sorry + 2 step + 1.5 time + 1 polite (sorry, thank you) + 1 concise + .5 end."""
    assert score(KETTLE, GOOD) == pytest.approx(10.0)


def test_a_curt_reply_that_blames_loses_more_than_it_earns() -> None:
    """4 words: -1 for the blame, -1.5 because no word of it helps, +.5 for the full sentence."""
    assert score(KETTLE, CURT) == pytest.approx(-2.0)


def test_the_wrong_thing_costs_what_the_right_one_earns() -> None:
    assert score(KETTLE, GOOD) - score(KETTLE, GOOD.replace("kettle", "lamp")) == pytest.approx(4.0)


def test_saying_it_twice_and_waffle_cost() -> None:
    twice = GOOD + " Thank you for your patience."
    assert 0 < parts(KETTLE, twice)["repeats"] < 1
    assert score(KETTLE, twice) < score(KETTLE, GOOD)
    waffle = "Our company has been serving customers with care for many years. "
    found = parts(KETTLE, waffle + GOOD)
    assert found["idle"] == pytest.approx(11 / (11 + 30))
    assert score(KETTLE, waffle + GOOD) < score(KETTLE, GOOD)


@pytest.mark.parametrize(("words", "share"), [(4, 0), (10, 0.5), (15, 1), (45, 1), (60, 0.5), (75, 0), (200, 0)])
def test_concise_by_hand(words: int, share: float) -> None:
    assert parts(KETTLE, "word " * words)["concise"] == pytest.approx(share)


def test_more_words_are_not_better() -> None:
    """A reply of filler twice as long as a good one stays far behind it: the rule is not length in disguise."""
    filler = " ".join(corpus.PHRASES["reply"]["waffle"])
    assert len(filler) > 2 * len(GOOD)
    assert score(KETTLE, filler) < score(KETTLE, GOOD) - 5


def test_an_empty_reply_is_scored_and_not_an_error() -> None:
    assert score(KETTLE, "") == pytest.approx(-1.5)


def test_the_rule_knows_the_shop() -> None:
    """Every thing and every kind of problem that the demo's customers write about is in the rule's words."""
    assert set(corpus.things()) == simulation.THINGS
    for ask in corpus.asks(3, 400):
        reply = " ".join(
            phrase.format(item=ask.item, time="today") for phrase in corpus.PHRASES["concern"][ask.concern]["problems"]
        )
        assert parts(ask.text, reply)["matter"] == 1, (ask.text, reply)
        assert parts(ask.text, reply)["fits"] == 1, (ask.text, reply)


def test_choices_follow_bradley_terry_at_the_stated_rates() -> None:
    """5,000 draws of one pair: each rate within four standard errors of σ(±Δ - TIE)."""
    middling = "I am sorry that your kettle is broken. Our repair team is there. We look into it as fast as we can."
    difference = (score(KETTLE, GOOD) - score(KETTLE, middling)) / NOISE
    assert 1 < difference < 4
    rng = random.Random(1)
    draws = [compare(KETTLE, GOOD, middling, rng=rng).strength for _ in range(5_000)]
    for sign, expected in ((1, _sigmoid(difference - TIE)), (-1, _sigmoid(-difference - TIE))):
        share = sum(draw * sign > 0 for draw in draws) / len(draws)
        assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(draws)))
    assert {-1, 0, 1, 2, 3} <= set(draws) <= set(range(-3, 4))


def test_equal_replies_are_called_even_and_sometimes_a_tie() -> None:
    rng = random.Random(2)
    draws = [compare(KETTLE, GOOD, GOOD, rng=rng) for _ in range(5_000)]
    ties = sum(draw.strength == 0 for draw in draws) / len(draws)
    assert ties == pytest.approx(1 - 2 * _sigmoid(-TIE), abs=0.02)
    assert sum(draw.strength for draw in draws) / len(draws) == pytest.approx(0, abs=0.1)
    assert not any(draw.both_bad for draw in draws)
    assert any(compare(KETTLE, CURT, CURT, rng=rng).both_bad for _ in range(100))


def test_the_same_seed_says_the_same() -> None:
    def say(seed: int) -> list[simulation.Comparison]:
        rng = random.Random(seed)
        return [compare(KETTLE, GOOD, CURT, rng=rng) for _ in range(50)]

    assert say(5) == say(5) != say(6)


@pytest.mark.parametrize("criterion", ["helpful", "polite", "correct", "anything else"])
def test_ratings_stay_on_the_scale_and_prefer_the_better(criterion: str) -> None:
    rng = random.Random(3)
    good = [rate(KETTLE, GOOD, criterion=criterion, low=1, high=5, rng=rng) for _ in range(300)]
    poor = [rate(KETTLE, CURT, criterion=criterion, low=1, high=5, rng=rng) for _ in range(300)]
    assert set(good + poor) <= {1, 2, 3, 4, 5}
    assert sum(good) > sum(poor) + 300


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
