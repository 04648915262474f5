"""A click on a curve leads to its step, and a freeze says how far it is while its page waits, in a real browser."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from annotation.models import Project, User
from tests.browser.conftest import OpenPage
from tests.training import rows
from training import freezing, snapshots


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
    read, remember = freezing.read, snapshots.remember_uses

    def counted(project: Project) -> freezing.Progress | None:
        asked.release()
        return read(project)

    def held(*values: Any) -> int:
        assert asked.acquire(timeout=60) and asked.acquire(timeout=60)
        return remember(*values)

    monkeypatch.setattr(freezing, "read", counted)
    monkeypatch.setattr(snapshots, "remember_uses", held)
    page = open_page(carol)
    page.goto(f"/projects/{project.slug}/freeze/")
    page.locator("main form[method=post] button.primary").click()
    page.wait_for_url("**/runs/new/**")
