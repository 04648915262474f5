"""The task page as people use it: by keyboard alone, by mouse, on a phone, without JavaScript, when things go wrong."""

from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from annotation import actions
from annotation.models import Assignment, Judgment, Project, User
from tests.annotation.conftest import make_tasks
from tests.browser.conftest import OpenPage
from tests.browser.driving import wait_until_sent

ANNOTATE = "/projects/support-replies/annotate/"


def number_of_today(page: Page, number: int) -> None:
    expect(page.locator(".task-bar")).to_contain_text(f"{number} of 40 today")


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Waits until requests that a test holds back have arrived; events come only while the page is being waited for."""
    for _ in range(1000):
        if holds():
            return
        page.wait_for_timeout(20)
    raise AssertionError("what was waited for did not come within 20 seconds")


def said(user: User) -> list[tuple[int | None, bool]]:
    """(signed strength as shown: negative for left, both bad) of each judgment that counts, oldest first."""
    shown = []
    for judgment in Judgment.objects.counted().of(user).order_by("created_at").select_related("assignment__task"):
        is_left = judgment.preferred == judgment.assignment.left
        shown.append(((-1 if is_left else 1) * (judgment.strength or 0), judgment.both_bad))
    return shown


def test_ten_comparisons_by_keyboard_alone(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto("/")
    expect(page.get_by_role("link", name="Start").first).to_be_focused()  # given by the browser after it has painted
    page.keyboard.press("Enter")
    page.wait_for_url("**" + ANNOTATE)
    for number, key in enumerate(["1", "7", "4", "t", "x", "3", "5"], start=1):
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        number_of_today(page, number)
    page.keyboard.press("s")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#announcement")).to_contain_text("Skipped.")
    page.keyboard.press("2")
    page.keyboard.press("n")
    page.keyboard.type("t is for tie, but not in a text")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    number_of_today(page, 8)
    page.keyboard.press("u")
    number_of_today(page, 7)
    expect(page.get_by_label("A better")).to_be_checked()
    page.keyboard.press("6")
    page.keyboard.press("Enter")
    number_of_today(page, 8)
    for number in (9, 10):
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        number_of_today(page, number)
    expected = [(-3, False), (3, False), (0, False), (0, False), (0, True), (-1, False), (1, False), (2, False)]
    assert said(alice) == [*expected, (-3, False), (-3, False)]
    assert Assignment.objects.get(status="skipped").skip_reason == "expertise"
    revised = Judgment.objects.counted().get(strength=2)
    assert (revised.rationale, revised.flags) == ("t is for tie, but not in a text", ["unsafe"])
    assert all(judgment.active_seconds is not None for judgment in Judgment.objects.all())


def test_digits_flag_while_the_flag_panel_is_open(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("f")
    page.keyboard.press("1")
    expect(page.get_by_label("A much better")).not_to_be_checked()
    page.keyboard.press("Escape")
    expect(page.locator("details.tool[open]")).to_have_count(0)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    number_of_today(page, 1)
    judgment = Judgment.objects.get()
    assert (judgment.flags, judgment.strength) == (["unsafe"], 2)


def test_by_mouse(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.get_by_text("B slightly").click()
    page.locator("summary", has_text="Why?").click()
    page.locator("#id_rationale").fill("shorter")
    page.get_by_role("button", name="Submit").click()
    number_of_today(page, 1)
    page.get_by_role("button", name="Skip").click()
    page.get_by_label("not my language").check()
    page.locator("#skip").get_by_role("button", name="Skip").click()
    expect(page.locator("#announcement")).to_contain_text("Skipped.")
    page.get_by_role("button", name="Undo last").click()
    number_of_today(page, 0)
    expect(page.get_by_label("B slightly")).to_be_checked()
    assert Judgment.objects.get().rationale == "shorter"


def test_enter_on_an_untouched_form_is_no_tie(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("Enter")
    expect(page.locator("#hint")).to_have_text("Choose 1 to 7, or X for both bad.")
    page.get_by_role("button", name="Submit").click()
    assert not Judgment.objects.exists()
    page.keyboard.press("4")
    expect(page.locator("#hint")).to_have_text("")


def test_a_submit_sent_twice_counts_once(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("1")
    for _time in range(2):
        page.keyboard.press("Enter")
    number_of_today(page, 1)
    page.keyboard.press("2")
    page.get_by_role("button", name="Submit").dblclick()
    number_of_today(page, 2)
    wait_until_sent(page)
    assert Judgment.objects.count() == 2


def test_an_answer_is_corrected_in_place(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("e")
    expect(page.locator("#id_left_correction")).to_be_focused()
    page.locator("#id_left_correction").fill("Much better words")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    number_of_today(page, 1)
    assert Judgment.objects.get().corrections.get().text == "Much better words"


def test_single_keys_can_be_switched_off(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("?")
    page.get_by_label("Use single keys").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("1")
    expect(page.get_by_label("A much better")).not_to_be_checked()
    page.get_by_label("A much better").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    number_of_today(page, 1)


def test_a_screen_reader_is_told_and_the_focus_is_in_the_new_task(
    open_page: OpenPage, project: Project, alice: User
) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("#announcement")).to_have_text("Saved.")
    expect(page.get_by_role("region", name="Task: comparison")).to_be_focused()


def test_a_reload_costs_no_text(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    page.keyboard.press("n")
    page.keyboard.type("a long thought")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.locator("#id_right_correction").fill("better words")
    page.reload()
    expect(page.locator("#id_rationale")).to_have_value("a long thought")
    expect(page.locator("#id_right_correction")).to_have_value("better words")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    number_of_today(page, 1)
    expect(page.locator("#id_rationale")).to_have_value("")
    page.reload()
    expect(page.locator("#id_rationale")).to_have_value("")


def test_new_guidelines_are_in_the_drawer_at_once(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    actions.publish_guidelines(project, text="Be **brief** from now on.", by=None)
    page.keyboard.press("g")
    expect(page.locator("#guidelines")).to_contain_text("Be brief from now on.")
    page.keyboard.press("Escape")
    expect(page.locator("#guidelines")).to_be_hidden()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    number_of_today(page, 1)


def test_an_answer_that_was_overtaken_does_not_take_the_count_back(
    open_page: OpenPage, project: Project, alice: User
) -> None:
    """The question for one more task leaves before the judgment and its answer comes back after the judgment's."""
    page = open_page(alice)
    ahead: list[Route] = []
    judged: list[Route] = []
    page.route("**/annotate/?*", lambda route: ahead.append(route))
    page.route("**/judge/", lambda route: judged.append(route))
    page.goto(ANNOTATE)
    until(page, lambda: len(ahead) == 1)
    actions.publish_guidelines(project, text="Be **brief** from now on.", by=None)
    with page.expect_response("**/annotate/?*"):
        ahead[0].continue_()  # brings the news, not a task: the next question goes out with the judgment
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    until(page, lambda: len(ahead) == 2 and len(judged) == 1)
    old = ahead[1].fetch()
    judged[0].continue_()
    number_of_today(page, 1)
    ahead[1].fulfill(response=old)
    until(page, lambda: len(ahead) == 3)  # it is asked again, because what came was old
    number_of_today(page, 1)


