"""Files that people send: written to disk as they come, up to a size, outside of everything that is served."""

from __future__ import annotations

import gzip
import tempfile
import uuid
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson
import pyarrow
import pyarrow.parquet
from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload, TemporaryFileUploadHandler
from django.utils.translation import gettext as _

from annotation.intake.files import FileType, detect_type, opened
from annotation.intake.records import read_json

PIECE = 1 << 20
UNPACKED = 4
"""A file may grow to so many times the size limit when it is unpacked."""
TOO_LARGE = "plumbline.upload_too_large"


class Upload(TemporaryUploadedFile):
    """A file on its way in, on the disk on which it will stay."""

    def __init__(self, name: str, content_type: str, size: int, charset: str | None, extra: Any) -> None:
        file = tempfile.NamedTemporaryFile(suffix=".upload", dir=settings.UPLOADS_DIR)  # noqa: SIM115  it closes itself
        UploadedFile.__init__(self, file, name, content_type, size, charset, extra)


class Uploads(TemporaryFileUploadHandler):
    """Writes under UPLOADS_DIR; a file over the limit is thrown away as it comes, and the request knows it."""

    size = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        Path(settings.UPLOADS_DIR).mkdir(parents=True, exist_ok=True)
        FileUploadHandler.new_file(self, *args, **kwargs)
        self.file = Upload(self.file_name or "", self.content_type or "", 0, self.charset, self.content_type_extra)
        self.size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.size += len(raw_data)
        if self.size > settings.UPLOAD_MAX_BYTES:
            self.file.close()
            if self.request is not None:
                self.request.META[TOO_LARGE] = True
            raise StopUpload(connection_reset=False)
        super().receive_data_chunk(raw_data, start)


def too_large() -> str:
    return _("The file is larger than %(most)d MB: split it, or import it with “manage.py import_data”.") % {
        "most": settings.UPLOAD_MAX_BYTES // 10**6
    }


class Kept(NamedTuple):
    """A file as it lies there. size: bytes, of Parquet rows."""

    key: uuid.UUID
    file_type: FileType
    size: int


def path_of(key: uuid.UUID) -> Path:
    return Path(settings.UPLOADS_DIR) / key.hex


def keep(upload: UploadedFile[Any], file_type: FileType | None = None) -> Kept:
    """Lay a file down so that it can be read from any place: gzip taken off, a JSON list as lines.

    Raises ValueError with a sentence for what cannot be read at all.
    """
    key = uuid.uuid4()
    path = path_of(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = path.with_suffix(".raw")
    try:
        with raw.open("wb") as file:
            for piece in upload.chunks(PIECE):
                file.write(piece)
        with opened(raw) as (file, head):
            if not head:
                raise ValueError(_("The file is empty, or its gzip is damaged."))
            found = file_type or detect_type(head)
            _lay_down(file, path, found)
        return Kept(key, "jsonl" if found == "json" else found, _size(path, found))
    except ValueError:
        path.unlink(missing_ok=True)
        raise
    finally:
        raw.unlink(missing_ok=True)


def _lay_down(file: BinaryIO, path: Path, file_type: FileType) -> None:
    """What of a broken gzip can be read is kept; the last line then says itself that it is cut."""
    most = UNPACKED * settings.UPLOAD_MAX_BYTES
    with path.open("wb") as target:
        for piece in _as_lines(file) if file_type == "json" else _pieces(file):
            target.write(piece)
            if target.tell() > most:
                raise ValueError(
                    _("Unpacked, the file is larger than %(most)d MB: split it.") % {"most": most // 10**6}
                )


def _pieces(file: BinaryIO) -> Any:
    try:
        while piece := file.read(PIECE):
            yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield b"\n{ The gzip file breaks off or is damaged here."


def _as_lines(file: BinaryIO) -> Any:
    """Entries as lines. One that cannot be read stays one that cannot be read."""
    try:
        for record in read_json(file):
            yield (orjson.dumps(record.row) if record.row is not None else b"{ " + record.problem.encode()) + b"\n"
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield b"{ The gzip file breaks off or is damaged here.\n"


def _size(path: Path, file_type: FileType) -> int:
    if file_type != "parquet":
        return path.stat().st_size
    try:
        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        sentence = _("The file cannot be read as Parquet (%(error)s).")
        raise ValueError(sentence % {"error": str(error).splitlines()[0][:200]}) from None
