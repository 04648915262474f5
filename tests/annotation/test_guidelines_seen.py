"""A changed version of the guidelines is announced with its diff before the next task, until it was read."""

import re

import pytest

from annotation import actions
from annotation.models import Judgment, Project, Task, User
from tests.annotation.conftest import browser_of, make_tasks
from tests.annotation.test_annotate import HTMX, lent, open_page, send


@pytest.fixture
def tasks(project: Project) -> list[Task]:
    return make_tasks(project, 5)


def test_changed_guidelines_come_with_their_diff_before_the_next_task(
    project: Project, tasks: list[Task], alice: User
) -> None:
    actions.publish_guidelines(project, text="Be kind\n\nAlways.", by=None)
    browser = browser_of(alice)
    assert "guidelines changed" not in open_page(browser, project)
    first = lent(alice)
    ahead = browser.get(f"/projects/{project.slug}/annotate/?held={first.pk}", headers=HTMX)
    second = lent(alice)
    assert ahead.status_code == 200 and second != first
    actions.publish_guidelines(project, text="Be brief\n\nAlways.", by=None)
    answer = send(browser, first, choice="1", held=[str(second.pk)]).content.decode()
    assert "The guidelines changed" in answer and 'class="task news"' in answer
    assert re.search(r"<del>.*kind.*</del><ins>.*brief.*</ins>", answer)
    send(browser, second, choice="1")
    assert {judgment.guidelines.version for judgment in Judgment.objects.all()} == {1}, "the second was not read"
    assert "The guidelines changed" in open_page(browser, project)
    seen = browser.post(f"/projects/{project.slug}/guidelines/seen/", {"version": "2", "ahead": "1"}, headers=HTMX)
    assert 'class="task comparison"' in seen.content.decode()
    send(browser, lent(alice), choice="1")
    assert Judgment.objects.latest("pk").guidelines.version == 2


@pytest.mark.parametrize("version", ["", "9", "²", "9" * 5000])
def test_what_is_no_version_is_not_read(project: Project, tasks: list[Task], alice: User, version: str) -> None:
    for text in ("Be kind", "Be brief"):
        actions.publish_guidelines(project, text=text, by=None)
    project.memberships.filter(user=alice).update(seen_guidelines=project.guidelines.get(version=1))
    browser = browser_of(alice)
    assert browser.post(f"/projects/{project.slug}/guidelines/seen/", {"version": version}).status_code == 302
    assert "The guidelines changed" in open_page(browser, project)
