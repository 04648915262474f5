"""The task page by one's own keys, without moving pictures, and between two versions of the guidelines."""

from playwright.sync_api import expect

from annotation import actions
from annotation.models import Judgment, Project, User
from tests.browser.conftest import OpenPage
from tests.browser.driving import wait_until_sent

ANNOTATE = "/projects/support-replies/annotate/"


def test_a_remapped_key_does_what_it_was_given(open_page: OpenPage, project: Project, alice: User) -> None:
    page = open_page(alice)
    page.goto("/account/keys/")
    page.get_by_label("tie: equally good").press("q")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice.success")).to_be_visible()
    page.goto(ANNOTATE)
    page.keyboard.press("t")
    expect(page.locator("#task :checked")).to_have_count(0)
    page.keyboard.press("q")
    page.keyboard.press("Enter")
    wait_until_sent(page)
    assert Judgment.objects.get().strength == 0


def test_ten_comparisons_and_ratings_by_keyboard_with_reasons(
    open_page: OpenPage, project: Project, alice: User
) -> None:
    Project.objects.update(reason_chips=["clearer", "kinder"])
    project.tasks.filter(pk__gt=project.tasks.order_by("pk")[4].pk).delete()
    for key in ("helpful", "safe"):
        actions.add_criterion(project, key=key, name=key.title())
    other = [task.response_a for task in project.tasks.order_by("pk")[:5]]
    for response in other:
        project.tasks.create(prompt=response.prompt, kind="rating", response_a=response)
    page = open_page(alice)
    page.emulate_media(reduced_motion="reduce")
    page.goto(ANNOTATE)
    page.keyboard.press("n")
    page.keyboard.press("2")  # a reason by its number
    page.keyboard.type("because so")  # anything else is the beginning of the text
    page.keyboard.press("Escape")
    for number in range(10):
        expect(page.locator("#judgment")).to_be_visible()
        keys = ["5"] if page.locator("#task.comparison").count() else ["4", "2"]
        for key in keys:
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        if number == 0:
            assert page.evaluate("getComputedStyle(document.getElementById('submit')).animationName") == "none"
    expect(page.get_by_role("heading", name="Nothing waits for you here")).to_be_visible()
    wait_until_sent(page)
    assert Judgment.objects.counted().count() == 10
    first = Judgment.objects.order_by("created_at").first()
    assert first and (first.reasons, first.rationale) == (["kinder"], "because so")
    assert Judgment.objects.filter(task__kind="rating").count() == 5


def test_changed_guidelines_are_read_and_acknowledged_by_one_key(
    open_page: OpenPage, project: Project, alice: User
) -> None:
    page = open_page(alice)
    page.goto(ANNOTATE)
    actions.publish_guidelines(project, text="## Be kind\n\nNo apology is *needed*.", by=None)
    for _number in range(3):
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        wait_until_sent(page)
        if page.locator("#task.news").count():
            break
    expect(page.locator("#task.news ins").first).to_contain_text("No")
    page.keyboard.press("Enter")
    expect(page.locator("#judgment")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    wait_until_sent(page)
    versions = list(Judgment.objects.order_by("created_at").values_list("guidelines__version", flat=True))
    assert versions[0] == 1 and versions[-1] == 2
