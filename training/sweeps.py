"""Several runs over one another, and what is left of a result when the seed changes: mean, band, collapsed seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training import points
from training.charts import BAND
from training.curves import Chart
from training.models import Metric, Run
from training.points import Point, View

WINDOW = 20
"""Newest steps whose mean is a run's result, at most."""

JUDGED_BY = {
    Run.Kind.POLICY: "reward/mean",
    Run.Kind.REWARD: "validation/accuracy",
    Run.Kind.DPO: "validation/accuracy",
}
"""The metric that says whether a seed has learned; more is better."""


@dataclass(frozen=True)
class Result:
    """What became of one run: its metric at the start and at the end (means of windows), None where not measured."""

    run: Run
    start: float | None
    end: float | None
    is_collapsed: bool

    @property
    def seed(self) -> Any:
        return self.run.config.get("seed", 0)


def results(runs: Sequence[Run]) -> list[Result]:
    """Of each run, in order. Collapsed: it failed, or it gained less than half of what the middle seed gained.

    Of four published seeds of one PPO run two collapsed (Huang et al. 2024): one seed is no result.
    """
    ends = [_ends(run) for run in runs]
    gains = [end - start for start, end in ends if start is not None and end is not None]
    usual = statistics.median(gains) if len(gains) > 1 else None
    return [
        Result(run, start, end, is_collapsed=_has_collapsed(run, start, end, usual))
        for run, (start, end) in zip(runs, ends, strict=True)
    ]


def _has_collapsed(run: Run, start: float | None, end: float | None, usual: float | None) -> bool:
    if run.status == Run.Status.FAILED:
        return True
    if not run.is_finished or usual is None or usual <= 0 or start is None or end is None:
        return False
    return end - start < usual / 2


def _ends(run: Run) -> tuple[float | None, float | None]:
    """Means of the first and of the newest steps: a quarter of a short run, WINDOW steps of a long one."""
    metric = JUDGED_BY.get(Run.Kind(run.kind))
    rows = Metric.objects.filter(run=run, values__has_key=metric) if metric else Metric.objects.none()
    size = max(1, min(WINDOW, rows.count() // 4))
    first = [values[metric] for values in rows.order_by("step").values_list("values", flat=True)[:size]]
    newest = [values[metric] for values in rows.order_by("-step").values_list("values", flat=True)[:size]]
    return (statistics.fmean(first), statistics.fmean(newest)) if first else (None, None)


def band(runs: Sequence[Run], charts: Sequence[Chart], *, view: View) -> dict[str, dict[str, list[float]]]:
    """Mean (y), lowest and highest of the runs at every step that all of them have measured, by source."""
    histories, starts = [], []
    for run in runs:
        end = points.last_whole_step(run)
        histories.append({} if end is None else points.read(run, after=-1, end=end))
        starts.append(points.first_time(run) if view.by_time and histories[-1] else 0.0)
    found = {}
    for chart in charts:
        for line in chart.lines:
            if chart.is_path or not all(line.metric in history for history in histories):
                continue
            curves = [
                {point.step: point._replace(time=point.time - start) for point in _means(history[line.metric], view)}
                for history, start in zip(histories, starts, strict=True)
            ]
            found[chart.source(line, BAND)] = _across(curves, view)
    return {source: drawn for source, drawn in found.items() if drawn["x"]}


def _means(history: points.History, view: View) -> list[Point]:
    if view.smooth:
        return list(points.smoothed(history.means, view.smooth))
    return [point for point, _count in history.means]


def _across(curves: list[dict[int, Point]], view: View) -> dict[str, list[float]]:
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    drawn: dict[str, list[float]] = {"x": [], "y": [], "low": [], "high": []}
    for step in shared[:: max(1, len(shared) // points.MAX_POINTS)]:
        here = [curve[step] for curve in curves]
        values = [point.value for point in here]
        drawn["x"].append(statistics.fmean(point.time for point in here) / 60 if view.by_time else step)
        drawn["y"].append(statistics.fmean(values))
        drawn["low"].append(min(values))
        drawn["high"].append(max(values))
    return drawn


def differing(runs: Sequence[Run]) -> list[tuple[str, list[Any]]]:
    """The settings in which the runs differ: (name, the value of each run)."""
    names = sorted({name for run in runs for name in run.config})
    rows = [(name, [run.config.get(name) for run in runs]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
