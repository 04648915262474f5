"""The embedded database server: started once by many, recovers from kill -9, borrowed by a command."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from config.postgres import Postgres
from tests.product import data_folder


@pytest.fixture
def server() -> Iterator[Postgres]:
    with data_folder() as folder:
        server = Postgres(folder / "postgres")
        yield server
        server.stop()
        assert not server.socket.exists()


def test_three_starters_start_one_server(server: Postgres) -> None:
    with ThreadPoolExecutor(3) as pool:
        started = list(pool.map(lambda _: Postgres(server.data).start(durable=False), range(3)))
    assert sorted(started) == [False, False, True]
    server.create_database("plumbline")
    server.create_database("plumbline")  # a second time changes nothing
    with psycopg.connect(server.url("plumbline")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_moved_folder_starts_where_it_is_now() -> None:
    with data_folder() as folder:
        before, now = Postgres(folder / "before" / "postgres"), Postgres(folder / "now" / "postgres")
        before.data.parent.mkdir(mode=0o755)
        before.start()
        # As folders were once made: with the place of the socket inside.
        with (before.data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"\nunix_socket_directories = '{before.socket}'\n")
        before.stop()
        before.data.parent.rename(now.data.parent)
        now.start()
        try:
            with psycopg.connect(now.url("postgres")) as connection:
                assert connection.execute("SHOW data_directory").fetchone() == (str(now.data),)
        finally:
            now.stop()


def test_kill_9_loses_no_commit(server: Postgres) -> None:
    server.start()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        for n in range(50):
            connection.execute("INSERT INTO kept VALUES (%s)", [n])
    pid = server.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while server.pid():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.start()
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (50,)


def test_a_command_borrows_the_server_and_leaves_it_as_it_was(server: Postgres) -> None:
    with server.running():
        assert server.pid()
    assert server.pid() is None
    server.start(durable=False)
    with server.running():
        pass
    assert server.pid()
