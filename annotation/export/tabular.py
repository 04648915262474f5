"""Lines become a table's bytes, piece by piece: CSV and Parquet, both written by pyarrow.

Python's own csv module looks at every character one by one, ten times as long.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from annotation.columns import COLUMNS, NESTED, Kind, harmless

Line = dict[str, Any]
CSV_ROWS = 500
"""Rows in a piece of CSV."""
ROW_GROUP = 5000
"""Rows in a group of a Parquet file: what is in the hand at a time."""
MESSAGES = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
ARROW: Mapping[Kind, pyarrow.DataType] = {
    "text": pyarrow.string(), "json": pyarrow.string(), "messages": MESSAGES, "texts": pyarrow.list_(pyarrow.string()),
    "whole": pyarrow.int64(), "number": pyarrow.float64(), "flag": pyarrow.bool_(),
}  # fmt: skip
BYTE_ORDER_MARK = "\ufeff".encode()
"""By it spreadsheets know that the text is UTF-8."""
UNQUOTED = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
"""Texts in quotes, numbers bare, what is not there empty."""


def csv_pieces(lines: Iterable[Line], format: str) -> Iterator[bytes]:
    columns, rest, _first = _begun(lines, format)
    schema = pyarrow.schema([(name, ARROW[kind] if kind in BARE else ARROW["text"]) for name, kind in columns.items()])
    yield BYTE_ORDER_MARK + ",".join(columns).encode() + b"\n"
    for some in pieces(rest, CSV_ROWS):
        cells = {name: _cells(values, columns[name]) for name, values in _by_column(some, columns)}
        sink = pyarrow.BufferOutputStream()
        pyarrow.csv.write_csv(pyarrow.table(cells, schema=schema), sink, UNQUOTED)
        yield sink.getvalue().to_pybytes()


BARE: Sequence[Kind] = ("whole", "number", "flag")


def _cells(values: list[Any], kind: Kind) -> list[Any]:
    if kind in BARE:
        return values
    if kind == "text":
        return [None if value is None else harmless(value) for value in values]
    return [None if value is None else harmless(_as_text(value)) for value in values]


def parquet_pieces(lines: Iterable[Line], format: str) -> Iterator[bytes]:
    columns, rest, first = _begun(lines, format)
    sink = _Sink()
    schema = pyarrow.schema([(name, _type(name, kind, first)) for name, kind in columns.items()])
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for some in pieces(rest, ROW_GROUP):
            table = {name: _storable(values, schema.field(name).type) for name, values in _by_column(some, columns)}
            writer.write_table(pyarrow.table(table, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _type(name: str, kind: Kind, first: Line | None) -> pyarrow.DataType:
    """Messages are texts in the layouts that write them as such, which shows in the first line."""
    is_text = kind == "messages" and first is not None and isinstance(first.get(name), str)
    return pyarrow.string() if is_text else ARROW[kind]


def _storable(values: list[Any], kind: pyarrow.DataType) -> list[Any]:
    return [None if value is None else _as_text(value) for value in values] if kind == pyarrow.string() else values


# --- what both have in common -----------------------------------------------------------------------------------


def _begun(lines: Iterable[Line], format: str) -> tuple[Mapping[str, Kind], Iterator[Line], Line | None]:
    """The columns, all lines, and the first of them: a preference with its prompt inside has no column for it."""
    rest = iter(lines)
    first = next(rest, None)
    is_implicit = format == "preferences" and first is not None and "prompt" not in first
    columns = COLUMNS["preferences-implicit" if is_implicit else format]
    return columns, rest if first is None else itertools.chain([first], rest), first


def pieces(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    rest = iter(lines)
    while some := list(itertools.islice(rest, size)):
        yield some


def _by_column(lines: Sequence[Line], columns: Iterable[str]) -> Iterator[tuple[str, list[Any]]]:
    for name in columns:
        whole, _dot, part = name.partition(".")
        if part and whole in NESTED:
            yield name, [None if (nested := line.get(whole)) is None else nested[part] for line in lines]
        else:
            yield name, [line.get(name) for line in lines]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


class _Sink(io.RawIOBase):
    """A file whose bytes are taken away as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.held = bytearray()
        self.length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self.held += piece
        self.length += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self.length

    def taken(self) -> bytes:
        piece = bytes(self.held)
        self.held.clear()
        return piece
