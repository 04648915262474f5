"""/projects/<slug>/tasks/ : the list, its filters, and new tasks from the answers that are there."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import actions
from annotation.intake import NewResponse, add_prompt, add_responses
from annotation.models import Project, Task, User
from tests.annotation.conftest import browser_of, make_tasks, text_of


@pytest.fixture
def answered(project: Project) -> Project:
    """Two prompts with answers by three sources."""
    for question in ("Where is my parcel?", "100% refund?"):
        prompt = add_prompt(project, question)
        add_responses(prompt, [NewResponse(f"{question} {source}", source) for source in ("a", "b", "c")])
    return project


@pytest.mark.parametrize(
    ("values", "num"),
    [
        ({"what": "all"}, 6),
        ({"what": "two", "source": "a", "against": "b"}, 2),
        ({"what": "baseline", "source": "a"}, 4),
    ],
)
def test_comparisons_are_created_from_the_answers(
    answered: Project, carol: User, values: dict[str, Any], num: int
) -> None:
    path = f"/projects/{answered.slug}/tasks/"
    page = browser_of(carol).post(path, {"overlap": 2, "priority": 3, **values}, follow=True).content.decode()
    assert f"{num} tasks are new" in page
    assert Task.objects.filter(overlap=2, priority=3).count() == num
    again = browser_of(carol).post(path, {"overlap": 2, "priority": 3, **values}, follow=True).content.decode()
    assert "Nothing new" in again


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"what": "two", "source": "a", "against": "a"}, "Choose two different sources."),
        ({"what": "baseline"}, "Choose the source"),
        ({"what": "all", "overlap": 0}, "greater than or equal to 1"),
        ({"what": "ratings"}, "no criteria to rate by"),
        ({"what": "nonsense"}, "Select a valid choice"),
    ],
)
def test_tasks_asked_for_wrongly_get_a_sentence(
    answered: Project, carol: User, values: dict[str, Any], sentence: str
) -> None:
    response = browser_of(carol).post(f"/projects/{answered.slug}/tasks/", {"overlap": 1, "priority": 0, **values})
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not Task.objects.exists()


def test_ratings_are_created_for_projects_with_criteria(answered: Project, carol: User) -> None:
    actions.add_criterion(answered, key="helpful", name="Helpful")
    browser_of(carol).post(
        f"/projects/{answered.slug}/tasks/", {"what": "ratings", "source": "a", "overlap": 1, "priority": 0}
    )
    assert Task.objects.filter(kind="rating").count() == 2


def test_tasks_are_filtered(answered: Project, carol: User) -> None:
    path = f"/projects/{answered.slug}/tasks/"
    browser_of(carol).post(path, {"what": "all", "overlap": 1, "priority": 0})
    assert "3 tasks" in text_of(carol, path, search="PARCEL")
    assert "3 tasks" in text_of(carol, path, search="100%")
    assert "0 tasks" in text_of(carol, path, search="没有")
    assert "6 tasks" in text_of(carol, path, state="open", kind="comparison")
    assert "0 tasks" in text_of(carol, path, state="done")
    assert "6 tasks" in text_of(carol, path, state="nonsense", page="99")
    fragment = browser_of(carol).get(path, {"search": "parcel"}, headers={"HX-Request": "true"}).content.decode()
    assert "3 tasks" in fragment and "<html" not in fragment


def test_the_list_of_tasks_needs_few_queries(project: Project, carol: User) -> None:
    make_tasks(project, 60)
    browser = browser_of(carol)
    with CaptureQueriesContext(connection) as queries:
        browser.get(f"/projects/{project.slug}/tasks/")
    assert len(queries) <= 10
