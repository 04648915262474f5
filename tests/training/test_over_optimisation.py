"""Reward against distance: the fit finds the curve it was drawn from, best of n is what order statistics say."""

import math

import numpy as np
import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from tests.training.fence import Cast, check
from training.models import Metric, Run
from training.over_optimisation import best_of_n, fit


def drawn(alpha: float, beta: float, *, farthest: float, noise: float = 0.05) -> list[tuple[float, float]]:
    chance = np.random.default_rng(1)
    return [
        (d, 0.3 + d * (alpha - beta * math.log(d)) + noise * chance.normal()) for d in np.linspace(0.1, farthest, 80)
    ]


def test_the_fit_finds_the_peak() -> None:
    found = fit(drawn(1.2, 0.6, farthest=5.0), start=0.3)
    assert found is not None and found.peak is not None
    assert found.alpha == pytest.approx(1.2, abs=0.05) and found.beta == pytest.approx(0.6, abs=0.05)
    assert found.peak[0] == pytest.approx(math.exp(1), rel=0.05)
    assert found.is_peak_near
    truth = [0.3 + d * (1.2 - 0.6 * math.log(d)) for d in found.x]
    inside = [low <= value <= high for value, low, high in zip(truth, found.low, found.high, strict=True)]
    assert sum(inside) >= 0.9 * len(inside)


def test_a_peak_far_beyond_the_data_is_not_told() -> None:
    found = fit(drawn(1.2, 0.1, farthest=2.0, noise=0.0), start=0.3)
    assert found is not None and not found.is_peak_near


def test_what_does_not_bend_down_has_no_peak() -> None:
    found = fit([(d, d * d) for d in np.linspace(0.1, 3, 40)], start=0.0)
    assert found is not None and found.peak is None and not found.is_peak_near


def test_nothing_is_fitted_to_a_run_that_has_not_left_its_start() -> None:
    assert fit([(0.01 * step, 1.0) for step in range(40)], start=1.0) is None
    assert fit([(1.0, 1.0)] * 7, start=0.0) is None


def test_best_of_n() -> None:
    """E[max] of 2 normal draws is 1/√π; of 4, 1.0294 (order statistics)."""
    x, y = best_of_n(1.0, 2.0, farthest=1.0)
    assert y[:3] == pytest.approx([1.0, 1 + 2 / math.sqrt(math.pi), 1 + 2 * 1.02938], abs=1e-4)
    assert x[:2] == pytest.approx([0.0, math.sqrt(math.log(2) - 0.5)])
    assert x[-2] <= 1.0 < x[-1]


@pytest.fixture
def run(project: Project) -> Run:
    run = rows.run(project, "policy")
    Metric.objects.bulk_create(
        Metric(run=run, step=step, time=0.0, values={"reward/mean": reward, "reward/std": 1.0, "kl/sequence": d * d})
        for step, (d, reward) in enumerate([(0.0, 0.3), *drawn(1.2, 0.6, farthest=5.0)], start=1)
    )
    return run


def test_the_page_tells_the_peak(client: Client, run: Run, dana: User) -> None:
    client.force_login(dana)
    assert "the best lies at √KL = 2.7" in client.get(f"/runs/{run.pk}/").content.decode()
    found = client.get(f"/runs/{run.pk}/fit.json").json()
    assert found["is_whole"] and found["is_finished"]
    assert set(found["lines"]) == {"reward_by_kl:best_of_n", "reward_by_kl:fit"}


def test_fence(cast: Cast, run: Run) -> None:
    check(cast, f"/runs/{run.pk}/fit.json")
