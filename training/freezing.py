"""How far a freeze is: written beside the files while they fill, read by the page that waits for them.

A file and not a row: a freeze reads the database as of one moment, in a transaction whose writes nobody else sees.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from annotation.models import Judgment, Project

EVERY_SECONDS = 0.5
FORGOTTEN_SECONDS = 60.0
"""After which a word that nobody renewed is of a freeze that was killed."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Lines written, of how many at most, and for how long by now."""

    done: int
    total: int
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        return self.seconds / self.done * (self.total - self.done) if self.done else None


def read(project: Project) -> Progress | None:
    """Of the freeze that is under way; None where none is, or has said nothing yet."""
    try:
        said = json.loads(_path(project).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    now = time.time()
    if now - said["told"] > FORGOTTEN_SECONDS:
        return None
    return Progress(said["done"], max(said["total"], said["done"]), now - said["began"])


class Telling:
    """Says how far the lines are that pass through it."""

    def __init__(self, project: Project) -> None:
        self._path = _path(project)
        self._total = project.prompts.count() + Judgment.objects.votes().filter(task__project=project).count()
        self._done = 0
        self._began = time.time()
        self._next = time.monotonic() + EVERY_SECONDS

    def passing(self, lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            yield line
            self._done += 1
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + EVERY_SECONDS
                self._tell()

    def _tell(self) -> None:
        said = {"done": self._done, "total": self._total, "began": self._began, "told": time.time()}
        beside = self._path.with_name(f"{self._path.name}-{os.getpid()}")
        beside.write_text(json.dumps(said), encoding="utf-8")
        beside.replace(self._path)


@contextlib.contextmanager
def telling(project: Project) -> Iterator[Telling]:
    """Inside, the page may ask how far it is; afterwards there is nothing to ask for."""
    try:
        yield Telling(project)
    finally:
        _path(project).unlink(missing_ok=True)


def _path(project: Project) -> Path:
    return Path(settings.VAR_DIR) / "snapshots" / f".freezing-{project.pk}.json"
