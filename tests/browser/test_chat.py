"""Chats in a real browser, answered by small real models through a real worker: streamed, stopped, voted on, lost.

Two versions that are not told apart; sides, names and votes are looked up in the database to see that the page told the
truth, and not too early.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from annotation.models import Judgment, Project, Role
from tests.browser.axe import check
from tests.browser.conftest import OpenPage, person
from tests.training.talkers import ENDLESS, talker, talks
from tests.training.workers import Start, workers_of
from training.models import Chat, ChatAnswer, ModelVersion

Pair = tuple[ModelVersion, ModelVersion]
LOADED = 120_000
"""Milliseconds a busy machine may take to load torch and a model."""


@pytest.fixture(autouse=True)
def own_folders(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR, settings.RUNS_DIR, settings.MODELS_DIR = tmp_path, tmp_path / "runs", tmp_path / "models"


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Start]:
    with workers_of("chat", tmp_path, broker=django_settings.VALKEY, concurrency=2) as start:
        yield start


@pytest.fixture
def pair(project: Project, tmp_path: Path) -> Pair:
    names = ("zebra-one", 3), ("zebra-two", 4)
    first, second = (talker(project, tmp_path / "made", name=name, seed=seed) for name, seed in names)
    return first, second


def answers(page: Page, turn: int) -> Locator:
    return page.locator(f"#answers-{turn} .chat-answer")


def begin(page: Page, project: Project, *versions: ModelVersion, text: str) -> Chat:
    page.goto(f"/projects/{project.slug}/chat/")
    for label, version in zip(("Version", "Second version"), versions, strict=False):
        page.get_by_label(label, exact=True).select_option(str(version.pk))
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/chat/*/")
    return Chat.objects.latest("pk")


def say(page: Page, text: str) -> None:
    page.get_by_label("Your next message").fill(text)
    with page.expect_navigation():  # to its end: a reload that overtakes it would be refused by the browser
        page.keyboard.press("Control+Enter")


def texts(page: Page, turn: int) -> list[str]:
    return [each.inner_text().strip() for each in answers(page, turn).locator(".prose").all()]


def stop(page: Page) -> None:
    with page.expect_navigation():  # the page that is still there may say “stopped” before
        page.get_by_role("button", name="Stop").click()


def vote(page: Page, key: str) -> None:
    page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def growing(page: Page, turn: int) -> None:
    """Both answers are being written at the same time."""
    for side in answers(page, turn).all():
        expect(side.locator(".badge")).to_have_text("writing", timeout=LOADED)
        expect(side.locator(".prose")).to_be_visible(timeout=LOADED)


def test_chats(open_page: OpenPage, project: Project, pair: Pair, start_worker: Start) -> None:
    page = open_page(person(project, "rita", Role.REVIEWER))
    chat = begin(page, project, *pair, text="Where is my parcel?")
    expect(answers(page, 1).first).to_contain_text("Waiting for the model.")
    check(page)
    worker = start_worker()
    submit = page.get_by_role("button", name="Submit")
    expect(submit).to_be_visible(timeout=LOADED)
    expect(page.locator("#announcement")).to_have_text("Both answers are there. Say which is better.")
    expect(page.locator(".chat-answer")).not_to_contain_text(["zebra", "zebra"])
    check(page)

    turn = chat.turns.get()
    shown = [answer.text for answer in sorted(turn.answers.all(), key=turn.side_of)]
    assert texts(page, 1) == shown
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_contain_text("Choose 1 to 7")
    vote(page, "6")
    expect(page.locator("#turn-1")).to_contain_text("Vote: B better.")
    judgment = Judgment.objects.votes().get()
    assert judgment.preferred and (judgment.preferred.text, judgment.strength) == (shown[1], 2)
    assert judgment.task.prompt.messages == turn.messages
    by_side = [answer.version.name for answer in sorted(turn.answers.select_related("version"), key=turn.side_of)]
    for side, name in zip(answers(page, 1).all(), by_side, strict=True):
        expect(side.locator("header")).to_contain_text(name)

    page.get_by_label("Your next message").fill("And when")
    page.reload()
    expect(page.get_by_label("Your next message")).to_have_value("And when")  # kept in this browser
    for version in pair:
        talks(version, **ENDLESS)
    say(page, "And when will it come?")
    growing(page, 2)
    page.reload()
    growing(page, 2)
    check(page)
    stop(page)
    expect(answers(page, 2).first.locator(".badge")).to_have_text("stopped")
    kept = texts(page, 2)
    assert all(kept)
    second = chat.turns.get(number=2)
    assert second.messages[1]["content"] == shown[1], "it went on with the better answer"
    page.reload()
    assert texts(page, 2) == kept == [each.text for each in sorted(second.answers.all(), key=second.side_of)]
    vote(page, "x")
    expect(page.locator("#turn-2")).to_contain_text("Vote: both bad.")
    assert Judgment.objects.votes().filter(both_bad=True).count() == 1

    say(page, "And now?")
    growing(page, 3)
    worker.kill()
    worker.wait()
    ChatAnswer.objects.filter(status="writing").update(heartbeat_at=timezone.now() - datetime.timedelta(minutes=1))
    expect(answers(page, 3).first).to_contain_text("This answer could not be written.")
    check(page)
    start_worker()
    page.get_by_role("button", name="Write again").click()
    growing(page, 3)
    stop(page)
    expect(submit).to_be_visible()

    talks(pair[0])
    page.set_viewport_size({"width": 360, "height": 740})
    begin(page, project, pair[0], text="Where is my parcel?")
    expect(page.get_by_label("Your next message")).to_be_visible(timeout=LOADED)
    assert len(texts(page, 1)[0]) == 24
    expect(answers(page, 1)).to_contain_text("zebra-one")
    check(page)
    page.get_by_role("link", name="All chats").click()
    expect(page.get_by_role("link", name="Where is my parcel?")).to_have_count(2)
    check(page)
