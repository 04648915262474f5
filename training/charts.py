"""Empty Bokeh charts, ready for the page to fill: static/charts.js embeds them and adds the points.

Colours come from the page's style sheet (so that both themes work), the legend is HTML (so that it is read aloud).
One run has its lines in colours; several runs over one another have a colour each, and their lines a dash each.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, Range1d
from bokeh.plotting import figure
from django.utils import translation
from django.utils.translation import gettext as _

from training import curves, points

HEIGHT = 220
"""Pixels; the width follows the page."""

DASHES = ("solid", "dashed", "dotted", "dotdash")
BAND = "band"
"""The run of a sweep's mean and of the band between its lowest and highest seed."""


@dataclass(frozen=True)
class Look:
    """What the charts are drawn for, and how."""

    runs: tuple[str, ...] = ()
    """Names behind the lines of each run, where several lie over one another; none for one run's own page."""
    by_time: bool = False
    is_smooth: bool = False
    is_log: bool = False
    has_band: bool = False


def items(charts: Sequence[curves.Chart], look: Look = Look()) -> list[dict[str, Any]]:
    """One Bokeh JSON item a chart; labels in the active language."""
    return [_item(chart, look, translation.get_language()) for chart in charts]


@functools.lru_cache(maxsize=512)
def _item(chart: curves.Chart, look: Look, _language: str | None) -> dict[str, Any]:
    """_language: the labels are in it, so it belongs to the key."""
    plot = figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        x_range=DataRange1d(range_padding=0.02),
        y_range=Range1d(0, 1.04) if chart.is_share else DataRange1d(range_padding=0.08, default_span=0.1),
        y_axis_type="log" if look.is_log and not (chart.is_share or chart.is_signed) else "linear",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border=6,
    )
    plot.xaxis.axis_label = _("minutes") if look.by_time and not chart.is_path else str(chart.x_label)
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.minor_tick_line_color = None
        axis.axis_line_alpha = 0.4
        axis.major_tick_line_alpha = 0.4
    plot.xgrid.grid_line_color = None
    for run in look.runs or ("",):
        for number, line in enumerate(chart.lines):
            dash = DASHES[number % len(DASHES)] if look.runs else "solid"
            _draw(plot, chart, line, run=run, dash=dash, look=look)
    if not look.runs:
        for line in chart.beside:
            _draw_beside(plot, chart, line)
    return json_item(plot, target=f"chart-{chart.key}")


def _draw_beside(plot: Any, chart: curves.Chart, line: curves.Line) -> None:
    """A line to compare with, dashed, with its band where it has one."""
    source = ColumnDataSource({"x": [], "y": [], "low": [], "high": []}, name=chart.source(line))
    plot.varea("x", "low", "high", source=source, fill_alpha=0.12, name=line.metric)
    plot.line("x", "y", source=source, line_width=1.5, line_dash="dashed", name=line.metric)


def _draw(plot: Any, chart: curves.Chart, line: curves.Line, *, run: str, dash: str, look: Look) -> None:
    """One line with its own source, found by name, so that points can be appended to it alone."""
    name = f"{line.metric}:{run}" if run else line.metric
    columns = ("x", "y", "low", "high") if run == BAND else ("x", "y")
    source = ColumnDataSource({column: [] for column in columns}, name=chart.source(line, run))
    drawn = plot.line("x", "y", source=source, line_width=2, line_join="round", line_dash=dash, name=name)
    if run == BAND and not chart.is_path:
        plot.varea("x", "low", "high", source=source, fill_alpha=0.15, name=name)
    if chart.is_path:
        drawn.glyph.line_alpha = 0.45
        drawn = plot.scatter("x", "y", source=source, size=6, name=name)
    elif look.is_smooth:
        drawn.glyph.line_alpha = 0.25
        smooth = ColumnDataSource({"x": [], "y": []}, name=chart.source(line, run) + points.SMOOTHED)
        plot.line("x", "y", source=smooth, line_width=2, line_join="round", line_dash=dash, name=name)
    label = f"{line.label} ({run})" if run else str(line.label)
    tooltips = [(str(plot.xaxis[0].axis_label), "@x"), (label, "@y{0.[0000]}")]
    plot.add_tools(HoverTool(mode="mouse" if chart.is_path else "vline", renderers=[drawn], tooltips=tooltips))
