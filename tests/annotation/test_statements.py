"""Prepared statements: the first of a request shows whether a connection that was kept is still alive."""

import pytest
from django.db import OperationalError, connection, connections, transaction

from annotation.statements import prepared

PID = "SELECT pg_backend_pid()"


def next_request() -> None:
    connection.close_if_unusable_or_obsolete()


def end_connection() -> None:
    """As a restart of the database does."""
    pid = prepared(PID, {})[0][0]
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    other.close()


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_between_two_requests_is_replaced() -> None:
    end_connection()
    next_request()
    assert prepared("SELECT 1", {}) == [(1,)]


@pytest.mark.django_db(transaction=True)
def test_one_that_dies_in_a_transaction_is_not() -> None:
    """What came before in it is lost: to go on would keep half of it."""
    with pytest.raises(OperationalError), transaction.atomic():
        end_connection()
        prepared("SELECT 1", {})
    next_request()
    assert prepared("SELECT 1", {}) == [(1,)]


@pytest.mark.django_db
def test_values_are_named_in_any_order_and_as_often_as_wanted() -> None:
    statement = "SELECT %(b)s::text, %(a)s::bigint, %(b)s::text, 7 %% 4, %(c)s::bigint[]"
    assert prepared(statement, {"a": 1, "b": "%(a)s", "c": [1, 2], "d": "unused"}) == [("%(a)s", 1, "%(a)s", 3, [1, 2])]