def test_without_javascript(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice, javascript=False)
    page.goto(ANNOTATE)
    page.get_by_text("tie", exact=True).click()
    page.get_by_role("button", name="Submit").click()
    number_of_today(page, 1)
    page.get_by_role("button", name="Skip").click()
    page.get_by_label("harmful").check()
    page.locator("#skip").get_by_role("button", name="Skip").click()
    number_of_today(page, 1)
    page.get_by_role("button", name="Undo last").click()
    number_of_today(page, 0)
    assert (Judgment.objects.get().strength, Judgment.objects.get().is_current) == (0, False)


def test_on_a_phone(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice, width=360)
    page.goto(ANNOTATE)
    left, right = (page.locator(".answer").nth(number).bounding_box() for number in range(2))
    assert left is not None and right is not None and right["y"] >= left["y"] + left["height"]
    page.get_by_text("A better", exact=True).click()
    page.get_by_role("button", name="Submit").click()
    number_of_today(page, 1)


def test_ratings_by_keyboard(open_page: OpenPage, project: Project, alice: User) -> None:
    for key in ("helpful", "correct", "tone"):
        actions.add_criterion(project, key=key, name=key.title())
    project.prompts.all().delete()
    make_tasks(project, 2, kind="rating")
    page = open_page(alice)
    page.goto(ANNOTATE)
    for key in ("4", "2", "5"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    number_of_today(page, 1)
    values = Judgment.objects.get().ratings.order_by("criterion__position").values_list("value", flat=True)
    assert list(values) == [4, 2, 5]


def test_both_answers_scroll_together_and_the_verdict_stays(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    for response in (project.tasks.first().response_a, project.tasks.first().response_b):  # type: ignore[union-attr]
        assert response is not None
        response.text = "\n\n".join(f"Paragraph {number}" for number in range(60))
        response.save()
    page.goto(ANNOTATE)
    tops = [page.locator(".answer .prose").nth(side).evaluate("e => e.getBoundingClientRect().top") for side in (0, 1)]
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('.answers').scrollTop > 100")
    moved = [page.locator(".answer .prose").nth(side).evaluate("e => e.getBoundingClientRect().top") for side in (0, 1)]
    assert tops[0] == tops[1] > moved[0] == moved[1]
    box = page.locator("#submit").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 900


def test_nothing_moves_for_who_asks_for_that(open_page: OpenPage, alice: User) -> None:
    page = open_page(alice)
    page.emulate_media(reduced_motion="reduce")
    page.goto("/projects/support-replies/annotate/")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    wait_until_sent(page)
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((each) => {
            const style = getComputedStyle(each);
            const longest = (text) => Math.max(...text.split(",").map(parseFloat));
            return longest(style.transitionDuration) > 0.01 || longest(style.animationDuration) > 0.01
                || style.scrollBehavior === "smooth";
        }).map((each) => each.tagName + "." + each.className)"""
    )
    assert moving == []
