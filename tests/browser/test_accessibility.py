"""axe finds nothing on any labelling page, in both themes; no page scrolls sideways on a phone."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from annotation import actions
from annotation.models import Project, Task, User
from tests.annotation.conftest import make_tasks
from tests.annotation.test_quality import say
from tests.browser.conftest import OpenPage, person

THERE = "/projects/support-replies/"
ADMIN_PAGES = [
    "/",
    THERE,
    THERE + "guidelines/",
    THERE + "people/",
    THERE + "tasks/",
    THERE + "import/",
    THERE + "export/",
    THERE + "tasks/new/?what=all&overlap=1&priority=0",
    THERE + "gold/",
    THERE + "leaderboard/",
    THERE + "webhooks/",
    "/account/tokens/",
    "/api/",
    THERE + "agreement/",
    THERE + "agreement/consensus/",
    THERE + "adjudicate/",
    THERE + "adjudicate/decided/",
    "/projects/new/",
    THERE + "invitations/",
    THERE + "audit/",
    "/account/",
    "/account/erase/",
    "/account/email/",
    "/account/two-factor/",
    "/account/two-factor/totp/activate/",
    "/account/sessions/",
    "/accounts/",
    THERE + "judgments/",
    THERE + "guidelines/versions/",
    THERE + "settings/",
    "/account/keys/",
]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

SCREENS = [(1440, "light"), (1440, "dark"), (360, "light")]
"""Colours do not depend on the width: the narrow screen is checked in one theme."""

Touch = Callable[[Page], object]
STATES: dict[str, Touch] = {
    "untouched": lambda page: None,
    "chosen": lambda page: page.keyboard.press("x"),
    "refused": lambda page: page.evaluate("() => { judgment.noValidate = true; judgment.requestSubmit(); }"),
    "skipping": lambda page: page.keyboard.press("s"),
    "guidelines": lambda page: page.keyboard.press("g"),
    "keys": lambda page: page.keyboard.press("?"),
    "flagging": lambda page: page.keyboard.press("f"),
    "correcting": lambda page: page.keyboard.press("e"),
}


def check(page: Page) -> None:
    found = Axe().run(page, options=RULES)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_pages_around_the_task(open_page: OpenPage, project: Project, carol: User, theme: str, width: int) -> None:
    carol.is_superuser = True
    carol.save()
    stranger = open_page(None, theme=theme, width=width)
    for path in ("/login/", "/account/signup/", "/account/password/reset/", "/no/such/page/"):
        stranger.goto(path)
        check(stranger)
    page = open_page(carol, theme=theme, width=width)
    for path in ADMIN_PAGES:
        page.goto(path)
        check(page)


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_the_task_page_in_every_state(
    open_page: OpenPage, project: Project, alice: User, theme: str, width: int
) -> None:
    page = open_page(alice, theme=theme, width=width)
    for touch in STATES.values():
        page.goto(THERE + "annotate/")
        touch(page)
        page.wait_for_load_state("networkidle")
        check(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_rating_and_an_empty_queue(open_page: OpenPage, project: Project, theme: str) -> None:
    other = actions.create_project("Ratings", by=None)
    empty = actions.create_project("Empty", by=None)
    actions.add_criterion(other, key="helpful", name="Helpful", low_anchor="no help", high_anchor="just right")
    make_tasks(other, 1, kind="rating")
    bob = person(other, "bob")
    actions.add_member(empty, user=bob)
    for width in (360, 1440):
        page = open_page(bob, theme=theme, width=width)
        for slug in ("ratings", "empty"):
            page.goto(f"/projects/{slug}/annotate/")
            check(page)


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_pages_about_labels(
    open_page: OpenPage, project: Project, alice: User, carol: User, theme: str, width: int
) -> None:
    """With something on them: sources to rank, a person's figures, labels out of the count."""
    Task.objects.update(overlap=2)
    for number, task in enumerate(project.tasks.order_by("pk")):
        say(alice, task, "ab"[number % 2], active_seconds=30.0)
        say(carol, task, "a" if number < 9 else "tie")
    Task.objects.update(num_judged=2)
    actions.void_judgments(project, annotator=carol, by=carol, reason="for the look of it")
    one = f"{THERE}people/{project.memberships.get(user=alice).pk}/"
    page = open_page(carol, theme=theme, width=width)
    for path in (THERE + "leaderboard/", THERE + "leaderboard/?voters=all", THERE + "people/", one, THERE + "quality/"):
        page.goto(path)
        check(page)
    page.goto(THERE)
    page.get_by_text("Krippendorff").wait_for()
    check(page)
    page.goto(one)
    page.get_by_label("Why").fill("guessed")
    page.get_by_role("button", name="Show how many").click()
    page.get_by_text("14 labels").wait_for()
    check(page)
