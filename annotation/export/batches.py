"""Rows of the database by the thousand: read through a cursor on the server, so that memory does not grow with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

BATCH = 2000
"""Rows in the hand at a time, and ids in the queries that look up what belongs to them."""


def batches(rows: QuerySet[Any, Any], size: int = BATCH) -> Iterator[list[Any]]:
    """The rows in their order, `size` at a time."""
    found = rows.iterator(chunk_size=size)
    while batch := list(itertools.islice(found, size)):
        yield batch
