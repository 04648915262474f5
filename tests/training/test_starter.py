"""The starter's text: the same seed writes the same, and it is as uneven as the demo needs it."""

import random
import statistics

from annotation.simulation import score
from training.starter import corpus


def test_the_corpus_is_deterministic() -> None:
    def write(seed: int) -> list[tuple[str, str]]:
        rng = random.Random(seed)
        return [(ask.text, corpus.reply(ask, rng)) for ask in corpus.asks(seed, 200)]

    assert write(1) == write(1) != write(2)


def test_asks_differ_and_avoid_what_they_should() -> None:
    first = {ask.text for ask in corpus.asks(1, 500)}
    assert len(first) == 500
    assert not first & {ask.text for ask in corpus.asks(1, 500, avoid=frozenset(first))}


def test_no_slot_is_left_unfilled() -> None:
    rng = random.Random(4)
    for ask in corpus.asks(4, 2000):
        text = ask.text + corpus.reply(ask, rng)
        assert "{" not in text and "  " not in text, text


def test_replies_are_good_middling_and_poor() -> None:
    rng = random.Random(5)
    scores = [score(ask.text, corpus.reply(ask, rng)) for ask in corpus.asks(5, 1000)]
    assert 3 < statistics.mean(scores) < 7
    assert sum(value > 8 for value in scores) > 150
    assert sum(value < 2 for value in scores) > 150
