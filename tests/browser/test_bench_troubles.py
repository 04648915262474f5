"""When things go wrong on the task page: no text is lost, no label given twice, as the database says afterwards."""

import datetime
import uuid

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import APIResponse, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from annotation import actions, queue
from annotation.models import Assignment, Draft, Judgment, Project, User
from tests.annotation.conftest import member
from tests.browser.conftest import OpenPage, log_in
from tests.browser.driving import wait_until_sent

ANNOTATE = "/projects/support-replies/annotate/"
OFFLINE = ("net::ERR", "Failed to fetch", "Failed to load resource")


def front(page: Page) -> Assignment:
    """The task on screen, once the next one is held behind it."""
    pk = page.locator("#task[data-assignment]").get_attribute("data-assignment")
    assert pk
    return Assignment.objects.get(pk=pk)


def held_ahead(page: Page, num: int = 2) -> None:
    for _time in range(400):
        if Assignment.objects.live().count() >= num:
            break
        page.wait_for_timeout(50)
    assert Assignment.objects.live().count() == num
    page.wait_for_load_state("networkidle")


def once_each(user: User) -> list[Judgment]:
    """The person's judgments that count, oldest first; no task has two of theirs."""
    found = list(Judgment.objects.counted().of(user).order_by("created_at"))
    assert len({judgment.task_id for judgment in found}) == len(found) == Judgment.objects.count()
    return found


def write(page: Page, text: str) -> None:
    page.keyboard.press("n")
    page.keyboard.type(text)


def test_a_login_that_expired_costs_no_text(
    open_page: OpenPage, project: Project, alice: User, live_server: LiveServer
) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    held_ahead(page)
    page.keyboard.press("1")
    write(page, "a long thought")
    Session.objects.all().delete()
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-trouble=login]")).to_be_visible()
    expect(page.locator("#unsent")).to_contain_text("Waiting to be sent: 1")
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    expect(page.locator("#unsent")).to_contain_text("2")
    assert not Judgment.objects.exists()
    log_in(page.context, alice, address=live_server.url)
    page.goto(ANNOTATE)  # the first thing that people do
    wait_until_sent(page)
    expect(page.locator("#today")).to_contain_text("2 of 40")
    first, second = once_each(alice)
    assert (first.rationale, first.strength, second.strength) == ("a long thought", 3, 3)
    expect(page.locator("#judgment")).to_be_visible()
    expect(page.locator("#id_rationale")).to_have_value("")


def test_what_one_person_said_is_never_sent_by_another(
    open_page: OpenPage, project: Project, alice: User, live_server: LiveServer
) -> None:
    bob = member(project, "bob")
    page = open_page(alice)
    page.goto(ANNOTATE)
    held_ahead(page)
    page.keyboard.press("1")
    page.context.clear_cookies()
    log_in(page.context, bob, address=live_server.url)  # in another tab of the same browser
    page.keyboard.press("Enter")
    expect(page.locator("[data-trouble=login]")).to_be_visible()
    page.goto(ANNOTATE)
    expect(page.locator("#judgment")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert not Judgment.objects.exists()
    page.context.clear_cookies()
    log_in(page.context, alice, address=live_server.url)
    page.goto(ANNOTATE)
    wait_until_sent(page)
    assert [judgment.annotator for judgment in once_each(alice)] == [alice]


def test_a_network_that_is_gone_and_comes_back(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice, expected=OFFLINE)
    page.goto(ANNOTATE)
    held_ahead(page)
    page.context.set_offline(True)
    page.keyboard.press("1")
    write(page, "written in a tunnel")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-trouble=unreachable]")).to_be_visible()
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    expect(page.locator("#task.waiting")).to_be_visible()
    expect(page.locator("#unsent")).to_contain_text("2")
    assert not Judgment.objects.exists()
    page.context.set_offline(False)
    wait_until_sent(page)
    expect(page.locator("#judgment")).to_be_visible()
    expect(page.locator("[data-trouble=unreachable]")).to_be_hidden()
    first, second = once_each(alice)
    assert (first.rationale, second.both_bad) == ("written in a tunnel", True)


def test_an_answer_that_got_lost_on_the_way_back_counts_once(
    open_page: OpenPage, project: Project, alice: User
) -> None:
    """The server kept the judgment, but the page never heard of it and sends it again."""
    page = open_page(alice, expected=OFFLINE)
    page.goto(ANNOTATE)
    held_ahead(page)
    lost = []

    def lose_the_first(route) -> None:  # type: ignore[no-untyped-def]
        response = route.fetch()
        if lost:
            route.fulfill(response=response)
        else:
            lost.append(response.status)
            route.abort()

    page.route("**/judge/", lose_the_first)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    wait_until_sent(page)
    assert lost == [200]
    assert [judgment.strength for judgment in once_each(alice)] == [2]
    page.unroute("**/judge/")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    wait_until_sent(page)
    assert [judgment.strength for judgment in once_each(alice)] == [2, 1]


def test_a_late_answer_does_not_take_back_the_number(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    late: list[tuple[Route, APIResponse]] = []

    def hold_the_first(route: Route) -> None:  # the task fetched ahead: answered by the server, slow on its way
        if late or "hx-request" not in route.request.headers:
            route.continue_()
        else:
            late.append((route, route.fetch()))

    page.route("**/annotate/**", hold_the_first)
    page.goto(ANNOTATE)
    for _time in range(400):
        if late:
            break
        page.wait_for_timeout(50)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator(".task-bar")).to_contain_text("1 of 40 today")
    [(route, response)] = late
    with page.expect_response("**/annotate/**"):
        route.fulfill(response=response)
    held_ahead(page)
    expect(page.locator(".task-bar")).to_contain_text("1 of 40 today")


