"""Who may see and change which page of a project: strangers find nothing, a missing right gets a sentence."""

import pytest

from annotation.models import Project, User
from tests.annotation.conftest import browser_of, make_tasks, text_of

PAGES = ["", "guidelines/", "people/", "tasks/", "tasks/new/", "gold/"]
ADMIN_PAGES = ["people/", "tasks/", "tasks/new/", "gold/"]


@pytest.mark.parametrize("page", PAGES)
def test_it_works(project: Project, carol: User, page: str) -> None:
    make_tasks(project, 2)
    assert "Support replies" in text_of(carol, f"/projects/{project.slug}/{page}")


@pytest.mark.parametrize("page", PAGES)
def test_who_may_see_it(project: Project, alice: User, bob: User, charlie: User, page: str) -> None:
    path = f"/projects/{project.slug}/{page}"
    assert browser_of(None).get(path).status_code == 302
    assert browser_of(charlie).get(path).status_code == 404
    assert browser_of(charlie).get("/projects/no-such/" + page).status_code == 404
    expected = 403 if page in ADMIN_PAGES else 200
    assert [browser_of(person).get(path).status_code for person in (alice, bob)] == [expected] * 2
    assert browser_of(alice).delete(path).status_code == 405


def test_a_missing_right_gets_a_sentence(project: Project, alice: User) -> None:
    page = browser_of(alice).get(f"/projects/{project.slug}/people/").content.decode()
    assert "needs the role “admin” in Support replies" in page


@pytest.mark.parametrize(
    "page", ["people/", "tasks/new/", "tasks/change/", "gold/", "gold/new/", "gold/repeats/", "guidelines/"]
)
def test_only_admins_change_it(project: Project, alice: User, bob: User, charlie: User, page: str) -> None:
    path = f"/projects/{project.slug}/{page}"
    assert [browser_of(person).post(path).status_code for person in (alice, bob, charlie)] == [403, 403, 404]
