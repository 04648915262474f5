"""The test database runs on an embedded PostgreSQL of its own, without fsync, started once and stopped at the end."""

import os
from collections.abc import Iterator

import pytest

from tests import isolation

LONGEST = (
    *("browser/test_accessibility.py", "browser/test_thread.py", "browser/test_loop_pages.py", "browser/test_chat.py"),
    *("browser/test_foreign_text.py", "test_access.py", "rlhf/test_policy_step.py", "rlhf/test_memory.py"),
    *("rlhf/test_kill.py", "rlhf/test_distributed.py", "rlhf/test_train_policy.py", "rlhf/test_train_ilql.py"),
)
"""Files that take long. Where tests run side by side, a file to a process, they come first: one that came last would be
waited for while the other processes have nothing left to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {isolation.REPO / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


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
