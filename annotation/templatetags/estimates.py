"""Figures of agreement as they are read: a number, its interval, a small drawing of both."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from annotation.agreement import Estimate, Reason

register = template.Library()

LOWEST, HIGHEST = -0.25, 1.0
"""What the drawing spans; alpha below this is drawn at the edge."""
WIDTH, MARGIN = 160, 6
MARKS = (0.0, 0.667, 0.8)
"""As by chance; Krippendorff's marks for tentative and for reliable conclusions."""


@register.simple_tag
def whisker(estimate: Estimate) -> SafeString:
    """The value as a dot on its interval, over the marks; nothing where there is no value."""
    if estimate.value is None:
        return SafeString("")
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    first, second, third = (_x(mark) for mark in MARKS)
    return format_html(
        '<svg class="whisker" viewBox="0 0 {} 14" aria-hidden="true"><path class="marks" d="M{} 1v12M{} 1v12M{} 1v12"/>'
        '<line x1="{}" y1="7" x2="{}" y2="7"/><circle cx="{}" cy="7" r="3.5"/></svg>',
        *(WIDTH, first, second, third, _x(low), _x(high), _x(estimate.value)),
    )


@register.filter
def sentence(reason: str) -> str:
    """Why a figure or its interval is not there."""
    return str(Reason(reason).label) if reason else ""


def _x(value: float) -> str:
    share = (min(max(value, LOWEST), HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
    return f"{MARGIN + (WIDTH - 2 * MARGIN) * share:.1f}"
