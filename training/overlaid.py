"""Curves of several runs in numbers, step by step beside one another: a table of some steps, and every step as CSV.

    table(runs, chart)          at most 20 steps, under the heads of groups(runs, chart)
    csv_lines(runs, metrics)    all steps

With has_band the runs are a sweep's seeds: behind them stand the mean, the lowest and the highest of each line, at the
steps that all seeds have measured, as the band is drawn (training/sweeps.py).
"""

from __future__ import annotations

import csv
import io
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from training.curves import Chart, Text, Values
from training.models import Metric, Run
from training.spreads import evenly

BAND = ("mean", "lowest", "highest")
"""What the CSV's columns of a band are called behind the metric, where a run's column has its number."""
Measured = Mapping[int, tuple[float, Values]]
"""Of one step: run's number to its time (Unix seconds) and values."""


@dataclass(frozen=True)
class Group:
    """Columns under one head: a run's, or those of a line's band."""

    heads: list[Text]
    run: Run | None = None
    title: Text = ""


def groups(runs: Sequence[Run], chart: Chart, *, has_band: bool = False) -> list[Group]:
    labels = [line.label for line in chart.lines]
    heads = [chart.x_label, *labels] if chart.is_path else labels
    found = [Group(heads, run=run) for run in runs]
    if has_band and not chart.is_path:
        found += [Group([_("mean"), _("lowest"), _("highest")], title=label) for label in labels]
    return found


def table(
    runs: Sequence[Run], chart: Chart, *, has_band: bool = False, num_rows: int = 20
) -> list[tuple[int, list[float | None]]]:
    """Step and cells, None where not measured; steps evenly spaced over those that any run has, the last among them.

    Two queries.
    """
    metrics = [line.metric for line in chart.lines]
    rows = Metric.objects.filter(run__in=runs, values__has_any_keys=metrics)
    steps = evenly(list(rows.order_by("step").values_list("step", flat=True).distinct()), num_rows)
    found: list[tuple[int, list[float | None]]] = []
    for step, measured in _by_step(rows.filter(step__in=steps)):
        cells: list[float | None] = []
        for run in runs:
            _time, values = measured.get(run.pk, (0.0, {}))
            cells += [chart.x(step, values)] if chart.is_path else []
            cells += [values.get(metric) for metric in metrics]
        if has_band and not chart.is_path:
            cells += [value for metric in metrics for value in _across(measured, metric, num_runs=len(runs))]
        found.append((step, cells))
    return found


def metrics_of(runs: Sequence[Run], chart: Chart | None) -> list[str]:
    """What the CSV tells: a chart's lines, with the KL that its x is worked out from; without a chart everything."""
    if chart:
        return [*(["kl/sequence"] if chart.is_path else []), *(line.metric for line in chart.lines)]
    names: dict[str, None] = {}
    rows = Metric.objects.filter(run__in=runs).order_by("step", "run")
    for values in rows.values_list("values", flat=True).iterator():
        names.update(dict.fromkeys(values))
    return list(names)


def csv_lines(runs: Sequence[Run], metrics: Sequence[str], *, has_band: bool = False) -> Iterator[str]:
    """One line a step: of each run when it was measured and what, each column named metric:run."""
    heads = [f"{name}:{run.pk}" for run in runs for name in ("time", *metrics)]
    heads += [f"{metric}:{part}" for metric in metrics for part in BAND] if has_band else []
    yield _line(["step", *heads])
    for step, measured in _by_step(Metric.objects.filter(run__in=runs, values__has_any_keys=list(metrics))):
        cells: list[Any] = []
        for run in runs:
            time, values = measured.get(run.pk, (None, {}))
            cells += [time, *(values.get(metric) for metric in metrics)]
        if has_band:
            cells += [value for metric in metrics for value in _across(measured, metric, num_runs=len(runs))]
        yield _line([step, *cells])


def _by_step(rows: Any) -> Iterator[tuple[int, Measured]]:
    """rows: Metrics of several runs."""
    ordered = rows.order_by("step", "run").values_list("step", "run", "time", "values").iterator()
    for step, several in itertools.groupby(ordered, key=lambda row: row[0]):
        yield step, {run: (time, values) for _step, run, time, values in several}


def _across(measured: Measured, metric: str, *, num_runs: int) -> tuple[float, float, float] | tuple[None, None, None]:
    """Mean, lowest and highest of the runs, where each of them has measured it."""
    values = [values[metric] for _time, values in measured.values() if metric in values]
    if len(values) < num_runs:
        return None, None, None
    return statistics.fmean(values), min(values), max(values)


def _line(cells: Sequence[Any]) -> str:
    """None becomes an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
