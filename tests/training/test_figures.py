"""Figures as people read them, and the small curves that the server draws."""

import pytest
from django.template import Context, Template

from training.templatetags import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.5, "0.500"),
        (12.345, "12.35"),
        (-1234.5, "−1234.5"),
        (0.00012, "1.2e−04"),
        (1234567, "1 234 567"),
    ],
)
def test_figure(value: float | None, text: str) -> None:
    assert figures.figure(value) == text.replace(" ", "\u202f")


def test_signed_and_none() -> None:
    assert figures.signed(0.5) == "+0.50"
    assert figures.signed(-0.5) == "−0.50"
    assert figures.signed(None) == "–"


def test_ticks_become_code_and_nothing_else_becomes_markup() -> None:
    assert figures.ticks("as `lr_schedule` says") == "as <code>lr_schedule</code> says"
    assert figures.ticks("<b>`<i>`") == "&lt;b&gt;<code>&lt;i&gt;</code>"


def draw(tag: str, **context: object) -> str:
    return Template("{% load figures %}" + tag).render(Context(context))


def test_a_sparkline_runs_from_left_to_right_and_says_its_figures() -> None:
    svg = draw("{% sparkline pairs 'Reward' %}", pairs=[(0, 1.0), (10, 3.0), (20, 2.0)])
    assert 'points="4.0,52.0 120.0,4.0 236.0,28.0"' in svg
    assert "Reward: from 1.000 to 2.000, lowest 1.000, highest 3.000" in svg


def test_a_sparkline_of_one_point_or_of_equal_values() -> None:
    assert "svg" not in draw("{% sparkline pairs 'Reward' %}", pairs=[(0, 1.0)])
    assert 'points="4.0,28.0 236.0,28.0"' in draw("{% sparkline pairs 'Reward' %}", pairs=[(0, 1.0), (1, 1.0)])


def test_bars_are_as_high_as_their_counts_and_name_them() -> None:
    svg = draw("{% bars pairs 'Labels' %}", pairs=[("Monday", 2), ("Tuesday", 4)])
    assert 'height="26.0"><title>Monday: 2</title>' in svg
    assert 'height="52.0"><title>Tuesday: 4</title>' in svg
