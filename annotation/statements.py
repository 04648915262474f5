"""Statements that run for every label, prepared: PostgreSQL parses and plans each once a connection, not every time.

Planning one that lends a task takes longer than carrying it out. The values travel beside the statement, so PostgreSQL
has to find their types: write `%(name)s::bigint` where nothing else says what a value is.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections, transaction
from django.db.models import Model
from psycopg import RawCursor
from psycopg.types.numeric import Int8

Row = tuple[Any, ...]
NAMED = re.compile(r"%\((\w+)\)s")
P = ParamSpec("P")
R = TypeVar("R")


def joining(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb that is a transaction of its own, or, called within one, a part of it without a savepoint.

    For verbs that raise what people got wrong before they have written anything: a savepoint is two more statements.
    """

    @wraps(verb)
    def joined(*args: P.args, **kwargs: P.kwargs) -> R:
        with contextlib.nullcontext() if connection.in_atomic_block else transaction.atomic():
            return verb(*args, **kwargs)

    return joined


class LoggedCursor(RawCursor[Row]):
    """Takes the place of Django's own cursor below its wrappers, so that queries are logged and counted as all are."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> LoggedCursor:
        super().execute(query, params, **options | {"prepare": True})
        self._query = self._convert_query(query, params)  # what Django's log shows; psycopg sets it unless prepared
        return self


def prepared(statement: str, values: Mapping[str, object]) -> list[Row]:
    """The rows of the statement. Raises what Django raises for any other.

    Django asks a connection that was kept since the last request whether it is alive (SELECT 1) before it uses it. Here
    the first statement is the question: where the connection is dead, it is carried out on a new one.
    """
    own: Any = connections[DEFAULT_DB_ALIAS]  # the stubs know nothing of health checks
    is_unproven = own.connection is not None and not (own.health_check_done or own.in_atomic_block)
    try:
        rows = _rows(own, statement, values)
    except OperationalError:
        if not is_unproven or own.is_usable():
            raise
        own.close()
        rows = _rows(own, statement, values)
    own.health_check_done = True
    return rows


def _rows(own: Any, statement: str, values: Mapping[str, object]) -> list[Row]:
    own.ensure_connection()
    # psycopg would send each whole number in the smallest type it fits, and prepare the statement for every mixture.
    numbered, names = _numbered(statement)
    sent: Any = [Int8(value) if type(value) is int else value for value in map(values.__getitem__, names)]
    if own.queries_logged or own.execute_wrappers:
        logged: Any = LoggedCursor(own.connection)
        with own.make_debug_cursor(logged) if own.queries_logged else own.make_cursor(logged) as wrapped:
            wrapped.execute(numbered, sent)
            return _fetched(logged)
    # What Django's wrapper around a cursor does, which costs half as much as the statement itself.
    own.validate_no_broken_transaction()
    with own.wrap_database_errors:
        return _fetched(RawCursor(own.connection).execute(numbered, sent, prepare=True))


def _fetched(cursor: Any) -> list[Row]:
    rows: list[Row] = cursor.fetchall() if cursor.pgresult.nfields else []  # `description` describes every column
    return rows


@cache
def _numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """With numbered places for the values, as PostgreSQL takes it, and their names in that order.

    psycopg would read every statement for its names each time, but for the shorter ones of a few most recent.
    """
    names = tuple(dict.fromkeys(NAMED.findall(statement)))
    numbered = NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    return numbered.replace("%%", "%"), names


class Columns:
    """Some of a model's columns, for a SELECT, and the way back from a row to instances; `but`: fields left out.

    What is left out is fetched when somebody asks for it, as with `defer()`.
    """

    def __init__(self, model: type[Model], table: str, *, but: Collection[str] = ()) -> None:
        fields = [field for field in model._meta.concrete_fields if field.name not in but]
        self.model = model
        self.names = [field.attname for field in fields]
        self.sql = ", ".join(f'{table}."{field.column}"' for field in fields)
        self.converters = [
            (position, field.from_db_value, field)
            for position, field in enumerate(fields)
            if hasattr(field, "from_db_value")
        ]

    def instance(self, values: Iterator[Any]) -> Any:
        """Takes as many values as there are columns. None when the first, the key, is: an outer join found no row."""
        row = list(islice(values, len(self.names)))
        if row[0] is None:
            return None
        for position, convert, field in self.converters:
            row[position] = convert(row[position], field, connection)
        return self.model.from_db("default", self.names, row)


class Insert:
    """An INSERT of one row of a model, every column but its key and what the database fills in by itself: `sql` to
    build on, `values` of an unsaved instance.
    """

    def __init__(self, model: type[Model]) -> None:
        self.fields = [
            field for field in model._meta.concrete_fields if not (field.primary_key or field.has_db_default())
        ]
        columns = ", ".join(f'"{field.column}"' for field in self.fields)
        values = ", ".join(f"%({field.attname})s" for field in self.fields)
        self.sql = f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({values})"

    def values(self, instance: Model) -> dict[str, object]:
        return {
            field.attname: field.get_db_prep_save(getattr(instance, field.attname), connection) for field in self.fields
        }
