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

from tests.access_world import PEOPLE, World, make_people, make_world
from tests.busy_world import grow
from tests.test_access import EXPECTED

MOST = 45
"""Queries of any page, whatever it shows."""
ONE_EACH = {"usersessions_list"}
"""allauth's list of where one is logged in looks each of one's own sessions up; there are few."""


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> World:
    settings.UPLOADS_DIR = tmp_path
    made = make_world(make_people())
    made.people["dana"].is_superuser = True
    made.people["dana"].save()
    return made


def pages(world: World) -> dict[str, tuple[str, Client]]:
    """The addresses that show somebody something, each with a browser of the person who is shown the most."""
    found = {}
    for name, expected in EXPECTED.items():
        shown = [person for person, status in zip(PEOPLE, expected.statuses, strict=True) if status == 200]
        person = "dana" if "dana" in shown or not shown else shown[-1]
        path, browser = world.address(name, expected), world.browser(person)
        # What takes a right of the installation, this Dana may see, too.
        if expected.method == "get" and (shown or browser.get(path).status_code == 200):
            found[name] = path, browser
    return found


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
    shown = pages(world)
    assert len(shown) >= 75
    grow(world, 2)
    few = {name: cost(*visit) for name, visit in shown.items()}
    grow(world, 4)
    many = {name: cost(*visit) for name, visit in shown.items()}
    grown = {name: (len(few[name]), many[name][-3:]) for name in shown if len(many[name]) > len(few[name])}
    assert grown.keys() == ONE_EACH, grown
    assert not {name: len(asked) for name, asked in many.items() if len(asked) > MOST}
