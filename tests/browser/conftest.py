"""A real Chromium against the real pages. Without one every test here is skipped, and says so.

Run apart from the other tests (`pytest tests/browser`): Playwright keeps an event loop in the main thread, in which
Django refuses the database unless DJANGO_ALLOW_ASYNC_UNSAFE is set; it is set here only, while the browser lives.
Side by side (-n 2), each process has a Chromium, pages and a database of its own.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from annotation import actions
from annotation.models import Project, Role, User
from tests.annotation.conftest import browser_of, make_tasks
from tests.browser import driving
from tests.browser.install import MISSING, find_chromium

REFUSED = "the server responded with a status of 4"
"""Chromium logs each such answer as an error; a test that wants none looks at what the page says."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=20_000)  # a busy machine is no failure
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with driving.chromium(program) as browser:
        yield browser
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser, live_server: LiveServer) -> Iterator[OpenPage]:
    """open_page(user, width=…, theme=…, javascript=…, expected=…): a page in which that person is logged in.

    When the test ends, any error on the console (a violated content security policy included) fails it, save those
    with one of the `expected` texts.
    """
    contexts: list[BrowserContext] = []
    troubles: list[str] = []

    def opened(
        user: User | None,
        *,
        width: int = 1440,
        theme: str = "light",
        javascript: bool = True,
        expected: tuple[str, ...] = (),
    ) -> Page:
        def notice(text: str) -> None:
            if not any(part in text for part in (REFUSED, *expected)):
                troubles.append(text)

        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 900 if width > 500 else 740},
            color_scheme="dark" if theme == "dark" else "light",
            java_script_enabled=javascript,
            locale=os.environ.get("PLUMBLINE_LOCALE", "en-US"),
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        if user is not None:
            log_in(context, user, address=live_server.url)
        page = context.new_page()
        page.on("console", lambda message: notice(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: notice(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()
    let_the_server_finish()
    assert not troubles


def let_the_server_finish() -> None:
    """Wait for the requests that are being answered: the tables are emptied next, and one would wait for the other
    for ever, until the database ends either of them."""
    for _time in range(200):
        if not any("process_request_thread" in thread.name for thread in threading.enumerate()):
            return
        time.sleep(0.05)


@pytest.fixture
def project(live_server: LiveServer) -> Project:
    """Fourteen comparisons of answers to read, and people to judge them."""
    created = actions.create_project("Support replies", by=None, guidelines="## Be kind\n\nOne apology is *enough*.")
    make_tasks(created, 14)
    return created


def log_in(context: BrowserContext, user: User, *, address: str) -> None:
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": browser_of(user).cookies[name].value, "url": address}])


def person(project: Project, name: str, role: Role = Role.ANNOTATOR) -> User:
    user = User.objects.create(username=name)
    actions.add_member(project, user=user, role=role)
    return user


@pytest.fixture
def alice(project: Project) -> User:
    return person(project, "alice")


@pytest.fixture
def carol(project: Project) -> User:
    return person(project, "carol", Role.ADMIN)
