"""A page of a large project is there before its figures: a bar moves, then they stand in its place."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from playwright.sync_api import Route, expect

from annotation import awaited
from annotation.models import Project, User
from annotation.progress import Progress, Work
from annotation.views import leaderboard
from annotation.views import progress as progress_page
from tests.annotation.test_consensus import said
from tests.browser.axe import check
from tests.browser.conftest import OpenPage, person
from tests.training import rows

THERE = "/projects/support-replies/leaderboard/"


@pytest.fixture(autouse=True)
def large(project: Project, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(awaited, "MANY", 5)
    project.tasks.update(overlap=2)
    for name in ("ann", "ben"):
        annotator = person(project, name)
        for number, task in enumerate(project.tasks.order_by("pk")[:6]):
            said(task, annotator, 2 if number % 2 else -1)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted before the bar has asked twice: the second time it is the bar that came of the first."""
    asked = threading.Semaphore(0)
    read, outcomes = progress_page.read, leaderboard.outcomes_of

    def noticed(work: Work, of: User | str) -> Progress | None:
        asked.release()
        return read(work, of)

    def counted(*values: Any, **named: Any) -> Any:
        assert asked.acquire(timeout=60) and asked.acquire(timeout=60)
        return outcomes(*values, **named)

    monkeypatch.setattr(progress_page, "read", noticed)
    monkeypatch.setattr(leaderboard, "outcomes_of", counted)


@pytest.mark.usefixtures("held")
def test_figures_take_the_place_of_their_bar(open_page: OpenPage, carol: User) -> None:
    page = open_page(carol)
    page.goto(THERE)
    page.get_by_label("Labels by").focus()
    expect(page.get_by_role("heading", name="Ranking")).to_be_visible()
    expect(page.locator(".awaited")).to_have_count(0)
    expect(page.locator("#standings")).to_have_count(1)
    expect(page.get_by_label("Labels by")).to_be_focused()
    expect(page.locator("#trouble")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("heading", name="Ranking")).to_be_visible()


def hold(route: Route) -> None:
    """Let the page through, and nothing that it asks for."""
    if route.request.is_navigation_request():
        route.continue_()


def test_the_waiting_page_is_accessible(open_page: OpenPage, carol: User) -> None:
    """What it asks for never comes, so it stays as it is while axe looks."""
    page = open_page(carol)
    for address in (f"**{THERE}", "**/progress/**"):
        page.route(address, hold)
    page.goto(THERE)
    expect(page.locator(".awaited progress")).to_be_visible()
    check(page)


def test_without_scripts_a_link_leads_to_them(open_page: OpenPage, carol: User) -> None:
    page = open_page(carol, javascript=False)
    page.goto(THERE)
    page.get_by_role("link", name="Show the figures").click()
    expect(page.get_by_role("heading", name="Ranking")).to_be_visible()


def diff(project: Project) -> str:
    base, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    prompts = rows.prompts(project, 6)
    for version, shift in ((base, -0.2), (tuned, 0.3)):
        rows.generations(version, scorer=scorer, prompts=prompts, shift=shift)
    return f"/models/compare/?a={base.pk}&b={tuned.pk}"


def test_a_diff_comes_part_by_part(open_page: OpenPage, project: Project, carol: User) -> None:
    page = open_page(carol)
    page.goto(diff(project))
    expect(page.get_by_role("heading", name="Change of the reward, prompt by prompt")).to_be_visible()
    expect(page.locator("#pairs .diffs > li")).to_have_count(6)
    expect(page.locator(".awaited")).to_have_count(0)
    page.get_by_label("Pairs for people").fill("3")
    page.get_by_role("button", name="Send to annotators").click()
    expect(page.get_by_text("3 new comparisons wait for people.")).to_be_visible()
    expect(page.locator("#pairs .diffs > li")).to_have_count(6)


def test_a_waiting_diff_is_accessible(open_page: OpenPage, project: Project, carol: User) -> None:
    page = open_page(carol)
    for address in ("**/models/compare/**", "**/progress/**"):
        page.route(address, hold)
    page.goto(diff(project))
    expect(page.locator(".awaited progress")).to_have_count(2)
    check(page)
