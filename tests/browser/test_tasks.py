"""The list of tasks narrows while an admin types, and new tasks come from the answers that are there."""

from playwright.sync_api import expect

from annotation.models import Project, User
from tests.browser.conftest import OpenPage


def test_the_list_narrows_while_typing(open_page: OpenPage, project: Project, carol: User) -> None:
    page = open_page(carol)
    page.goto("/projects/support-replies/tasks/")
    expect(page.locator("#list h2")).to_have_text("14 tasks")
    page.get_by_label("Search in prompts").press_sequentially("question 7")
    expect(page.locator("#list h2")).to_have_text("1 task")
    assert "search=question%207" in page.url
    page.get_by_label("State").select_option("done")
    expect(page.locator("#list")).to_contain_text("No task matches")


def test_comparisons_are_previewed_and_made(open_page: OpenPage, project: Project, carol: User) -> None:
    project.tasks.all().delete()
    page = open_page(carol)
    page.goto("/projects/support-replies/tasks/")
    page.get_by_role("link", name="New tasks").click()
    page.get_by_label("Ask about").select_option("baseline")
    expect(page.locator("#preview")).to_contain_text("Choose the source")
    page.get_by_label("Source", exact=True).select_option("plain answer")
    expect(page.locator("#preview")).to_contain_text("Makes 14 tasks. They ask about 14 prompts.")
    page.get_by_role("button", name="Make them").click()
    expect(page.locator("#messages")).to_contain_text("14 tasks are new.")
    expect(page.locator("#list h2")).to_have_text("14 tasks")


def test_all_that_match_are_withdrawn(open_page: OpenPage, project: Project, carol: User) -> None:
    page = open_page(carol)
    page.goto("/projects/support-replies/tasks/")
    page.get_by_label("Search in prompts").press_sequentially("question 1")
    expect(page.locator("#list h2")).to_have_text("5 tasks")
    page.get_by_label("All 5 tasks that match").check()
    page.get_by_role("button", name="Change").click()
    expect(page.locator("#messages")).to_contain_text("5 tasks are changed.")
    expect(page.get_by_label("Search in prompts")).to_have_value("question 1")
    assert project.tasks.withdrawn().count() == 5


def test_a_right_answer_is_set(open_page: OpenPage, project: Project, carol: User) -> None:
    page = open_page(carol)
    page.goto("/projects/support-replies/tasks/")
    page.get_by_role("link", name="Set it").first.click()
    page.get_by_label("answer B").check()
    page.get_by_role("button", name="Make it a gold task").click()
    expect(page.locator("#messages")).to_contain_text("The right answer is set.")
    expect(page.locator("#gold-title")).to_have_text("1 gold task")
