"""Shares, durations, days and moments as both sides' pages write them."""

import datetime

import pytest
from django.utils import timezone, translation

from annotation.templatetags import measures


def test_a_share_in_percent() -> None:
    assert measures.percent(0.8125) == "81.2\u202f%"
    assert measures.percent(0.8125, 0) == "81\u202f%"
    assert measures.percent(None) == measures.percent("") == "–"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5.4, "5 s"), (125, "2 min 5 s"), (7260, "2 h 1 min"), (-3, "0 s"), (None, "–"), ("", "–")]
)
def test_a_duration(seconds: float | None, text: str) -> None:
    assert measures.duration(seconds) == text


def test_a_moment_where_the_site_is_and_for_machines() -> None:
    at = datetime.datetime(2026, 2, 28, 23, 30, tzinfo=datetime.UTC)
    with timezone.override("Asia/Shanghai"), translation.override("zh-hans"):
        assert measures.moment(at) == '<time datetime="2026-03-01T07:30:00+08:00">2026年3月1日 07:30</time>'
        assert measures.day(at) == '<time datetime="2026-03-01">2026年3月1日</time>'
    assert measures.moment(None) == measures.day(None) == "–"
