"""Which points of a run are drawn: thinned without losing a spike, read back as a table, the same for every kind."""

import math

from training import charts, curves
from training.models import Run

REWARD, BY_KL = ({chart.key: chart for chart in curves.POLICY}[key] for key in ("reward", "reward_by_kl"))
ROWS = [(step, {"reward/mean": step / 10, "kl/sequence": float(step * step)}) for step in range(5)]


def test_points_of_a_line_over_the_steps() -> None:
    found = curves.points(ROWS, REWARD, REWARD.lines[0])
    assert found.x == [0, 1, 2, 3, 4]
    assert found.y == [0, 0.1, 0.2, 0.3, 0.4]


def test_a_step_without_the_metric_has_no_point() -> None:
    rows = [(1, {"reward/mean": 1.0}), (2, {"optim/grad_norm": 3.0}), (3, {"reward/mean": 2.0})]
    assert curves.points(rows, REWARD, REWARD.lines[0]).x == [1, 3]


def test_reward_against_the_root_of_kl() -> None:
    """√(step²) is the step; a KL estimate below 0 counts as 0."""
    assert curves.points(ROWS, BY_KL, BY_KL.lines[0]).x == [0, 1, 2, 3, 4]
    below = [(1, {"reward/mean": 1.0, "kl/sequence": -0.5})]
    assert curves.points(below, BY_KL, BY_KL.lines[0]).x == [0]


def test_few_points_are_left_alone() -> None:
    pairs = [(float(x), float(x)) for x in range(10)]
    assert curves.thin(pairs, 10) == pairs
    assert curves.thin([], 10) == []


def test_thinning_keeps_both_ends_the_order_and_every_spike() -> None:
    pairs = [(float(x), math.sin(x / 50)) for x in range(10_000)]
    pairs[6_543] = (6_543.0, 99.0)
    pairs[1_234] = (1_234.0, -99.0)
    kept = curves.thin(pairs, 2_000)
    assert 1_500 < len(kept) <= 2_000
    assert kept[0] == pairs[0]
    assert kept[-1] == pairs[-1]
    assert kept == sorted(kept)
    assert (6_543.0, 99.0) in kept
    assert (1_234.0, -99.0) in kept


def test_the_table_is_evenly_spaced_and_ends_with_the_newest_step() -> None:
    rows = [(step, {"reward/mean": float(step)}) for step in range(1_001)]
    table = curves.table(rows, REWARD, num_rows=5)
    assert [row["step"] for row in table] == [0, 250, 500, 750, 1000]
    assert table[-1]["cells"] == [1000.0, None]
    assert curves.table([], REWARD) == []


def test_every_kind_of_run_has_its_charts_and_every_chart_its_sources() -> None:
    assert set(curves.CHARTS) == set(Run.Kind.values)
    for kind, drawn in curves.CHARTS.items():
        items = charts.items(kind)
        assert len(items) == len(drawn)
        for chart, item in zip(drawn, items, strict=True):
            text = str(item)
            assert all(chart.source(line) in text for line in chart.lines), chart.key
