"""/projects/new/ : a project with its first guidelines and criteria."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission

from annotation.models import Project, Role, User
from tests.annotation.conftest import browser_of

NEW = {"name": "Second project", "overlap": 2, "daily_goal": 10}


def may_create(user: User) -> User:
    user.user_permissions.add(Permission.objects.get(codename="add_project"))
    return user


def test_a_project_is_created_with_its_guidelines_and_criteria(charlie: User) -> None:
    criteria = "Helpful | no help | just right\n\nSafe"
    values = NEW | {"guidelines": "Be kind", "criteria": criteria}
    response = browser_of(may_create(charlie)).post("/projects/new/", values)
    assert response["Location"] == "/projects/second-project/"
    project = Project.objects.get(slug="second-project")
    assert project.role_of(charlie) == Role.ADMIN
    assert project.overlap == 2
    assert list(project.criteria.values_list("key", "low_anchor")) == [("helpful", "no help"), ("safe", "")]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": ""}, "This field is required"),
        ({"slug": "support-replies"}, "This address is taken: choose another."),
        ({"name": "Support replies"}, "Another project has the address"),
        ({"slug": "new"}, "is the address of this page"),
        ({"name": "客服"}, "its name yields none"),
        ({"criteria": "a | b | c | d"}, "write the name, then the two anchor texts"),
        ({"criteria": "Safe\nSafe"}, "already has a criterion"),
        ({"overlap": 0}, "greater than or equal to 1"),
    ],
)
def test_a_new_project_asked_for_wrongly_gets_a_sentence(
    project: Project, charlie: User, values: dict[str, Any], sentence: str
) -> None:
    response = browser_of(may_create(charlie)).post("/projects/new/", NEW | values)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert Project.objects.count() == 1


def test_a_new_project_needs_the_permission(carol: User) -> None:
    assert browser_of(carol).get("/projects/new/").status_code == 403
    assert browser_of(None).get("/projects/new/").status_code == 302
    assert browser_of(may_create(carol)).get("/projects/new/").status_code == 200
