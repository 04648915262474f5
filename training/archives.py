"""A folder as a tar stream, made while it is sent: nothing is written to the disk, however large the model is."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

READ_BYTES = 1 << 20


class _Outlet(io.RawIOBase):
    """What tarfile writes into; `taken` empties it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes, /) -> int:  # type: ignore[override]
        self._pieces.append(bytes(piece))
        return len(piece)

    def tell(self) -> int:
        return 0  # tarfile asks where it begins

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def tar_of(folder: Path, *, name: str, extra: Mapping[str, bytes]) -> Iterator[bytes]:
    """The folder's files under name/, in the order of their paths; extra: more files by path, which win over them."""
    for part in _parts(folder, name=name, extra=extra):
        if isinstance(part, bytes):
            yield part
            continue
        with part.open("rb") as handle:
            while piece := handle.read(READ_BYTES):
                yield piece


def size_of(folder: Path, *, name: str, extra: Mapping[str, bytes]) -> int:
    """The bytes that tar_of() gives, counted without reading a file: a browser then says how long the rest takes."""
    parts = _parts(folder, name=name, extra=extra)
    return sum(len(part) if isinstance(part, bytes) else part.stat().st_size for part in parts)


def _parts(folder: Path, *, name: str, extra: Mapping[str, bytes]) -> Iterator[bytes | Path]:
    """What stands around the files, and the files whose content stands between."""
    outlet = _Outlet()
    with tarfile.open(fileobj=outlet, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in extra.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            within = file.relative_to(folder).as_posix()
            if within in extra:
                continue
            info = tarfile.TarInfo(f"{name}/{within}")
            info.size, info.mtime = file.stat().st_size, int(file.stat().st_mtime)
            # addfile(info) writes the header alone, so that the content can be passed on piece by piece.
            archive.addfile(info)
            yield outlet.taken()
            yield file
            yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
            archive.offset += info.size + -info.size % tarfile.BLOCKSIZE
    yield outlet.taken()
