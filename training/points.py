"""The points of a run's curves: read, thinned for the screen, smoothed, and in a table.

    lines(run, charts)                  all of them, once
    lines(run, charts, after=step)      then only what lies after the last step that the page has

Up to RAW_STEPS steps are read as they were measured. Beyond, stretches of steps are read as their lowest and highest
point (MetricBlock), so that no spike disappears and a look costs the same however long the run is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from training.curves import Chart, Line, Values
from training.models import Metric, MetricBlock, Run

MAX_POINTS = 2_000
"""Points a line at most, whatever the run's length."""

RAW_STEPS = 10_000
"""Steps that are still read one by one."""

FORGOTTEN = 1e-3
"""Weight below which an old value no longer shows in a smoothed one."""

SMOOTHED = "~"
"""Behind a line's source: the same line, smoothed."""


class Point(NamedTuple):
    step: int
    time: float
    """Unix seconds."""
    value: float


@dataclass(frozen=True)
class Points:
    """One line: its x and its y, of the same length."""

    x: list[float] = dataclasses.field(default_factory=list)
    y: list[float] = dataclasses.field(default_factory=list)


@dataclass
class History:
    """One metric over some steps, in order."""

    drawn: list[Point] = dataclasses.field(default_factory=list)
    """Every step, or the lowest and the highest of each stretch."""
    means: list[tuple[Point, int]] = dataclasses.field(default_factory=list)
    """The mean of each step or stretch at its last step, with how many steps measured it: what smoothing weighs."""


class Block(NamedTuple):
    """A MetricBlock as it is read: its values as JSON."""

    number: int
    last_step: int
    last_time: float
    text: str


@dataclass(frozen=True)
class View:
    """How the curves are looked at."""

    by_time: bool = False
    """Over minutes since the run's first step, and not over steps."""
    smooth: float = 0.0
    """Share of the old in each smoothed value, from 0 (off) below 1."""


@dataclass(frozen=True)
class Found:
    """What lies after a step."""

    lines: dict[str, Points]
    last: int
    """The last step of it: what to ask for next time."""


def lines(run: Run, charts: Sequence[Chart], *, after: int = -1, view: View = View()) -> Found:
    """Points by source of every line that has any after the step `after`; smoothed ones behind SMOOTHED.

    The newest step of an unfinished run waits: a second line of its events may still bring more of its values.
    """
    end = last_whole_step(run)
    if end is None or end <= after:
        return Found({}, after)
    warm_up = math.ceil(math.log(FORGOTTEN) / math.log(view.smooth)) if view.smooth else 0
    histories = read(run, after=max(after - warm_up, -1), end=end)
    start = first_time(run) if view.by_time else 0.0
    found: dict[str, Points] = {}
    for chart in charts:
        if chart.is_path:
            found |= {chart.source(line): path(run, chart, line, after=after, end=end) for line in chart.lines}
            continue
        for line in chart.lines:
            history = histories.get(line.metric, History())
            drawn = [point for point in history.drawn if point.step > after]
            found[chart.source(line)] = _placed(thin(drawn, MAX_POINTS), view, start)
            if view.smooth:
                smooth = [point for point in smoothed(history.means, view.smooth) if point.step > after]
                found[chart.source(line) + SMOOTHED] = _placed(thin(smooth, MAX_POINTS), view, start)
    return Found({source: points for source, points in found.items() if points.x}, end)


def newest_step(run: Run) -> int | None:
    return Metric.objects.filter(run=run).order_by("-step").values_list("step", flat=True).first()


def last_whole_step(run: Run) -> int | None:
    """The newest, of an unfinished run the one before it."""
    steps = Metric.objects.filter(run=run).order_by("-step").values_list("step", flat=True)[:2]
    return next(iter(steps if run.is_finished else steps[1:]), None)


def first_time(run: Run) -> float:
    return Metric.objects.filter(run=run).order_by("step").values_list("time", flat=True)[:1].get()


def read(run: Run, *, after: int, end: int) -> dict[str, History]:
    """Every metric of the steps in (after, end]; two queries at most."""
    rows = Metric.objects.filter(run=run, step__gt=after, step__lte=end).order_by("step")
    histories: dict[str, History] = {}
    blocks: list[Block] = []
    if end - after > RAW_STEPS:
        first = after // MetricBlock.STEPS + 1
        inside = MetricBlock.objects.filter(run=run, number__gte=first, last_step__lte=end).order_by("number")
        # As text: Python's own reader of JSON takes twice as long.
        rows_of_blocks = inside.annotate(text=Cast("values", TextField()))
        blocks = [Block(*row) for row in rows_of_blocks.values_list("number", "last_step", "last_time", "text")]
    if blocks:
        first_step, last_step = blocks[0].number * MetricBlock.STEPS, blocks[-1].last_step
        rows = rows.filter(Q(step__lt=first_step) | Q(step__gt=last_step))
    singles = list(rows.values_list("step", "time", "values"))
    before = [row for row in singles if not blocks or row[0] < blocks[0].number * MetricBlock.STEPS]
    for step, time, values in before:
        _add_step(histories, step, time, values)
    for block in blocks:
        _add_block(histories, block)
    for step, time, values in singles[len(before) :]:
        _add_step(histories, step, time, values)
    return histories


def _add_step(histories: dict[str, History], step: int, time: float, values: Values) -> None:
    for metric, value in values.items():
        history = histories.setdefault(metric, History())
        point = Point(step, time, value)
        history.drawn.append(point)
        history.means.append((point, 1))


