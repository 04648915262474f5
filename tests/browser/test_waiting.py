"""A click on a curve leads to its step; a freeze and a download say how far they are while a page waits for them."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from annotation.models import Project, User
from annotation.progress import Progress, Work
from annotation.views import exports
from annotation.views import progress as progress_page
from tests.browser.conftest import OpenPage
from tests.training import rows
from training import snapshots


@pytest.fixture(autouse=True)
def own_folders(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR, settings.RUNS_DIR = tmp_path, tmp_path / "runs"


def test_a_click_on_a_curve_leads_to_the_step(open_page: OpenPage, project: Project, carol: User) -> None:
    base, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    page = open_page(carol)
    page.goto(f"/runs/{tuned.run_id}/")
    expect(page.locator('[data-source="kl:kl/sequence"]')).to_have_attribute("data-points", "40")
    expect(page.locator("#curves")).to_have_attribute("data-finished", "true")
    chart = page.locator("#chart-kl")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    chart.click(position={"x": 0.75 * box["width"], "y": 0.4 * box["height"]})
    page.wait_for_url(re.compile(rf"/runs/{tuned.run_id}/steps/\d+/"))
    step = int(page.url.rstrip("/").rsplit("/", 1)[1])
    assert 22 < step < 36, "three quarters of the way from the axis to the end"
    expect(page.locator("h1")).to_contain_text(f"step {step}")


def test_a_freeze_is_followed_while_its_page_waits(
    open_page: OpenPage, project: Project, alice: User, carol: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The freeze is kept from ending until the page has asked twice how far it is: what asks the second time is the bar
    that came of the first. The page itself cannot be looked at while it is being left.
    """
    rows.label(project, by=alice, prompts=rows.prompts(project, 12))
    asked = threading.Semaphore(0)
    read, remember = progress_page.read, snapshots.remember_uses

    def counted(work: Work, user: User) -> Progress | None:
        asked.release()
        return read(work, user)

    def held(*values: Any) -> int:
        assert asked.acquire(timeout=60) and asked.acquire(timeout=60)
        return remember(*values)

    monkeypatch.setattr(progress_page, "read", counted)
    monkeypatch.setattr(snapshots, "remember_uses", held)
    page = open_page(carol)
    page.goto(f"/projects/{project.slug}/freeze/")
    page.locator("main form[method=post] button.primary").click()
    page.wait_for_url("**/runs/new/**")


def test_a_download_is_followed_on_its_page(
    open_page: OpenPage, project: Project, carol: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is kept from beginning until the page has asked twice; the page stays, and hears when it is over."""
    asked = threading.Semaphore(0)
    read, about = progress_page.read, exports.num_lines

    def counted(work: Work, user: User) -> Progress | None:
        asked.release()
        return read(work, user)

    def held(*values: Any) -> int:
        assert asked.acquire(timeout=60) and asked.acquire(timeout=60)
        return about(*values)

    monkeypatch.setattr(progress_page, "read", counted)
    monkeypatch.setattr(exports, "num_lines", held)
    page = open_page(carol)
    page.goto(f"/projects/{project.slug}/export/?format=prompts")
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.path().read_text(encoding="utf-8").count("\n") == 14
    expect(page.locator(".waits")).to_have_text("Done.")
