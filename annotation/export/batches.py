"""Rows of the database by the thousand: read through a cursor on the server, so that memory does not grow with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import QuerySet

Row = TypeVar("Row")

BATCH = 2000
"""Rows in the hand at a time, and ids in the queries that look up what belongs to them."""


def batches(rows: QuerySet[Any, Any], size: int = BATCH) -> Iterator[list[Any]]:
    """The rows in their order, `size` at a time."""
    found = rows.iterator(chunk_size=size)
    while batch := list(itertools.islice(found, size)):
        yield batch


def at_one_moment(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows as the database is when the first of them is asked for, however long they take."""
    is_inside = connection.in_atomic_block
    with transaction.atomic():
        if not is_inside:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield from rows
