"""A ranking in a real browser: by keyboard alone, by mouse, on a phone, without JavaScript, with nothing lost."""

import pytest
from playwright.sync_api import Page, expect

from annotation import actions
from annotation.models import Judgment, Project, User
from tests.annotation.conftest import make_rankings
from tests.browser.axe import check
from tests.browser.conftest import OpenPage
from tests.browser.driving import wait_until_sent

ANNOTATE = "/projects/ranked/annotate/"


@pytest.fixture
def ranked(project: Project, alice: User) -> Project:
    """Rankings of five, four, and three answers, in this order."""
    made = actions.create_project("Ranked", by=None)
    actions.add_member(made, user=alice)
    for place, num in enumerate((5, 4, 3)):
        (task,) = make_rankings(made, 1, num=num, name=f"of {num}", priority=9 - place)
        task.prompt.messages = [{"role": "user", "content": f"Rank these {num}."}]
        task.prompt.save()
    return made


def places(page: Page) -> list[str]:
    """The chosen place of each answer, in the order of the page."""
    return page.locator(".place").evaluate_all(
        "rows => rows.map((row) => row.querySelector('input:checked')?.value ?? '')"
    )


def kept(user: User) -> list[list[int]]:
    """The places of each judgment that counts, in the order of the page, oldest judgment first."""
    found = []
    for judgment in Judgment.objects.counted().of(user).order_by("created_at"):
        ranks = {row.response_id: row.rank for row in judgment.ranks.all()}
        found.append([ranks[pk] for pk in judgment.assignment.order])
    return found


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def test_by_keyboard_alone(open_page: OpenPage, ranked: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    press(page, "2 1 t 5 4 3")
    assert places(page) == ["2", "1", "5", "4", "2"]
    press(page, "ArrowUp ArrowUp")  # the third answer: level with the fourth, then before it
    assert places(page) == ["2", "1", "4", "5", "2"]
    press(page, "4 t 3")  # both placed already: the third is tied with the fourth
    assert places(page) == ["2", "1", "4", "4", "2"]
    page.keyboard.press("n")
    page.keyboard.type("1 2 3")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Rank these 4.")).to_be_visible()
    assert places(page) == ["", "", "", ""]
    press(page, "1 2 3 Enter")
    expect(page.locator("#hint")).to_have_text("Give each answer a place, 1 is the best.")
    press(page, "4 Backspace 4 Enter")
    expect(page.get_by_text("Rank these 3.")).to_be_visible()
    press(page, "3 2 1 ArrowUp Enter")
    wait_until_sent(page)
    assert kept(alice) == [[2, 1, 3, 3, 2], [1, 2, 3, 4], [2, 2, 1]]
    assert Judgment.objects.counted().of(alice).order_by("created_at").first().rationale == "1 2 3"
    page.keyboard.press("u")
    expect(page.get_by_text("Rank these 3.")).to_be_visible()
    assert places(page) == ["2", "2", "1"]


def test_by_mouse_and_after_a_reload(open_page: OpenPage, ranked: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    for letter, place in zip("ABCDE", (5, 1, 1, 4, 3), strict=True):
        page.get_by_role("group", name=f"Place of answer {letter}").locator("label", has_text=str(place)).click()
    page.reload()
    assert places(page) == ["5", "1", "1", "4", "3"]
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Rank these 4.")).to_be_visible()
    wait_until_sent(page)
    assert kept(alice) == [[4, 1, 1, 3, 2]]


def test_without_javascript(open_page: OpenPage, ranked: Project, alice: User) -> None:
    page = open_page(alice, javascript=False)
    page.goto(ANNOTATE)
    for number, place in enumerate((1, 2, 3, 4, 5), start=1):
        page.locator(f"[name=place_{number}][value='{place}']").check(force=True)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Rank these 4.")).to_be_visible()
    assert kept(alice) == [[1, 2, 3, 4, 5]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_fits_and_is_accessible(open_page: OpenPage, ranked: Project, alice: User, width: int, theme: str) -> None:
    page = open_page(alice, width=width, theme=theme)
    page.goto(ANNOTATE)
    page.locator(".place label").first.click()
    check(page)
