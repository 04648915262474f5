"""The world of tests/access_world.py made once a module, for files of many small tests: each undoes what it did to it.

A test file imports both fixtures. What a test changes is rolled back in the database; rows that are in memory and the
files of the world are copies of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from tests.access_world import World, make_people, make_world


@pytest.fixture(scope="module")
def made(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Path]]:
    """The world and the folder of its files, in a transaction around those of the tests."""
    uploads = tmp_path_factory.mktemp("uploads")
    with django_db_blocker.unblock():
        around = transaction.atomic()
        around.__enter__()
        with override_settings(UPLOADS_DIR=uploads):
            world = make_world(make_people())
            world.log_everybody_in()
    yield world, uploads
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture
def world(made: tuple[World, Path], db: None, settings: Any, tmp_path: Path) -> World:
    """As it was made."""
    world, uploads = made
    settings.UPLOADS_DIR = shutil.copytree(uploads, tmp_path / "uploads")
    return deepcopy(world)
