"""Which charts a run has, and that every one of them can be drawn."""

from training import charts, curves
from training.models import Run


def test_every_kind_of_run_has_its_charts_and_every_chart_its_sources() -> None:
    assert set(curves.CHARTS) == set(Run.Kind.values)
    for drawn in curves.CHARTS.values():
        items = charts.items(drawn)
        assert len(items) == len(drawn)
        for chart, item in zip(drawn, items, strict=True):
            text = str(item)
            assert all(chart.source(line) in text for line in chart.lines), chart.key


def test_a_chart_is_only_for_runs_that_can_have_it() -> None:
    keys = {chart.key for chart in curves.of("policy", {"algorithm": "rloo"})}
    assert "value_loss" not in keys and "watched" not in keys
    assert "watched" in {chart.key for chart in curves.of("policy", {"watcher": 3})}


def test_several_runs_have_a_source_each_and_what_is_no_magnitude_stays_linear() -> None:
    look = charts.Look(("3", "5", charts.BAND), is_smooth=True, is_log=True)
    drawn = dict(zip([chart.key for chart in curves.POLICY], charts.items(curves.POLICY, look), strict=True))
    reward = str(drawn["reward"])
    for name in ("reward:reward/mean:3", "reward:reward/mean:5~", "reward:reward/mean:band"):
        assert f"'{name}'" in reward
    assert "LogScale" in str(drawn["kl"]) and "LogScale" not in reward, "a reward may be negative"
    assert "LogScale" not in str(drawn["ended"])
