"""A file as records, one by one, from any place in it: what a line says before anybody asks what it means.

A record that cannot be read is a sentence with its line, and the next one is read as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import ijson
from django.utils.translation import gettext as _

from annotation.intake.parsing import LONGEST_LINE, parse_line, refuse_unstorable, too_long

MOST_SKIPPED = 64 * LONGEST_LINE
"""Bytes without the end of a line after which a file is none of lines: it is read no further."""


class Place(NamedTuple):
    """Where reading goes on. offset: bytes of a file of lines, rows of Parquet. line: how many are before it."""

    offset: int = 0
    line: int = 0


START = Place()


class Record(NamedTuple):
    """line: where it begins in the file, from 1 (of a JSON list and of Parquet: which entry it is)."""

    line: int
    row: dict[str, Any] | None
    problem: str
    """Why there is no row; else empty."""
    after: Place


def records_of_lines(lines: Iterable[str | bytes]) -> Iterator[Record]:
    """JSONL whose lines are in the hand already."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parsed(number, line, START)


def read_jsonl(file: BinaryIO, start: Place = START) -> Iterator[Record]:
    """file: can seek, unless it is read from its beginning."""
    if start.offset:
        file.seek(start.offset)
    for number, offset, line in raw_lines(file, start):
        if line is None:
            yield Record(number, None, too_long(), Place(offset, number))
        elif line.strip():
            yield _parsed(number, line, Place(offset, number))


def raw_lines(file: BinaryIO, start: Place = START) -> Iterator[tuple[int, int, bytes | None]]:
    """(number, offset of its end, the line), None for a line that is too long; of those only the end is looked for."""
    number, offset = start.line, start.offset
    while line := file.readline(LONGEST_LINE + 1):
        number, offset = number + 1, offset + len(line)
        if len(line) <= LONGEST_LINE or line.endswith(b"\n"):
            yield number, offset, line
            continue
        skipped = 0
        while line and not line.endswith(b"\n") and skipped < MOST_SKIPPED:
            line = file.readline(LONGEST_LINE)
            offset, skipped = offset + len(line), skipped + len(line)
        yield number, offset, None
        if skipped >= MOST_SKIPPED:
            return


def read_json(file: BinaryIO) -> Iterator[Record]:
    """The entries of one JSON list, without holding the list."""
    number = 0
    try:
        for number, row in enumerate(ijson.items(file, "item", use_float=True), start=1):
            yield _checked(number, row)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        sentence = _("The file is not JSON from here on (%(error)s). What comes before is in.")
        yield Record(number + 1, None, sentence % {"error": str(error).splitlines()[0][:200]}, START)


def _checked(number: int, row: Any) -> Record:
    try:
        if not isinstance(row, dict):
            raise ValueError(_("The entry is not a JSON object: give a list of {…}."))
        refuse_unstorable(row)
    except ValueError as error:
        return Record(number, None, str(error), START)
    return Record(number, row, "", START)


def _parsed(number: int, line: str | bytes, after: Place) -> Record:
    try:
        return Record(number, parse_line(line), "", after)
    except ValueError as error:
        return Record(number, None, str(error), after)
