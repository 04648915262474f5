"""Memory does not grow with a file: six times the lines peak nearly the same, coming in and going out."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from annotation import export, intake
from annotation.export import batches, files, tabular
from annotation.intake import importing
from annotation.models import Project

pytestmark = pytest.mark.django_db
FEW, MANY = 300, 1800
"""Held as a whole, the longer file would take six times as much; half of that is for caches and a Parquet footer."""
AT_A_TIME = 50


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that many batches need no many lines."""
    monkeypatch.setattr(importing, "BATCH", AT_A_TIME)
    monkeypatch.setattr(batches, "BATCH", AT_A_TIME)
    monkeypatch.setattr(files, "PIECE", AT_A_TIME)
    monkeypatch.setattr(tabular, "CSV_ROWS", AT_A_TIME)
    monkeypatch.setattr(tabular, "ROW_GROUP", AT_A_TIME)


def pairs(start: int, num: int) -> Iterator[str]:
    for number in range(start, start + num):
        text = f"{number} " + "word " * 60
        yield json.dumps({"prompt": text, "chosen": f"yes {text}", "rejected": f"no {text}"})


def peak_of(work: Callable[[], object]) -> int:
    """Bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_files_of_any_length_pass_through_the_same_memory(project: Project) -> None:
    starts = itertools.count(0, 10_000)

    def come_in(num: int) -> None:
        assert intake.import_lines(project, pairs(next(starts), num), source="pairs").errors == []

    def go_out(file_type: export.FileType) -> None:
        lines = export.at_one_moment(export.lines(project, format="judgments"))
        assert sum(len(piece) for piece in export.encoded(lines, format="judgments", file_type=file_type))

    def peaks_out() -> dict[str, int]:
        return {file_type: peak_of(partial(go_out, file_type)) for file_type in ("jsonl", "csv", "parquet")}

    come_in(AT_A_TIME)  # what is loaded once
    peaks_out()
    few, few_out = peak_of(partial(come_in, FEW)), peaks_out()
    assert peak_of(partial(come_in, MANY)) < 2 * few
    for file_type, peak in peaks_out().items():
        assert peak < 2 * few_out[file_type], file_type
