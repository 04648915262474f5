"""Figures of runs as people read them: numbers, signed changes, and small curves drawn by the server as SVG.

Shares, durations and moments are read by the filters of both sides: annotation/templatetags/measures.py.
"""

from collections.abc import Sequence
from typing import Any

from django import template
from django.utils.html import escape, format_html, format_html_join

register = template.Library()

WIDTH, HEIGHT, MARGIN = 240, 56, 4
NONE = "–"


@register.filter
def figure(value: float | None) -> str:
    """Four digits that matter, a true minus; a dash for nothing."""
    if value is None:
        return NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f").replace("-", "\u2212")
    size = abs(value)
    text = f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 10 else f"{value:.3f}"
    if 0 < size < 0.001:
        text = f"{value:.1e}"
    return text.replace("-", "\u2212")


@register.filter
def signed(value: Any) -> str:
    """A change: with its sign, also when it is a gain. A template's missing value is an empty text."""
    if value in (None, ""):
        return NONE
    return f"{value:+.2f}".replace("-", "\u2212")


@register.filter
def ticks(text: str) -> str:
    """A text that names settings in `backticks`, with them as code."""
    parts = str(text).split("`")
    drawn = [format_html("<code>{}</code>", part) if odd % 2 else escape(part) for odd, part in enumerate(parts)]
    return format_html_join("", "{}", ((part,) for part in drawn))


@register.inclusion_tag("training/_sparkline.html")
def sparkline(pairs: Sequence[tuple[float, float]], label: str) -> dict[str, Any]:
    """A curve as one line, with its first, newest, lowest and highest value in words for who does not see it."""
    values = [y for _x, y in pairs]
    if len(values) < 2:
        return {"points": "", "label": label}
    lowest, highest = min(values), max(values)
    first_x, last_x = pairs[0][0], pairs[-1][0]

    def place(x: float, y: float) -> tuple[float, float]:
        across = MARGIN + (WIDTH - 2 * MARGIN) * (x - first_x) / ((last_x - first_x) or 1)
        up = 0.5 if highest == lowest else (y - lowest) / (highest - lowest)
        return round(across, 1), round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * up, 1)

    places = [place(x, y) for x, y in pairs]
    return {
        "points": " ".join(f"{x},{y}" for x, y in places),
        "end": places[-1],
        "label": label,
        "first": values[0],
        "newest": values[-1],
        "lowest": lowest,
        "highest": highest,
        "width": WIDTH,
        "height": HEIGHT,
    }


@register.inclusion_tag("training/_bars.html")
def bars(pairs: Sequence[tuple[Any, float]], label: str, slots: int = 0) -> dict[str, Any]:
    """Counts as bars: (what, count) each; fewer than `slots` leave room on the left."""
    pairs = [*[("", 0)] * (slots - len(pairs)), *pairs]
    highest = max((count for _what, count in pairs), default=0) or 1
    step = WIDTH / max(len(pairs), 1)
    drawn = [
        {
            "x": round(index * step + 1, 1),
            "y": round(HEIGHT - tall, 1),
            "width": round(step - 2, 1),
            "height": round(tall, 1),
            "what": what,
            "count": count,
        }
        for index, (what, count) in enumerate(pairs)
        for tall in [(HEIGHT - MARGIN) * count / highest]
    ]
    return {"bars": drawn, "label": label, "width": WIDTH, "height": HEIGHT}


@register.inclusion_tag("training/_interval.html")
def interval(share: Any) -> dict[str, float]:
    """A share with its interval (training.reward_report.Share), drawn from 0 to 1."""
    return {name: round(100 * getattr(share, name), 1) for name in ("low", "value", "high")}
