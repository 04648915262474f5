"""Days begin where the site's clocks say so, also when they change."""

import datetime

from django.utils import timezone

from annotation.days import midnight, start_of_day


def test_the_day_on_which_the_clocks_go_forward_has_23_hours() -> None:
    with timezone.override("Europe/Berlin"):
        day = datetime.date(2026, 3, 29)
        assert midnight(day).isoformat() == "2026-03-29T00:00:00+01:00"
        apart = midnight(day + datetime.timedelta(days=1)).timestamp() - midnight(day).timestamp()
        assert apart == 23 * 3600


def test_today_begins_at_the_site_s_midnight() -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        with timezone.override(zone):
            today = start_of_day()
            assert today.date() == timezone.localdate() and today.time() == datetime.time.min
            assert start_of_day(6).date() == today.date() - datetime.timedelta(days=6)
