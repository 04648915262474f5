"""axe finds nothing on any page, in both themes and both widths; no page scrolls sideways on a phone.

The pages are those of tests/test_access.py: one that is added is visited, or fails here. What pages show only after
something was done is visited state by state; pages of an account's second factor: test_account_pages.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from annotation import actions
from annotation.actions import imports
from annotation.models import Import, Project, User
from tests.access_world import World
from tests.annotation.conftest import make_rankings, make_tasks
from tests.browser.axe import check
from tests.browser.conftest import OpenPage, person
from tests.browser.test_account_pages import OF_AN_ACCOUNT
from tests.busy_world import grow, make_busy_world, pages
from tests.test_access import EXPECTED

THERE = "/projects/support-replies/"
NO_PAGES = {
    "openid_connect_login": "leads to the service",
    "openid_connect_callback": "leads back from it",
    "socialaccount_signup": "leads to the login: no service asks here for more than it knows",
    "mfa_login_webauthn": "what the script of the login page asks",
    "mfa_download_recovery_codes": "a file",
    "annotation:api_unknown": "for programs",
    "training:review_next": "leads to a pair",
    "annotation:progress": "a part of the page that waits",
}
UNFOLD = "() => document.querySelectorAll('main details').forEach((folded) => { folded.open = true; })"
REFUSED_BY_A_SERVICE = "socialaccount_login_error"
SEND_EMPTY = """() => {
    const form = document.querySelector("main form[method=post]:has(input:not([type=hidden]), textarea)");
    for (const field of form.querySelectorAll("input:not([type=hidden]), textarea")) field.value = "";
    form.noValidate = true;
    form.requestSubmit();
}"""


@pytest.fixture
def world(live_server: Any, settings: Any, tmp_path: Path) -> World:
    settings.RUNS_DIR = settings.UPLOADS_DIR = tmp_path
    made = make_busy_world()
    grow(made)
    return made


def there(name: str, *values: object) -> str:
    return reverse(f"annotation:{name}", args=["support", *values])


def test_every_address_is_visited(world: World) -> None:
    of_get = {name for name, expected in EXPECTED.items() if expected.method == "get"}
    assert of_get - pages(world).keys() == OF_AN_ACCOUNT | NO_PAGES.keys() | {REFUSED_BY_A_SERVICE}


def test_every_page(open_page: OpenPage, world: World) -> None:
    people = {name: open_page(world.people.get(name)) for name in ("nobody", "alice", "dana")}
    troubles, num = [], 0
    for path, seen_by in pages(world).values():
        if "text/html" in world.ask(seen_by, path)[1]:
            people[seen_by].goto(path)
            people[seen_by].evaluate(UNFOLD)
            num += 1
            try:
                check(people[seen_by])
            except AssertionError as trouble:  # all of them at once
                troubles.append(str(trouble))
    assert not troubles, "\n".join(troubles)
    assert num > 60


def test_pages_for_those_who_may_not(open_page: OpenPage, world: World) -> None:
    link = world.address("annotation:invitation", EXPECTED["annotation:invitation"])
    for name, path in [
        ("nobody", link),
        ("charlie", link),
        ("nobody", "/no/such/page/"),
        ("nobody", reverse(REFUSED_BY_A_SERVICE)),
        ("alice", there("settings")),
    ]:
        page = open_page(world.people.get(name))
        page.goto(path)
        check(page)
    page = open_page(None)
    page.goto("/login/")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text("correct username")
    check(page)
    page.context.clear_cookies()
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("too old to be sent").wait_for()
    check(page)


def test_pages_that_are_at_something(open_page: OpenPage, world: World) -> None:
    """An import while it runs and when it is over; counts before something is made or taken out of the count."""
    dana, tasks = world.people["dana"], world.project.tasks
    page = open_page(dana)
    page.route("**/step/", lambda route: route.fulfill(status=204))  # else the import would be over at once
    running = imports.start_import(world.file.pk, by=dana)
    for path in (
        there("import", running.pk),
        there("import", Import.objects.filter(status="done").latest("pk").pk),
        there("tasks_new") + "?what=all&overlap=1&priority=0",
        *(there("gold_task", tasks.filter(kind=kind).latest("pk").pk) for kind in ("rating", "ranking")),
    ):
        page.goto(path)
        check(page)
    page.goto(there("person", world.project.memberships.filter(user__username__startswith="fay").latest("pk").pk))
    page.get_by_label("Why").fill("guessed")
    page.get_by_role("button", name="Show how many").click()
    page.get_by_text("will count no more").wait_for()
    check(page)


def test_forms_that_come_back(open_page: OpenPage, world: World) -> None:
    """With a sentence beside each field that will not do."""
    page = open_page(world.people["dana"])
    for name in ("project_new", "tokens", "settings", "people", "invitations", "webhooks"):
        page.goto(world.address(f"annotation:{name}", EXPECTED[f"annotation:{name}"]))
        page.evaluate(SEND_EMPTY)
        page.locator(".errorlist").first.wait_for()
        check(page)


Touch = Callable[[Page], object]
TROUBLES = ("unreachable", "login", "refused", "waiting", "lost", "done")
SEND_NOTHING = "() => { judgment.noValidate = true; judgment.requestSubmit(); }"
SHOW = "(name) => { document.querySelector(`[data-trouble=${name}]`).hidden = false; }"
STATES: dict[str, Touch] = {
    "untouched": lambda page: None,
    "refused": lambda page: [page.evaluate(SEND_NOTHING), page.locator("#task [role=alert]").wait_for()],
    "chosen": lambda page: page.keyboard.press("x"),
    "skipping": lambda page: page.keyboard.press("s"),
    "guidelines": lambda page: page.keyboard.press("g"),
    "keys": lambda page: page.keyboard.press("?"),
    "flagging": lambda page: page.keyboard.press("f"),
    "correcting": lambda page: page.keyboard.press("e"),
    "in trouble": lambda page: [page.evaluate(SHOW, name) for name in TROUBLES],
}


def test_the_task_page_in_every_state(open_page: OpenPage, project: Project, alice: User, carol: User) -> None:
    page = open_page(alice)
    for touch in STATES.values():
        page.goto(THERE + "annotate/")
        page.wait_for_load_state("networkidle")  # an answer that comes late takes back what is said of troubles
        touch(page)
        page.wait_for_load_state("networkidle")
        check(page)
    expect(page.locator("[data-trouble]:visible")).to_have_count(len(TROUBLES))
    actions.publish_guidelines(project, text="## Be kind\n\nTwo apologies are *too many*.", by=carol)
    page.goto(THERE + "annotate/")
    page.get_by_text("The guidelines changed").wait_for()
    check(page)


def test_the_other_kinds_and_an_empty_queue(open_page: OpenPage, project: Project) -> None:
    made = {name: actions.create_project(name, by=None) for name in ("Ratings", "Rankings", "Empty")}
    actions.add_criterion(
        made["Ratings"], key="helpful", name="Helpful", low_anchor="no help", high_anchor="just right"
    )
    make_tasks(made["Ratings"], 1, kind="rating")
    make_rankings(made["Rankings"], 1, num=5)
    bob = person(made["Empty"], "bob")
    for other in (made["Ratings"], made["Rankings"]):
        actions.add_member(other, user=bob)
    page = open_page(bob)
    for slug in ("ratings", "rankings", "empty"):
        page.goto(f"/projects/{slug}/annotate/")
        check(page)
