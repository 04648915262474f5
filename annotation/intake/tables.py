"""Tables as records: CSV in its dialects, Parquet by its row groups."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet
from django.utils.translation import gettext as _

from annotation.columns import is_ours, unharmed
from annotation.intake.cells import row_of
from annotation.intake.parsing import LONGEST_LINE, refuse_unstorable, too_long
from annotation.intake.records import START, Place, Record, raw_lines

DELIMITERS = ",;\t|"
ROWS_AT_ONCE = 256
"""Rows of Parquet in the hand as Python's values."""
FAR, MOST_FAR = 100_000, 20
"""Bytes over which the end of a quote was looked for in vain, and how often that may be in one file."""
MOST_IN_A_GROUP = 2**31
"""Bytes of a row group once unpacked: such a group is read whole."""

csv.field_size_limit(LONGEST_LINE)


def read_csv(file: BinaryIO, start: Place = START) -> Iterator[Record]:
    """file: can seek. Of a file that we wrote ourselves, the apostrophes before formulas are taken off again."""
    table = _Table(file)
    if table.problem:
        yield Record(1, None, table.problem, table.lines.place)
        return
    table.lines.go_on_from(max(start, table.lines.place))
    clean = unharmed if is_ours(table.names) else str
    for number, cells, problem in table.rows():
        if problem:
            yield Record(number, None, problem, table.lines.place)
        elif any(cell.strip() for cell in cells):
            yield _record(number, table.names, [clean(cell) for cell in cells], table.lines.place)


def _record(number: int, names: Sequence[str], cells: Sequence[Any], after: Place) -> Record:
    try:
        if len(cells) != len(names):
            raise ValueError(
                _("The row has %(found)d cells and the header %(expected)d: check its quotes and delimiters.")
                % {"found": len(cells), "expected": len(names)}
            )
        row = row_of(dict(zip(names, cells, strict=True)))
        refuse_unstorable(row)
    except ValueError as error:
        return Record(number, None, str(error), after)
    return Record(number, row, "", after)


class _Lines:
    """A CSV file's lines as csv.reader takes them; the place after the last is known, and so is where a row began."""

    def __init__(self, file: BinaryIO, place: Place) -> None:
        self.file = file
        self.go_on_from(place)

    def go_on_from(self, place: Place) -> None:
        self.file.seek(place.offset)
        self.place = self.begun = place
        self.lines = raw_lines(self.file, place)

    def begin_row(self) -> None:
        self.begun = self.place

    def leave_all_but_the_first(self) -> None:
        """Go on with the line after the one that the row began with."""
        self.file.seek(self.begun.offset)
        first = self.file.readline(LONGEST_LINE)
        self.go_on_from(Place(self.begun.offset + len(first), self.begun.line + 1))

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        number, offset, line = next(self.lines)
        self.place = Place(offset, number)
        if line is None:
            raise ValueError(too_long())
        if offset - self.begun.offset > LONGEST_LINE:
            raise _UnclosedError
        try:
            return line.removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError:
            raise ValueError(_("The line is not UTF-8 text: save the file as UTF-8.")) from None


class _UnclosedError(Exception):
    """A quote is open, and the file has gone on for longer than any row."""


class _Table:
    """A CSV file, row by row. A row may take several lines; a quote left open costs no line but its own."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        first = file.readline(LONGEST_LINE).decode(errors="replace")
        self.delimiter = max(DELIMITERS, key=first.count)
        self.lines = _Lines(file, START)
        _number, names, self.problem = next(self.rows(), (1, [], ""))
        self.names = [name.strip() for name in names]
        if not self.problem and not any(self.names):
            self.problem = _("The file is empty: its first line must name the columns.")
        elif len(set(self.names)) < len(self.names):
            self.problem = _("Two columns have the same name: give each a name of its own.")

    def rows(self) -> Iterator[tuple[int, list[str], str]]:
        """(line it begins on, cells, what is wrong)."""
        reader = self._reader()
        num_far = 0
        while True:
            self.lines.begin_row()
            number = self.lines.place.line + 1
            try:
                yield number, next(reader), ""
            except StopIteration:
                return
            except ValueError as error:
                yield number, [], str(error)
            except (csv.Error, _UnclosedError) as error:
                is_open = isinstance(error, _UnclosedError) or "end of data" in str(error)
                num_far += self.lines.place.offset - self.lines.begun.offset > FAR
                if self.lines.place.line > number:
                    self.lines.leave_all_but_the_first()
                    reader = self._reader()
                wrong = _("The row is not CSV (%(error)s): check its quotes.") % {"error": error}
                yield number, [], _unclosed() if is_open else wrong
                if num_far == MOST_FAR:
                    yield number + 1, [], _("Too many quotes are never closed: the rest of the file was not read.")
                    return

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self.lines, delimiter=self.delimiter, strict=True)


def _unclosed() -> str:
    return _("A quote opens in this line and is never closed: close it, or write two for one.")


def read_parquet(file: BinaryIO, start: Place = START) -> Iterator[Record]:
    """file: can seek. Row group by row group; a place is a number of rows."""
    try:
        table = pyarrow.parquet.ParquetFile(file)
        before = 0
        for group in range(table.num_row_groups):
            held = table.metadata.row_group(group)
            if before + held.num_rows > start.offset:
                if held.total_byte_size > MOST_IN_A_GROUP:
                    raise ValueError(_("A row group is larger than 2 GiB: write the file with smaller row groups."))
                yield from _rows_of_group(table, group, before, skip=start.offset - before)
            before += held.num_rows
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        sentence = _("The file cannot be read as Parquet (%(error)s).") % {"error": str(error).splitlines()[0][:200]}
        yield Record(start.line + 1, None, sentence, start)


def _rows_of_group(table: pyarrow.parquet.ParquetFile, group: int, before: int, *, skip: int) -> Iterator[Record]:
    number = before
    for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=[group]):
        passed = min(batch.num_rows, max(0, before + skip - number))
        number += passed
        for cells in batch.slice(passed).to_pylist():
            number += 1
            there = {name: cell for name, cell in cells.items() if cell is not None}
            yield _record(number, list(there), list(there.values()), Place(number, number))
