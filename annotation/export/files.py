"""Lines become a file's bytes, piece by piece: JSONL, a JSON list, CSV, Parquet, gzip around any of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import orjson
from django.utils.translation import gettext as _

from annotation.columns import COLUMNS
from annotation.export.tabular import Line, csv_pieces, parquet_pieces, pieces

FileType = Literal["jsonl", "json", "csv", "parquet"]
FILE_TYPES: tuple[FileType, ...] = get_args(FileType)
CONTENT_TYPES = {
    "jsonl": "application/jsonl", "json": "application/json", "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}  # fmt: skip
PIECE = 500
"""Lines in a piece of bytes."""


def check_type(format: str, file_type: FileType) -> None:
    """Raise ValueError with a sentence where the format cannot be a file of that type."""
    if file_type in ("csv", "parquet") and format not in COLUMNS:
        raise ValueError(
            _("“%(format)s” holds lists in lists, which no table does: choose JSONL or JSON.") % {"format": format}
        )


def encoded(lines: Iterable[Line], *, format: str, file_type: FileType, packed: bool = False) -> Iterator[bytes]:
    """The file. packed: gzip. Memory holds one piece of it, however long it is. Raises ValueError as check_type()."""
    check_type(format, file_type)
    if file_type == "csv":
        found = csv_pieces(lines, format)
    elif file_type == "parquet":
        found = parquet_pieces(lines, format)
    else:
        found = _json(lines) if file_type == "json" else _jsonl(lines)
    return _gzip(found) if packed else found


def _jsonl(lines: Iterable[Line]) -> Iterator[bytes]:
    for some in pieces(lines, PIECE):
        yield b"".join(orjson.dumps(line, default=str) + b"\n" for line in some)


def _json(lines: Iterable[Line]) -> Iterator[bytes]:
    before = b"["
    for some in pieces(lines, PIECE):
        yield before + b"\n" + b",\n".join(orjson.dumps(line, default=str) for line in some)
        before = b","
    yield b"\n]\n" if before == b"," else b"[]\n"


def _gzip(file: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in file:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
