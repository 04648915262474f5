"""Rows of the database by the thousand: read through a cursor on the server, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import orjson
from django.db import connection, transaction
from django.db.models import QuerySet
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

Row = TypeVar("Row")

BATCH = 2000
"""Rows in the hand at a time, and ids in the queries that look up what belongs to them."""


def batches(rows: QuerySet[Any, Any]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a values_list() in their order, BATCH at a time.

    The next are fetched in a thread while these are worked on, so that the database and Python share the time.

    The driver makes Python's values of them, JSON included: Django's converters, called for each value, take longer
    than all the rest.
    """
    query, params = rows.query.sql_with_params()
    with connection.chunked_cursor() as cursor, ThreadPoolExecutor(1) as pool:
        set_json_loads(orjson.loads, context=cursor.cursor)
        cursor.cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        cursor.execute(query, params)
        coming = pool.submit(cursor.fetchmany, BATCH)
        while batch := coming.result():
            coming = pool.submit(cursor.fetchmany, BATCH)
            yield batch


def at_one_moment(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows as the database is when the first of them is asked for, however long they take."""
    is_inside = connection.in_atomic_block
    with transaction.atomic():
        if not is_inside:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield from rows
