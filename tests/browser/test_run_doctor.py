"""What the run doctor says of real runs, on their page: curves recorded from the trainer (tests/training/recorded) come
in through the run's folder, as they do while it trains.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from annotation.models import Project, User
from tests.browser.axe import check
from tests.browser.conftest import OpenPage
from tests.training import rows
from tests.training.test_doctor import recorded
from training.doctor import SHORTEST, examine
from training.follow import follow
from training.models import Run
from training.rlhf.rundir import RunDir

YOUNG = 4 * SHORTEST - 1
"""Steps after which its windows are still too short to say anything."""


@pytest.fixture(autouse=True)
def own_folders(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR, settings.RUNS_DIR, settings.MODELS_DIR = tmp_path, tmp_path / "runs", tmp_path / "models"


def under_way(project: Project, name: str) -> Run:
    """A run of the recording's settings that has measured nothing yet."""
    kind, settings, _steps = recorded(name)
    run = rows.run(project, kind, status="running", config=settings, step=0, total_steps=0, heartbeat_at=timezone.now())
    run.folder.mkdir(parents=True)
    return run


def let_happen(run: Run, name: str, *, first: int = 1, last: int | None = None) -> None:
    """The trainer writes the recording's steps, both ends among them; without a last one it comes to its end."""
    steps = recorded(name)[2]
    with RunDir(run.folder).open_events() as events:
        for step, values in list(enumerate(steps, start=1))[first - 1 : last]:
            events.metrics(step=step, values=values)
            events.progress(step=step, total_steps=len(steps))
        if last is None:
            events.done(status="succeeded", summary={})
    follow(run)
    if last is None:
        run.move(Run.Status.RUNNING, Run.Status.SUCCEEDED, finished_at=timezone.now())


def doctor(page: Page) -> Locator:
    return page.get_by_role("region", name="What is wrong", exact=True)


def test_a_finding_appears_while_the_run_goes_on(open_page: OpenPage, project: Project, carol: User) -> None:
    run = under_way(project, "no_end")
    let_happen(run, "no_end", last=YOUNG)
    page = open_page(carol)
    page.goto(f"/runs/{run.pk}/")
    expect(page.locator("#progress")).to_contain_text(f"step {YOUNG} of")
    expect(doctor(page)).to_have_count(0)

    let_happen(run, "no_end", first=YOUNG + 1)
    expect(page.locator("#progress")).to_contain_text("succeeded")
    found = examine(run)
    assert found[0].rule == "no_end" and found[0].is_bad
    told = doctor(page).locator(".notice")
    expect(told).to_have_count(len(found))
    for notice, finding in zip(told.all(), found, strict=True):
        expect(notice).to_contain_text(finding.sentence)
        expect(notice).to_contain_text(finding.advice)
        expect(notice.locator("code")).to_have_text(finding.setting)
    expect(told.first).to_contain_text("Only 0 % of the answers end by themselves")
    expect(told.first.locator("code")).to_have_text("max_response_tokens")
    check(page)


def test_a_healthy_run_is_left_in_peace(open_page: OpenPage, project: Project, carol: User) -> None:
    run = under_way(project, "healthy")
    let_happen(run, "healthy")
    page = open_page(carol)
    page.goto(f"/runs/{run.pk}/")
    expect(page.locator("#progress")).to_contain_text("succeeded")
    expect(page.locator("#curves")).to_have_attribute("data-finished", "true")
    expect(doctor(page)).to_have_count(0)
    expect(page.locator("#progress .notice")).to_have_count(0)
