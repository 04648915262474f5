"""Empty Bokeh charts of a kind of run, ready for the page to fill: static/charts.js embeds them and adds the points.

Colours come from the page's style sheet (so that both themes work), the legend is HTML (so that it is read aloud).
"""

import functools
from typing import Any

from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, Range1d
from bokeh.plotting import figure
from django.utils import translation

from training import curves

HEIGHT = 220
"""Pixels; the width follows the page."""


def items(kind: str) -> list[dict[str, Any]]:
    """One Bokeh JSON item a chart, in the order of curves.CHARTS; labels in the active language."""
    return _items(kind, translation.get_language())


@functools.cache
def _items(kind: str, language: str | None) -> list[dict[str, Any]]:
    return [_item(chart) for chart in curves.CHARTS[kind]]


def _item(chart: curves.Chart) -> dict[str, Any]:
    plot = figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        x_range=DataRange1d(range_padding=0.02),
        y_range=Range1d(0, 1.04) if chart.is_share else DataRange1d(range_padding=0.08, default_span=0.1),
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border=6,
    )
    plot.xaxis.axis_label = str(chart.x_label)
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.minor_tick_line_color = None
        axis.axis_line_alpha = 0.4
        axis.major_tick_line_alpha = 0.4
    plot.xgrid.grid_line_color = None
    for line in chart.lines:
        _draw(plot, chart, line)
    return json_item(plot, target=f"chart-{chart.key}")


def _draw(plot: Any, chart: curves.Chart, line: curves.Line) -> None:
    """One line with its own source, found by name, so that points can be appended to it alone."""
    source = ColumnDataSource({"x": [], "y": []}, name=chart.source(line))
    drawn = plot.line("x", "y", source=source, line_width=2, line_join="round", name=line.metric)
    if chart.is_path:
        drawn.glyph.line_alpha = 0.45
        drawn = plot.scatter("x", "y", source=source, size=6, name=line.metric)
    tooltips = [(str(chart.x_label), "@x"), (str(line.label), "@y{0.[0000]}")]
    plot.add_tools(HoverTool(mode="mouse" if chart.is_path else "vline", renderers=[drawn], tooltips=tooltips))
