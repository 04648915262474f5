"""/projects/<slug>/tasks/ : the list, its filters and orders, and changes of many tasks at once."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.actions import tasks as verbs
from annotation.models import AuditEntry, Making, Project, Task, User
from annotation.pairing import Asked, Pairing
from tests.annotation.conftest import browser_of, make_rankings, make_tasks, text_of

PATH = "/projects/support-replies/tasks/"


def change(user: User, query: str = "", **values: Any) -> str:
    return browser_of(user).post(f"{PATH}change/{query}", values, follow=True).content.decode()


def test_tasks_are_filtered(project: Project, carol: User) -> None:
    tasks = make_tasks(project, 6)
    make_rankings(project, 2)
    Task.objects.filter(pk=tasks[0].pk).update(control="gold")
    assert "8 tasks" in text_of(carol, PATH)
    assert "1 task" in text_of(carol, PATH, search="QUESTION 3?")
    assert "0 tasks" in text_of(carol, PATH, search="100%")
    assert "0 tasks" in text_of(carol, PATH, search="没有")
    assert "6 tasks" in text_of(carol, PATH, state="open", kind="comparison")
    assert "2 tasks" in text_of(carol, PATH, kind="ranking")
    assert "0 tasks" in text_of(carol, PATH, state="done")
    assert "1 task" in text_of(carol, PATH, purpose="gold")
    assert "7 tasks" in text_of(carol, PATH, purpose="question")
    assert "8 tasks" in text_of(carol, PATH, state="nonsense", making="nonsense", order="nonsense", page="99")
    fragment = browser_of(carol).get(PATH, {"search": "question 3"}, headers={"HX-Request": "true"}).content.decode()
    assert "1 task" in fragment and "<html" not in fragment


def test_tasks_are_found_by_the_act_that_made_them(project: Project, carol: User, bob: User) -> None:
    make_tasks(project, 3)
    Task.objects.all().delete()
    asked = Asked(pairing=Pairing.ALL)
    making = verbs.make_tasks(project, asked, by=carol, overlap=1, priority=0)
    Task.objects.filter(pk=Task.objects.first().pk).update(making=None)
    assert "2 tasks" in text_of(carol, PATH, making=making.pk)


def test_they_stand_in_the_order_asked_for(project: Project, carol: User) -> None:
    first, second, third = make_tasks(project, 3)
    Task.objects.filter(pk=third.pk).update(priority=5)
    Task.objects.filter(pk=second.pk).update(num_judged=1)

    def order(**query: str) -> list[int]:
        page = text_of(carol, PATH, **query)
        return sorted((first.pk, second.pk, third.pk), key=lambda pk: page.index(f'name="task" value="{pk}"'))

    assert order() == [third.pk, first.pk, second.pk]
    assert order(order="-id") == [third.pk, second.pk, first.pk]
    assert order(order="-num_judged")[0] == second.pk


def test_the_ticked_tasks_are_changed(project: Project, carol: User) -> None:
    first, second, third = make_tasks(project, 3)
    assert "2 tasks are changed" in change(carol, change="withdraw", task=[first.pk, third.pk])
    assert list(Task.objects.withdrawn()) == [first, third]
    assert "1 task is changed" in change(carol, change="restore", task=[first.pk])
    assert list(Task.objects.withdrawn()) == [third]
    change(carol, change="priority", value=7, task=[second.pk])
    change(carol, change="overlap", value=3, task=[second.pk])
    second.refresh_from_db()
    assert (second.priority, second.overlap) == (7, 3)
    assert [entry.verb for entry in AuditEntry.objects.filter(verb__startswith="tasks.").order_by("pk")] == [
        "tasks.withdrawn", "tasks.restored", "tasks.changed", "tasks.changed",
    ]  # fmt: skip


def test_all_that_match_are_changed_and_the_list_stays_filtered(project: Project, carol: User) -> None:
    tasks = make_tasks(project, 12)
    page = change(carol, "?search=question 1", change="withdraw", all="on")
    assert "3 tasks are changed" in page and 'value="question 1"' in page
    assert set(Task.objects.withdrawn()) == {tasks[1], tasks[10], tasks[11]}


def test_the_overlap_stays_at_least_what_was_judged_and_controls_keep_theirs(project: Project, carol: User) -> None:
    judged, gold = make_tasks(project, 2, overlap=3)
    Task.objects.filter(pk=judged.pk).update(num_judged=2)
    Task.objects.filter(pk=gold.pk).update(control="gold", overlap=Task.EVERYBODY)
    change(carol, change="overlap", value=1, all="on")
    judged.refresh_from_db()
    gold.refresh_from_db()
    assert (judged.overlap, gold.overlap) == (2, Task.EVERYBODY)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"change": "withdraw"}, "Tick the tasks to change"),
        ({"change": "withdraw", "task": ["x", "9" * 30]}, "Tick the tasks to change"),
        ({"change": "nonsense", "all": "on"}, "Select a valid choice"),
        ({"change": "priority", "all": "on"}, "Say which number to set."),
        ({"change": "overlap", "value": "0", "all": "on"}, "set 1 or more"),
        ({"change": "priority", "value": "much", "all": "on"}, "Enter a whole number"),
    ],
)
def test_a_change_asked_for_wrongly_gets_a_sentence(
    project: Project, carol: User, values: dict[str, Any], sentence: str
) -> None:
    make_tasks(project, 2)
    response = browser_of(carol).post(f"{PATH}change/", values)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not AuditEntry.objects.filter(verb__startswith="tasks.").exists()


def test_tasks_of_another_project_are_not_touched(project: Project, carol: User) -> None:
    other = Project.objects.create(slug="other", name="Other")
    (task,) = make_tasks(other, 1)
    change(carol, change="withdraw", task=[task.pk])
    assert not Task.objects.withdrawn().exists()


def test_the_list_needs_few_queries_however_many_tasks(project: Project, carol: User) -> None:
    make_tasks(project, 60)
    make_rankings(project, 20)
    Making.objects.create(project=project, kind="all", created_by=carol)
    browser = browser_of(carol)
    with CaptureQueriesContext(connection) as queries:
        browser.get(PATH, {"order": "-id"})
    assert len(queries) <= 10
