"""Days of the site's time zone: where they begin."""

from __future__ import annotations

import datetime

from django.utils import timezone


def midnight(day: datetime.date) -> datetime.datetime:
    """The day's first moment."""
    return timezone.make_aware(datetime.datetime.combine(day, datetime.time.min))


def start_of_day(days_ago: int = 0) -> datetime.datetime:
    """Of today, or of a day before. Counted in days, not in hours: a day on which the clocks change has no 24."""
    return midnight(timezone.localdate() - datetime.timedelta(days=days_ago))
