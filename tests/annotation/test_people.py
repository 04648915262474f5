"""/projects/<slug>/people/ : members, roles, pauses."""

from typing import Any

import pytest

from annotation import actions
from annotation.models import Membership, Project, Role, User
from tests.annotation.conftest import browser_of


def test_an_admin_adds_people_and_changes_their_role(project: Project, carol: User, charlie: User) -> None:
    browser, path = browser_of(carol), f"/projects/{project.slug}/people/"
    browser.post(path, {"username": "charlie", "role": Role.ANNOTATOR})
    browser.post(path, {"username": "charlie", "role": Role.REVIEWER, "change": "1"})
    assert project.role_of(charlie) == Role.REVIEWER
    assert "charlie" in browser.get(path).content.decode()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"username": "nobody", "role": 10}, "There is no user “nobody”"),
        ({"username": "charlie", "role": 99}, "Select a valid choice"),
        ({"username": "alice", "role": 20}, "alice is already annotator here: change the role"),
        ({"username": "carol", "role": 10, "change": "1"}, "carol is the last admin of Support replies"),
    ],
)
def test_adding_people_wrongly_gets_a_sentence(
    project: Project, alice: User, carol: User, charlie: User, values: dict[str, Any], sentence: str
) -> None:
    response = browser_of(carol).post(f"/projects/{project.slug}/people/", values)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert project.role_of(charlie) is None and project.role_of(alice) == Role.ANNOTATOR
    assert project.role_of(carol) == Role.ADMIN


def test_a_member_is_paused_and_goes_on(project: Project, carol: User, alice: User) -> None:
    path = f"/projects/{project.slug}/people/{Membership.objects.get(user=alice).pk}/pause/"
    browser_of(carol).post(path, {"pause": "1"})
    assert project.role_of(alice) is None
    browser_of(carol).post(path, {"pause": "0"})
    assert project.role_of(alice) == Role.ANNOTATOR
    assert browser_of(alice).post(path, {"pause": "1"}).status_code == 403
    own = f"/projects/{project.slug}/people/{Membership.objects.get(user=carol).pk}/pause/"
    browser_of(carol).post(own, {"pause": "1"})
    assert project.role_of(carol) == Role.ADMIN


def test_adding_who_is_paused_does_not_end_the_pause(project: Project, carol: User, alice: User) -> None:
    project.memberships.filter(user=alice).update(is_paused=True)
    response = browser_of(carol).post(f"/projects/{project.slug}/people/", {"username": "alice", "role": 10})
    assert response.status_code == 422 and "but paused" in response.content.decode()
    assert project.role_of(alice) is None


def test_a_member_of_another_project_cannot_be_paused_here(project: Project, carol: User, charlie: User) -> None:
    other = actions.create_project("Other", by=charlie)
    membership = other.memberships.get()
    path = f"/projects/{project.slug}/people/{membership.pk}/pause/"
    assert browser_of(carol).post(path, {"pause": "1"}).status_code == 404
