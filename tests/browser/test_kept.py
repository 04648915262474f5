"""What is kept in the browser: text up to the last key, time at work without idle time, labels that were not sent."""

import datetime

import pytest
from playwright.sync_api import Page, expect

from annotation.models import Assignment, Draft, Judgment, Project, Response, User
from tests.browser.conftest import OpenPage
from tests.browser.test_bench_troubles import ANNOTATE, OFFLINE, front, held_ahead, once_each, write

SENT = "() => !Object.keys(localStorage).some((name) => name.startsWith('outbox:'))"


def test_the_last_key_before_a_reload_is_kept(open_page: OpenPage, project: Project, alice: User) -> None:
    """The server is told a second later; this browser has it at once."""
    page = open_page(alice, expected=OFFLINE)
    page.route("**/draft/", lambda route: route.abort())
    page.goto(ANNOTATE)
    page.keyboard.press("3")
    write(page, "to the last lette")
    page.keyboard.press("r")
    page.reload()
    expect(page.locator("#id_rationale")).to_have_value("to the last letter")
    expect(page.locator("[name=choice]:checked")).to_have_value("-1")


def test_what_is_said_of_one_task_is_never_said_of_the_next(open_page: OpenPage, project: Project, alice: User) -> None:
    """The field that has the focus when its task is sent says so on its way out: the next task is in front by then."""
    page = open_page(alice)
    page.goto(ANNOTATE)
    held_ahead(page)
    page.keyboard.press("1")
    write(page, "of the first")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#id_rationale")).to_have_value("")
    held_ahead(page)
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    page.wait_for_function(SENT)
    first, second = once_each(alice)
    assert (first.rationale, second.rationale) == ("of the first", "")
    assert not Response.objects.filter(parent__isnull=False).exists(), "and nothing became a correction"


def test_what_is_typed_before_an_undo_stays_with_its_task(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    held_ahead(page)
    left = front(page)
    write(page, "of the second")
    page.keyboard.press("Escape")
    with page.expect_response("**/draft/") as told:
        page.keyboard.press("u")
    assert told.value.url.endswith(f"/assignments/{left.pk}/draft/")
    expect(page.locator("[name=choice]:checked")).to_have_value("-3")
    expect(page.locator("#id_rationale")).to_have_value("")
    assert {draft.assignment: draft.values["rationale"] for draft in Draft.objects.all()} == {left: ["of the second"]}


def test_time_at_work_leaves_idle_time_out(open_page: OpenPage, project: Project, alice: User) -> None:
    start = datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)
    page = open_page(alice)
    page.clock.install(time=start)
    page.goto(ANNOTATE)
    expect(page.locator("#judgment")).to_be_visible()
    page.clock.pause_at(start + datetime.timedelta(hours=1))
    for key, seconds in (("2", 20), ("3", 40), ("2", 600), ("1", 15)):
        page.keyboard.press(key)  # a sign of life
        page.clock.run_for(1000 * seconds)
    page.keyboard.press("Enter")
    page.wait_for_function(SENT)
    assert Judgment.objects.get().active_seconds == pytest.approx(75, abs=0.5), "ten minutes of it were idle"


def label_offline(page: Page) -> None:
    """Two labels that wait in the browser."""
    page.goto(ANNOTATE)
    held_ahead(page)
    page.context.set_offline(True)
    page.keyboard.press("1")
    write(page, "written in a tunnel")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-trouble=unreachable]")).to_be_visible()
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    expect(page.locator("#unsent")).to_contain_text("2")


def test_the_list_of_projects_sends_what_waits(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice, expected=OFFLINE)
    label_offline(page)
    page.goto("about:blank")  # the task page itself would send them
    page.context.set_offline(False)
    page.goto("/")
    expect(page.get_by_text("2 of 40 today")).to_be_visible()
    first, second = once_each(alice)
    assert (first.rationale, second.both_bad) == ("written in a tunnel", True)
    assert page.evaluate(SENT)


def test_what_the_list_of_projects_cannot_send_is_not_lost(open_page: OpenPage, project: Project, alice: User) -> None:
    """The first has to be changed: it waits for the task page, and what comes after it too; that page takes both."""
    page = open_page(alice, expected=OFFLINE)
    label_offline(page)
    page.evaluate("""() => {
        const name = Object.keys(localStorage).filter((each) => each.startsWith("outbox:")).sort()[0];
        const entry = JSON.parse(localStorage.getItem(name));
        entry.fields = entry.fields.filter(([field]) => field !== "choice");
        localStorage.setItem(name, JSON.stringify(entry));
    }""")
    page.goto("about:blank")  # the task page itself would send them
    page.context.set_offline(False)
    page.goto("/")
    expect(page.locator("[data-trouble=change]")).to_be_visible()
    assert not Judgment.objects.exists()
    page.get_by_role("link", name="Look at it").click()
    expect(page.locator("#id_rationale")).to_have_value("written in a tunnel")
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    page.wait_for_function(SENT)
    assert {judgment.rationale for judgment in once_each(alice)} == {"written in a tunnel", ""}


def test_the_list_of_projects_shows_what_is_refused(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice, expected=OFFLINE)
    label_offline(page)
    Assignment.objects.all().delete()  # an admin took the tasks away meanwhile
    page.goto("about:blank")  # the task page itself would send them
    page.context.set_offline(False)
    page.goto("/")
    expect(page.locator("[data-trouble=refused]")).to_be_visible()
    expect(page.locator("#refused-text")).to_contain_text("written in a tunnel")
    assert page.evaluate(SENT)
