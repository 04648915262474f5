"""How far a long piece of work is: written beside while it goes on, read by the page that waits for it.

    with progress.telling(Work.VOIDING, request.user) as telling:
        telling.expect(num)
        for row in telling.passing(rows): ...

A file and not a row: work is one transaction, whose writes nobody else sees before its end. What a person does twice at
once has one file; the page then shows the one that wrote last. Figures are nobody's own: they have a file each.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from django.conf import settings

from annotation.models import User

Item = TypeVar("Item")

EVERY_SECONDS = 0.5
FORGOTTEN_SECONDS = 60.0
"""After which a word that nobody renewed is of work that was killed."""
JUST_BEGUN = 0.02
"""A smaller share of the work says nothing of how long the rest will take."""


class Work(StrEnum):
    """What may take more than two seconds in a large project; the value stands in addresses."""

    EXPORT = "export"
    TASKS = "tasks"
    VOIDING = "voiding"
    ACCOUNT_DATA = "account-data"
    ERASURE = "erasure"
    FREEZE = "freeze"
    ROUND = "round"
    MODEL = "model"
    PAIRS = "pairs"
    FIGURES = "figures"
    """Of a page, counted for whoever looks; told under a mark instead of a person."""


@dataclass(frozen=True)
class Progress:
    """Steps done, of how many (0: not counted yet), and for how long by now."""

    done: int
    total: int
    seconds: float
    is_over: bool

    @property
    def percent(self) -> int:
        return min(100, 100 * self.done // self.total) if self.total else 0

    @property
    def seconds_left(self) -> float | None:
        if not self.total or self.done < JUST_BEGUN * self.total:
            return None
        return self.seconds / self.done * max(0, self.total - self.done)


class Telling:
    """Writes how far the work is, a few times a second at most. Without a file: tells nobody."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._total = self._done = 0.0
        self._began, self._next = time.time(), 0.0

    def expect(self, steps: float) -> None:
        """So many steps more are to come."""
        self._total += steps
        self._tell()

    def advance(self, steps: float = 1) -> None:
        self._done += steps
        if time.monotonic() >= self._next:
            self._tell()

    def passing(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items as they are, each of them a step."""
        for item in items:
            yield item
            self.advance()

    def within(self, steps: float, items: Sequence[Item]) -> Iterator[Item]:
        """The items as they are; all of them together are so many steps."""
        for item in items:
            yield item
            self.advance(steps / len(items))

    def parts(self, items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
        """The items, so many at a time; each of them is a step."""
        self.expect(len(items))
        for start in range(0, len(items), size):
            part = items[start : start + size]
            yield part
            self.advance(len(part))

    def end(self) -> None:
        self._tell(is_over=True)

    def _tell(self, *, is_over: bool = False) -> None:
        self._next = time.monotonic() + EVERY_SECONDS
        if self._path is None:
            return
        said = {
            "done": round(self._done),
            "total": round(self._total),
            "began": self._began,
            "told": time.time(),
            "over": is_over,
        }
        beside = self._path.with_name(f"{self._path.name}-{os.getpid()}-{threading.get_ident()}")
        beside.write_text(json.dumps(said), encoding="utf-8")
        beside.replace(self._path)


NOBODY = Telling(None)
"""For who calls an act without a page that waits."""


@contextlib.contextmanager
def telling(work: Work, of: User | str) -> Iterator[Telling]:
    """Inside, the person's pages (those with the mark) may ask how far it is; afterwards they hear that it is over."""
    path = _path(work, of)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(of, str):
        _forget_old(path.parent)
    told = Telling(path)
    told.expect(0)
    try:
        yield told
    finally:
        told.end()


def read(work: Work, of: User | str) -> Progress | None:
    """Of the newest work of this name; None where there is none, or it was over long ago."""
    try:
        said = json.loads(_path(work, of).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    now = time.time()
    if now - said["told"] > FORGOTTEN_SECONDS:
        return None
    return Progress(said["done"], said["total"], now - said["began"], said["over"])


def _path(work: Work, of: User | str) -> Path:
    return Path(settings.VAR_DIR) / "progress" / f"{work.value}-{of if isinstance(of, str) else of.pk}.json"


def _forget_old(folder: Path) -> None:
    """People are few, marks come anew with every label: what is no longer read goes."""
    for file in folder.glob(f"{Work.FIGURES.value}-*"):
        with contextlib.suppress(FileNotFoundError):  # somebody else's request takes it away
            if time.time() - file.stat().st_mtime > FORGOTTEN_SECONDS:
                file.unlink()
