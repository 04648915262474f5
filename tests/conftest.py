"""The test database runs on an embedded PostgreSQL of its own, without fsync, started once and stopped at the end.

Where tests run side by side (pytest -n 2), each process has a folder and a server of its own: nothing is shared.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")
TEST_VAR = REPO / "var" / ("test" + PROCESS)

# Before Django reads the settings: tests write beside the product's own data, never into it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["PLUMBLINE_VAR"] = str(TEST_VAR)
if PROCESS:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """What `make run` does at every start: pages are tested in every language."""
    from config.catalogues import compile_all  # noqa: PLC0415  it reads the settings, and they read PLUMBLINE_VAR

    compile_all()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """Start the database server for the tests, unless DATABASE_URL names one."""
    from django.conf import settings  # noqa: PLC0415  the settings read PLUMBLINE_VAR, set above

    if os.environ.get("DATABASE_URL"):
        yield
        return
    started = settings.POSTGRES.start(durable=False)
    settings.POSTGRES.create_database("plumbline")
    yield
    if started:
        settings.POSTGRES.stop()