def _add_block(histories: dict[str, History], block: Block) -> None:
    for metric, (lowest, highest, mean, count) in orjson.loads(block.text).items():
        history = histories.get(metric) or histories.setdefault(metric, History())
        first, second = (lowest, highest) if lowest[0] <= highest[0] else (highest, lowest)
        history.drawn.append(Point(*first))
        if first[0] != second[0]:
            history.drawn.append(Point(*second))
        history.means.append((Point(block.last_step, block.last_time, mean), count))


def smoothed(means: Sequence[tuple[Point, int]], share: float) -> Iterator[Point]:
    """An exponential moving average without a bias towards its start; a stretch of n steps weighs as n steps."""
    total = weight = 0.0
    for point, count in means:
        kept = share**count
        total, weight = kept * total + (1 - kept) * point.value, kept * weight + (1 - kept)
        yield point._replace(value=total / weight)


def path(run: Run, chart: Chart, line: Line, *, after: int, end: int) -> Points:
    """A walk through the plane: both of its coordinates are of one step, so evenly spaced steps stand for all."""
    stride = max(1, -(-(end - after) // MAX_POINTS))
    rows = Metric.objects.filter(run=run, step__gt=after, step__lte=end).order_by("step")
    if stride > 1:
        wanted = [*range(after + stride, end + 1, stride), end]
        rows = rows.filter(step__in=wanted)
    pairs = [
        (x, values[line.metric])
        for step, values in rows.values_list("step", "values")
        if line.metric in values and (x := chart.x(step, values)) is not None
    ]
    return Points([_short(x) for x, _y in pairs], [_short(y) for _x, y in pairs])


def _placed(points: Sequence[Point], view: View, start: float) -> Points:
    x: list[float] = [_short((point.time - start) / 60) if view.by_time else point.step for point in points]
    return Points(x, [_short(point.value) for point in points])


def thin(points: Sequence[Point], limit: int) -> list[Point]:
    """At most `limit` of the points, in order: the first, the last, and of each stretch its lowest and highest.

    limit: at least 4.
    """
    if len(points) <= limit:
        return list(points)
    values = [point.value for point in points]
    num_inner, num_stretches = len(points) - 2, (limit - 2) // 2
    kept = [0]
    for stretch in range(num_stretches):
        start, end = (1 + each * num_inner // num_stretches for each in (stretch, stretch + 1))
        lowest = values.index(min(values[start:end]), start, end)
        highest = values.index(max(values[start:end]), start, end)
        kept += sorted({lowest, highest})
    kept.append(len(points) - 1)
    return [points[index] for index in kept]


def table(run: Run, chart: Chart, *, num_rows: int = 20) -> list[dict[str, Any]]:
    """The chart in numbers: at most `num_rows` steps, evenly spaced over those that have a value, the last among them.

    Each row: {"step", "x", "cells": one value or None a line}.
    """
    metrics = [line.metric for line in chart.lines]
    rows = Metric.objects.filter(run=run, values__has_any_keys=metrics).order_by("step")
    steps = list(rows.values_list("step", flat=True))
    last = len(steps) - 1
    chosen = sorted({steps[round(index * last / (num_rows - 1))] for index in range(num_rows)}) if last >= 0 else []
    return [
        {"step": step, "x": x, "cells": [values.get(metric) for metric in metrics]}
        for step, values in rows.filter(step__in=chosen).values_list("step", "values")
        if (x := chart.x(step, values)) is not None
    ]


# --- Summaries of stretches ---


def keep_blocks(run: Run, steps: set[int]) -> None:
    """Summarise anew every whole stretch that these steps, just written, lie in or have brought to its end."""
    if not steps:
        return
    size, newest = MetricBlock.STEPS, newest_step(run) or 0
    before = Metric.objects.filter(run=run, step__lt=min(steps)).order_by("-step").values_list("step", flat=True)[:1]
    touched = {step // size for step in [*steps, *before]}
    whole = sorted(number for number in touched if (number + 1) * size <= newest)
    blocks = [block for number in whole if (block := _summary(run, number))]
    MetricBlock.objects.bulk_create(
        blocks,
        update_conflicts=True,
        unique_fields=["run", "number"],
        update_fields=["last_step", "last_time", "values"],
    )


def _summary(run: Run, number: int) -> MetricBlock | None:
    size = MetricBlock.STEPS
    rows = Metric.objects.filter(run=run, step__gte=number * size, step__lt=(number + 1) * size).order_by("step")
    measured: dict[str, list[Point]] = {}
    last_step, last_time = -1, 0.0
    for step, time, values in rows.values_list("step", "time", "values"):
        last_step, last_time = step, time
        for metric, value in values.items():
            measured.setdefault(metric, []).append(Point(step, time, value))
    if last_step < 0:
        return None
    summary = {}
    for metric, points in measured.items():
        by_value = sorted(points, key=lambda point: point.value)
        mean = math.fsum(point.value for point in points) / len(points)
        summary[metric] = [by_value[0], by_value[-1], mean, len(points)]
    return MetricBlock(run=run, number=number, last_step=last_step, last_time=last_time, values=summary)


def _short(number: float) -> float:
    """Six digits are more than a screen shows, and half the bytes. Not for steps, which are addresses."""
    return float(f"{number:.6g}")
