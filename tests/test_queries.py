"""Every page costs as many queries with few rows as with many: one that grows with a list fails here, by its address.

The addresses are those of tests/test_access.py, so a page cannot be added without being measured.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.access_world import World
from tests.busy_world import grow, make_busy_world, pages

MOST = 45
"""Queries of any page, whatever it shows."""
ONE_EACH = {"usersessions_list"}
"""allauth's list of where one is logged in looks each of one's own sessions up; there are few."""


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> World:
    settings.UPLOADS_DIR = tmp_path
    return make_busy_world()


def cost(path: str, browser: Client) -> list[str]:
    """What the page asks of the database; of its cache, which is a table too, nothing."""
    cache.clear()
    with CaptureQueriesContext(connection) as queries:
        response = browser.get(path)
        if response.streaming:
            b"".join(response.streaming_content)
    assert response.status_code in {200, 401, 404}, path
    return [query["sql"] for query in queries if not re.search(r"SAVEPOINT|plumbline_cache", query["sql"])]


def test_no_page_asks_more_where_there_is_more_to_show(world: World) -> None:
    shown = {name: (path, world.browser(person)) for name, (path, person) in pages(world).items()}
    assert len(shown) >= 75
    grow(world, 2)
    few = {name: cost(*visit) for name, visit in shown.items()}
    grow(world, 4)
    many = {name: cost(*visit) for name, visit in shown.items()}
    grown = {name: (len(few[name]), many[name][-3:]) for name in shown if len(many[name]) > len(few[name])}
    assert grown.keys() == ONE_EACH, grown
    assert not {name: len(asked) for name, asked in many.items() if len(asked) > MOST}
