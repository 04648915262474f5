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


def test_comparisons_are_created(open_page: OpenPage, project: Project, carol: User) -> None:
    project.tasks.all().delete()
    page = open_page(carol)
    page.goto("/projects/support-replies/tasks/")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#messages")).to_contain_text("14 tasks are new.")
