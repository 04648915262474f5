"""Lines become a file's bytes, piece by piece: JSONL, a JSON list, CSV, Parquet, gzip around any of them."""

from __future__ import annotations

import csv
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

import orjson
import pyarrow
import pyarrow.parquet
from django.utils.translation import gettext as _

from annotation.columns import COLUMNS, NESTED, Kind, harmless

Line = dict[str, Any]
FileType = Literal["jsonl", "json", "csv", "parquet"]
FILE_TYPES: tuple[FileType, ...] = get_args(FileType)
CONTENT_TYPES = {
    "jsonl": "application/jsonl", "json": "application/json", "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}  # fmt: skip
PIECE = 500
"""Lines in a piece of bytes."""
ROW_GROUP = 5000
"""Rows in a group of a Parquet file: what is in the hand at a time."""
MESSAGES = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
ARROW: Mapping[Kind, pyarrow.DataType] = {
    "text": pyarrow.string(), "json": pyarrow.string(), "messages": MESSAGES, "texts": pyarrow.list_(pyarrow.string()),
    "whole": pyarrow.int64(), "number": pyarrow.float64(), "flag": pyarrow.bool_(),
}  # fmt: skip


def check_type(format: str, file_type: FileType) -> None:
    """Raise ValueError with a sentence where the format cannot be a file of that type."""
    if file_type in ("csv", "parquet") and format not in COLUMNS:
        raise ValueError(
            _("“%(format)s” holds lists in lists, which no table does: choose JSONL or JSON.") % {"format": format}
        )


def encoded(lines: Iterable[Line], *, format: str, file_type: FileType, packed: bool = False) -> Iterator[bytes]:
    """The file. packed: gzip. Memory holds one piece of it, however long it is. Raises ValueError as check_type()."""
    check_type(format, file_type)
    if file_type in ("csv", "parquet"):
        pieces = _table(lines, format, file_type)
    else:
        pieces = _json(lines) if file_type == "json" else _jsonl(lines)
    return _gzip(pieces) if packed else pieces


def _jsonl(lines: Iterable[Line]) -> Iterator[bytes]:
    for some in _pieces(lines, PIECE):
        yield b"".join(orjson.dumps(line, default=str) + b"\n" for line in some)


def _json(lines: Iterable[Line]) -> Iterator[bytes]:
    before = b"["
    for some in _pieces(lines, PIECE):
        yield before + b"\n" + b",\n".join(orjson.dumps(line, default=str) for line in some)
        before = b","
    yield b"\n]\n" if before == b"," else b"[]\n"


def _pieces(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    rest = iter(lines)
    while some := list(itertools.islice(rest, size)):
        yield some


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


# --- tables -----------------------------------------------------------------------------------------------------


def _table(lines: Iterable[Line], format: str, file_type: FileType) -> Iterator[bytes]:
    rest = iter(lines)
    first = list(itertools.islice(rest, 1))
    is_implicit = format == "preferences" and first and "prompt" not in first[0]
    columns = COLUMNS["preferences-implicit" if is_implicit else format]
    if file_type == "csv":
        yield from _csv(itertools.chain(first, rest), columns)
    else:
        yield from _parquet(itertools.chain(first, rest), columns, first)


def _csv(lines: Iterable[Line], columns: Mapping[str, Kind]) -> Iterator[bytes]:
    """With a byte order mark, by which spreadsheets know that it is UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    text.write("\ufeff")
    writer.writerow(columns)
    for some in itertools.chain(_pieces(lines, PIECE), [[]]):
        writer.writerows([_cell(_value(line, name)) for name in columns] for line in some)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _value(line: Line, name: str) -> Any:
    whole, _dot, part = name.partition(".")
    if part and whole in NESTED:
        nested = line.get(whole)
        return nested[part] if nested is not None else None
    return line.get(name)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, list | dict):
        return orjson.dumps(value, default=str).decode()
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _parquet(lines: Iterable[Line], columns: Mapping[str, Kind], first: list[Line]) -> Iterator[bytes]:
    """first: the first line, if any, by which the layout of messages is known."""
    sink = _Sink()
    schema = pyarrow.schema([(name, _type(name, kind, first)) for name, kind in columns.items()])
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for some in _pieces(lines, ROW_GROUP):
            table = {
                name: [_storable(_value(line, name), schema.field(name).type) for line in some] for name in columns
            }
            writer.write_table(pyarrow.table(table, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _type(name: str, kind: Kind, first: list[Line]) -> pyarrow.DataType:
    """Messages are texts in the layouts that write them as such."""
    is_text = kind == "messages" and first and isinstance(first[0].get(name), str)
    return pyarrow.string() if is_text else ARROW[kind]


def _storable(value: Any, kind: pyarrow.DataType) -> Any:
    return orjson.dumps(value, default=str).decode() if kind == pyarrow.string() and _is_nested(value) else value


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


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
