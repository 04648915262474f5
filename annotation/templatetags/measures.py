"""Figures as they are read on the pages of both sides: shares, durations, moments."""

from __future__ import annotations

import datetime
from typing import Literal

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

register = template.Library()

NONE = "–"


@register.filter
def percent(value: float | Literal[""] | None, digits: int = 1) -> str:
    """A share from 0 to 1, in percent; a dash where it is not defined (a template's missing value is an empty text)."""
    if value is None or value == "":
        return NONE
    return _("%(percent)s\u202f%%") % {"percent": formats.number_format(round(100 * value, digits), digits)}


@register.filter
def duration(seconds: float | Literal[""] | None) -> str:
    """Seconds as hours, minutes and seconds, the two largest of them."""
    if seconds is None or seconds == "":
        return NONE
    minutes, left = divmod(max(round(seconds), 0), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes_left}
    if minutes:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": left}
    return _("%(seconds)d s") % {"seconds": left}


@register.filter
def moment(value: datetime.datetime | None) -> SafeString | str:
    """Date and time in the reader's style, and for machines: one look on every page."""
    if not value:
        return NONE
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        formats.date_format(local, "SHORT_DATETIME_FORMAT"),
    )


@register.filter
def day(value: datetime.date | datetime.datetime | None) -> SafeString | str:
    """The same without the time of day."""
    if not value:
        return NONE
    local = timezone.localtime(value).date() if isinstance(value, datetime.datetime) else value
    return format_html('<time datetime="{}">{}</time>', local.isoformat(), formats.date_format(local, "DATE_FORMAT"))