def test_a_server_that_fails_is_asked_again(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice, expected=("status of 500",))
    page.goto(ANNOTATE)
    held_ahead(page)
    page.route("**/judge/", lambda route: route.fulfill(status=500, body="no"))
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    expect(page.locator("[data-trouble=unreachable]")).to_be_visible()
    page.unroute("**/judge/")
    page.get_by_role("button", name="Try now").click()
    wait_until_sent(page)
    assert [judgment.strength for judgment in once_each(alice)] == [1]


def test_what_the_server_refuses_comes_back_with_everything(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    held_ahead(page)
    refused = front(page)
    page.keyboard.press("1")
    write(page, "a long thought")
    page.evaluate("() => { document.querySelector('#judgment [name=submission_key]').value = 'broken'; }")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#task [role=alert]").first).to_contain_text("broken key")
    assert front(page) == refused
    expect(page.locator("#id_rationale")).to_have_value("a long thought")
    expect(page.get_by_label("A much better")).to_be_checked()
    assert not Judgment.objects.exists()


def test_a_lost_lease_is_said_and_costs_no_text(open_page: OpenPage, project: Project, alice: User) -> None:
    bob = member(project, "bob")
    page = open_page(alice)
    page.goto(ANNOTATE)
    held_ahead(page)
    mine = front(page)
    Assignment.objects.filter(pk=mine.pk).update(expires_at=timezone.now() - datetime.timedelta(minutes=1))
    theirs = queue.claim(bob, project=project)
    assert theirs and theirs.task_id == mine.task_id
    write(page, "an hour of thought")
    expect(page.locator("[data-trouble=lost]")).to_be_visible()
    assert Draft.objects.get().values["rationale"] == ["an hour of thought"]
    actions.judge(theirs, by=bob, submission_key=uuid.uuid4(), strength=0)
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    wait_until_sent(page)
    expect(page.locator("#notice")).to_contain_text("kept, but it does not count")
    kept = Judgment.objects.get(annotator=alice)
    assert (kept.rationale, kept.is_current) == ("an hour of thought", False)
    mine.task.refresh_from_db()
    assert (mine.task.num_judged, mine.task.num_leased) == (1, 0)


def test_a_lease_that_ran_out_behind_the_front_is_replaced(open_page: OpenPage, project: Project, alice: User) -> None:
    bob = member(project, "bob")
    page = open_page(alice)
    page.goto(ANNOTATE)
    held_ahead(page)
    ahead = Assignment.objects.live().exclude(pk=front(page).pk).get()
    Assignment.objects.filter(pk=ahead.pk).update(expires_at=timezone.now() - datetime.timedelta(minutes=1))
    assert queue.claim(bob, project=project)
    page.keyboard.press("1")
    write(page, "draft")
    page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('draft:'))")
    page.keyboard.press("Control+Enter")
    wait_until_sent(page)
    expect(page.locator("#judgment")).to_be_visible()
    assert front(page).pk != ahead.pk
    assert Judgment.objects.get().rationale == "draft"


def test_two_tabs_agree_and_a_second_answer_can_take_the_place_of_the_first(
    open_page: OpenPage, project: Project, alice: User
) -> None:
    one = open_page(alice)
    one.goto(ANNOTATE)
    held_ahead(one)
    two = one.context.new_page()
    two.goto(ANNOTATE)
    expect(two.locator("#judgment")).to_be_visible()
    same = front(one)
    assert front(two) == same
    two.keyboard.press("7")
    write(two, "from the second tab")
    one.bring_to_front()
    one.keyboard.press("1")
    one.keyboard.press("Enter")
    wait_until_sent(one)
    two.bring_to_front()
    two.keyboard.press("Control+Enter")
    expect(two.locator("#task [role=alert]").first).to_contain_text("You judged this task already")
    expect(two.locator("#id_rationale")).to_have_value("from the second tab")
    assert [judgment.strength for judgment in once_each(alice)] == [3]
    two.keyboard.press("Control+Enter")
    wait_until_sent(two)
    counted = Judgment.objects.counted().get()
    assert (counted.rationale, Judgment.objects.count()) == ("from the second tab", 2)
    assert counted.preferred == same.right


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_draft_comes_back_after_a_reload_and_in_another_browser(
    open_page: OpenPage, project: Project, alice: User, is_elsewhere: bool
) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    held_ahead(page)
    page.keyboard.press("6")
    write(page, "a long thought")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.locator("#id_right_correction").fill("better words")
    if is_elsewhere:
        page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('draft:'))")
        page = open_page(alice)
        page.goto(ANNOTATE)
    else:
        page.wait_for_timeout(200)  # less than the pause before the server is told
        page.reload()
    expect(page.locator("#id_rationale")).to_have_value("a long thought")
    expect(page.locator("#id_right_correction")).to_have_value("better words")
    expect(page.get_by_label("B better")).to_be_checked()
    page.locator("#submit").click()
    wait_until_sent(page)
    (judgment,) = once_each(alice)
    assert (judgment.rationale, judgment.flags, judgment.strength) == ("a long thought", ["personal_data"], 2)
    assert judgment.corrections.get().text == "better words"
    assert not Draft.objects.exists()
    expect(page.locator("#id_rationale")).to_have_value("")
