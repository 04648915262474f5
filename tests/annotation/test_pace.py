"""Labels an hour: worked by hand, and its interval on simulated people whose pace is known."""

import itertools
import math

import numpy as np
import pytest

from annotation.models import Project, User
from annotation.quality import people_of
from annotation.quality.pace import Times, pace, students
from tests.annotation.conftest import make_tasks
from tests.annotation.test_quality import say


def times_of(num: list[int], seconds: list[float]) -> Times:
    """Of prompts with so many labels and seconds each."""
    n, t = np.array(num), np.array(seconds)
    return Times(len(n), int(n.sum()), float(t.sum()), int((n * n).sum()), float((n * t).sum()), float((t * t).sum()))


@pytest.mark.parametrize(("freedom", "published"), [(4, 2.776), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_students_t(freedom: int, published: float) -> None:
    assert students(freedom) == pytest.approx(published, abs=0.01)


def test_worked_by_hand() -> None:
    """Labels of 20, 40, 60, 80, 100 s: 60 an hour of 60 s each; shares of time 1/15 … 5/15 against 1/5 each.

    Σ (1/5 − j/15)² = (4 + 1 + 0 + 1 + 4)/225 = 10/225; times 5/4 is 1/18.
    """
    found = pace(times_of([1] * 5, [20, 40, 60, 80, 100]))
    half = students(4) * math.sqrt(1 / 18)
    assert found.value == 60 and found.low and found.high
    assert (math.log(60 / found.low), math.log(found.high / 60)) == (pytest.approx(half), pytest.approx(half))


def test_too_little_for_an_interval_or_a_figure() -> None:
    assert pace(times_of([1] * 4, [30] * 4))[:3] == (120, None, None)
    assert pace(times_of([1] * 6, [0] * 6)).value is None
    assert pace(times_of([2] * 6, [60] * 6))[:3] == pytest.approx((120, 120, 120)), "all alike"


@pytest.mark.parametrize("num_prompts", [6, 60])
def test_the_interval_holds_the_truth(num_prompts: int) -> None:
    """Four labels a prompt, long prompts long for all of them; an interval of Poisson counts misses far more often."""
    random = np.random.default_rng(0)
    labels = 4
    truth = 3600 / (40 * math.exp(0.5 * (0.6**2 + 0.3**2)))
    covered = plain = 0
    for _world in range(400):
        level = 40 * np.exp(0.6 * random.standard_normal(num_prompts))
        seconds = level[:, None] * np.exp(0.3 * random.standard_normal((num_prompts, labels)))
        found = pace(times_of([labels] * num_prompts, list(seconds.sum(axis=1))))
        assert found.value and found.low and found.high
        covered += found.low <= truth <= found.high
        plain += abs(math.log(truth / found.value)) <= 1.96 / math.sqrt(labels * num_prompts)
    assert covered >= 362 and plain < covered - 20


def test_from_the_judgments_that_count(project: Project, alice: User, bob: User) -> None:
    tasks = make_tasks(project, 7, overlap=2)
    for task, seconds in zip(tasks, itertools.cycle((20.0, 40.0)), strict=False):
        say(alice, task, "a", active_seconds=seconds)
        say(bob, task, "a", active_seconds=None)
    found = people_of(project)
    alices = found[alice.pk].pace
    assert alices.value == pytest.approx(3600 * 7 / 200) and alices.low and alices.high
    assert alices[:3] == pytest.approx(pace(times_of([1] * 7, [20, 40, 20, 40, 20, 40, 20]))[:3])
    assert found[bob.pk].pace.value is None
