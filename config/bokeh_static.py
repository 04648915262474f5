"""Serves Bokeh's browser script out of its Python package, so that no copy of it lies in the repo.

Only `bokeh/bokeh.min.js` is offered; the package's other bundles (some 40 MB) are not collected.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage, Storage

FILE = "bokeh.min.js"


class BokehFinder(BaseFinder):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # find_spec locates the package without importing it: importing Bokeh costs 0.3 s at every start.
        spec = importlib.util.find_spec("bokeh")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("Bokeh is missing: pip install -r requirements.txt")
        self.storage = FileSystemStorage(location=Path(spec.origin).parent / "server" / "static" / "js")
        self.storage.prefix = "bokeh"  # type: ignore[attr-defined]  # read by collectstatic
        super().__init__(*args, **kwargs)

    def find(self, path: str, find_all: bool = False, **_: Any) -> Any:
        found = self.storage.path(FILE) if path == f"bokeh/{FILE}" else None
        if find_all:
            return [found] if found else []
        return found

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, Storage]]:
        yield FILE, self.storage
