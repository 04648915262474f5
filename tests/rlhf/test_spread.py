"""Numbers counted in bins of a width that nests."""

import math
import random

import pytest

from training.rlhf.spread import MOST_BINS, SMALLEST_WIDTH, spread


def test_by_hand() -> None:
    assert spread([-0.5, 0.0, 0.0, 11.5]) == {"width": 1.0, "first": -1, "counts": [1, 2, *[0] * 10, 1]}
    assert spread([2.0, 2.0]) == {"width": SMALLEST_WIDTH, "first": 2048, "counts": [2]}


@pytest.mark.parametrize("seed", range(30))
def test_every_number_is_in_its_bin(seed: int) -> None:
    rng = random.Random(seed)
    scale, shift = 10 ** rng.uniform(-5, 4), rng.uniform(-9, 9)
    values = [shift + scale * rng.gauss(0, 1) for _ in range(rng.randint(1, 60))]
    found = spread(values)
    assert math.log2(found["width"]).is_integer()
    assert 1 <= len(found["counts"]) <= MOST_BINS
    assert sum(found["counts"]) == len(values)
    for place, count in enumerate(found["counts"], start=found["first"]):
        low, high = place * found["width"], (place + 1) * found["width"]
        assert count == sum(low <= value < high for value in values)
    assert found["counts"][0] and found["counts"][-1], "no empty bins at either end"


@pytest.mark.parametrize("shift", [0.0, 0.3, -7.9])
def test_bins_are_no_wider_than_they_must_be(shift: float) -> None:
    found = spread([shift, shift + 3.0])
    assert found["width"] in (0.125, 0.25)
