"""The test database runs on an embedded PostgreSQL of its own, without fsync, started once and stopped at the end."""

import os
from collections.abc import Iterator

import pytest

from tests import isolation


def pytest_configure() -> None:
    """What `make run` does at every start: pages are tested in every language."""
    from django.conf import settings  # noqa: PLC0415  read only once isolation.py has said where tests write

    from config.catalogues import compile_all  # noqa: PLC0415

    assert settings.VAR_DIR == isolation.VAR, "tests would write into the product's own data: run `python -m pytest`"
    compile_all()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """Start the database server for the tests, unless DATABASE_URL names one."""
    from django.conf import settings  # noqa: PLC0415

    if os.environ.get("DATABASE_URL"):
        yield
        return
    started = settings.POSTGRES.start(durable=False)
    settings.POSTGRES.create_database("plumbline")
    yield
    if started:
        settings.POSTGRES.stop()
