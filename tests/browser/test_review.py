"""A team compares two versions in a real browser: answers and log-probabilities come from the real trainer.

Two models of two layers write the answers and read them; then a reviewer votes blind, sees whose answer it was, and
closes the review.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Project, Role, User
from tests.browser.axe import check
from tests.browser.conftest import OpenPage, person
from tests.training.trainers import answered_pair, carry_out_here
from training import likelihoods
from training.models import ModelVersion, Review

Pair = tuple[ModelVersion, ModelVersion]


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings.VAR_DIR, settings.RUNS_DIR, settings.MODELS_DIR = tmp_path, tmp_path / "runs", tmp_path / "models"


@pytest.fixture
def pair(project: Project, carol: User, tmp_path: Path) -> Pair:
    a, b = answered_pair(project, tmp_path / "made", by=carol)
    carry_out_here(likelihoods.start_reading(a, b, by=carol))
    return a, b


def unfold_first(page: Page) -> None:
    first = page.locator(".tokens > summary").first
    first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".tokens").first).to_have_attribute("open", "")


def test_from_the_diff_to_the_verdict(open_page: OpenPage, pair: Pair, project: Project) -> None:
    a, b = pair
    page = open_page(person(project, "rita", Role.REVIEWER))
    page.goto(f"/models/compare/?a={a.pk}&b={b.pk}&order=kl")
    unfold_first(page)
    marked = page.locator(".heat").first.locator(".likelier, .rarer").first
    expect(marked).to_be_visible()
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        look = marked.evaluate("(e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).textDecorationLine]")
        assert look[0] not in ("rgba(0, 0, 0, 0)", "transparent"), "a colour"
        assert look[1] == "underline", "and not the colour alone"
    check(page)
    page.get_by_text("Change of the weights by layer").first.click()
    expect(page.get_by_role("rowheader", name="model.layers.1")).to_be_visible()

    page.get_by_role("button", name="Review the pair").click()
    page.get_by_role("link", name="Vote on the next pair").click()
    expect(page.get_by_role("heading", name="Which answer is better?")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text(b.name)
    check(page)
    page.get_by_role("button", name="The first is better").click()
    expect(page.locator("main")).to_contain_text("Your vote:")
    expect(page.locator(".pair")).to_contain_text(b.name)
    page.get_by_label("Comment").fill("The <b>second</b> one rambles.")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator(".stages")).to_contain_text("The <b>second</b> one rambles.")
    check(page)

    page.get_by_role("link", name="To the review").click()
    page.get_by_label("approve").check()
    page.get_by_label("Reason").fill("Kinder, as short.")
    page.get_by_role("button", name="Close it").click()
    expect(page.locator("main")).to_contain_text("Kinder, as short.")
    assert Review.objects.get().status == "approved"
    check(page)
