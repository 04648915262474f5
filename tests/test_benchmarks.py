"""What the benchmarks compute and write: worked out by hand. The benchmarks themselves take minutes and run by hand."""

from pathlib import Path

import pytest

from benchmarks.annotation.load import quantile
from benchmarks.annotation.wire import form_fields
from benchmarks.report import Report, interval, wins, write


def test_wins_by_hand() -> None:
    """Ours 3 and 1 against theirs 2 and 1: 3 beats both, 1 loses to 2 and ties with 1: (1 + 1 + 0 + ½) / 4."""
    assert wins([3, 1], [2, 1]) == pytest.approx(2.5 / 4)
    assert wins([1], [1]) == 0.5


def test_the_interval_is_that_of_the_mean() -> None:
    """200 zeros and 200 ones: mean ½, standard error ½/√400 = 0.025, so about 0.451 to 0.549."""
    low, high = interval([0.0] * 200 + [1.0] * 200)
    assert low == pytest.approx(0.451, abs=0.008) and high == pytest.approx(0.549, abs=0.008)
    assert interval([0.7] * 50) == pytest.approx((0.7, 0.7))


def test_a_part_is_replaced_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text("# Results\n\nBefore.\n")
    write(path, "first\n", part="loop", title="The loop")
    path.write_text(path.read_text() + "\nAfter.\n")
    write(path, "second\n", part="loop", title="The loop")
    text = path.read_text()
    assert text.startswith("# Results\n\nBefore.\n") and text.endswith("\nAfter.\n")
    assert "second\n<!-- loop: end -->" in text and "first" not in text and text.count("## The loop") == 1


def test_the_table_says_what_was_run() -> None:
    report = Report()
    report.add("win rate", "0.8")
    with report.timed("labels"):
        pass
    table = report.markdown(command="python -m benchmarks.loop")
    assert "`python -m benchmarks.loop`" in table and "| win rate | 0.8 |" in table and "torch 2" in table


def test_the_generator_sends_what_a_browser_would() -> None:
    """Hidden fields and texts, unescaped; no choice that nobody made, nothing of a disabled field."""
    page = (
        '<form><input type="hidden" name="key" value="a&amp;b"><input type="radio" name="choice" value="1">'
        '<textarea name="why" cols="40">\n &lt;b&gt;\nsecond</textarea><textarea name="off" disabled>x</textarea>'
    )
    assert form_fields(page) == {"key": "a&b", "why": " <b>\r\nsecond"}


def test_a_quantile_is_a_value_that_was_seen() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (quantile(values, 0.99), quantile(values, 0.5), quantile([7.0], 0.99)) == (100.0, 51.0, 7.0)
