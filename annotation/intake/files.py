"""Any file we take, as records: what it is shows in its first bytes, gzip is taken off on the way."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast, get_args

from django.utils.translation import gettext as _

from annotation.intake.records import START, Place, Record, read_json, read_jsonl
from annotation.intake.tables import DELIMITERS, read_csv, read_parquet

FileType = Literal["jsonl", "json", "csv", "parquet"]
FILE_TYPES: tuple[FileType, ...] = get_args(FileType)
GZIP = b"\x1f\x8b"
HEAD = 65536
"""Bytes by which a file is recognised."""


def detect_type(head: bytes) -> FileType:
    """What a file is by its first bytes, gzip taken off."""
    if head.startswith(b"PAR1"):
        return "parquet"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return "json"
    first = text.split(b"\n", 1)[0].decode(errors="replace")
    has_columns = any(delimiter in first for delimiter in DELIMITERS)
    return "csv" if has_columns and not first.startswith("{") else "jsonl"


def read_file(file: BinaryIO, file_type: FileType, start: Place = START) -> Iterator[Record]:
    """Its records from a place on.

    A JSON list is read from its beginning only. Gzip that breaks off ends in a record that says so.
    """
    last = start
    try:
        for record in _reader(file, file_type, start):
            last = record.after
            yield record
    except (EOFError, zlib.error, gzip.BadGzipFile):
        sentence = _("The gzip file breaks off or is damaged here. What comes before is in.")
        yield Record(last.line + 1, None, sentence, last)


def _reader(file: BinaryIO, file_type: FileType, start: Place) -> Iterator[Record]:
    if file_type == "parquet":
        return read_parquet(file, start)
    if file_type == "csv":
        return read_csv(file, start)
    return read_json(file) if file_type == "json" else read_jsonl(file, start)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, bytes]]:
    """The file with gzip taken off, and its first bytes. Raises OSError."""
    with path.open("rb") as raw:
        is_packed = raw.read(2) == GZIP
    with cast(BinaryIO, gzip.open(path)) if is_packed else path.open("rb") as file:
        try:
            head = file.read(HEAD)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            head = b""
        file.seek(0)
        yield file, head
