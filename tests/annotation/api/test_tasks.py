"""Tasks by program: made in every way the page knows, listed, changed, withdrawn."""

from typing import Any

import pytest

from annotation import actions, queue
from annotation.models import AuditEntry, Project, Response, Task, User
from tests.annotation.api.conftest import Program, Programs
from tests.annotation.conftest import make_tasks


@pytest.fixture
def admin(carol: User, program: Programs) -> Program:
    return program(carol)


@pytest.fixture
def answered(project: Project, admin: Program) -> dict[str, int]:
    """Two prompts with three answers each; source and number to id."""
    prompts = [
        {
            "messages": [{"role": "user", "content": f"Question {number}?"}],
            "responses": [{"text": f"{source} {number}", "source": source} for source in ("v1", "v2", "v3")],
        }
        for number in range(2)
    ]
    admin.post(f"projects/{project.slug}/prompts", {"prompts": prompts})
    return {response.text: response.pk for response in Response.objects.all()}


@pytest.mark.parametrize(
    ("body", "num"),
    [
        ({"pairing": "all"}, 6),
        ({"pairing": "two", "source": "v1", "against": "v2"}, 2),
        ({"pairing": "baseline", "source": "v1"}, 4),
    ],
)
def test_tasks_by_pairing(
    admin: Program, project: Project, answered: dict[str, int], body: dict[str, str], num: int
) -> None:
    path = f"projects/{project.slug}/tasks"
    status, created = admin.post(path, {"by": "pairing", "overlap": 3, "priority": 7, **body})
    assert (status, created["num_created"], len(created["ids"])) == (200, num, num)
    assert {(task.overlap, task.priority) for task in Task.objects.all()} == {(3, 7)}
    assert admin.post(path, {"by": "pairing", **body})[1]["num_created"] == 0


def test_tasks_of_chosen_pairs(admin: Program, project: Project, answered: dict[str, int]) -> None:
    path = f"projects/{project.slug}/tasks"
    pair = [answered["v2 0"], answered["v1 0"]]
    status, created = admin.post(path, {"by": "pairs", "pairs": [pair]})
    assert (status, created["num_created"]) == (200, 1)
    entry = AuditEntry.objects.get(verb="tasks.created")
    assert (entry.actor.username, entry.subject, entry.details) == ("carol", "pairs", {"tasks": 1})
    task = admin.get(f"{path}/{created['ids'][0]}")[1]
    assert task["responses"] == sorted(pair)
    assert task["overlap"] == project.overlap
    status, problem = admin.post(path, {"by": "pairs", "pairs": [[answered["v1 0"], answered["v1 1"]]]})
    assert (status, problem["detail"]) == (422, "Only answers to the same prompt can be compared.")
    status, problem = admin.post(path, {"by": "pairs", "pairs": [[answered["v1 0"], 2**40]]})
    assert (status, problem["errors"][0]["path"]) == (422, "body.pairs")
    assert str(2**40) in problem["detail"]


def test_tasks_of_ratings(admin: Program, project: Project, answered: dict[str, int]) -> None:
    path = f"projects/{project.slug}/tasks"
    status, problem = admin.post(path, {"by": "ratings"})
    assert (status, "no criteria" in problem["detail"]) == (422, True)
    actions.add_criterion(project, key="safe", name="Safe")
    assert admin.post(path, {"by": "ratings", "responses": [answered["v1 0"]]})[1]["num_created"] == 1
    assert admin.post(path, {"by": "ratings", "source": "v1"})[1]["num_created"] == 1
    assert admin.post(path, {"by": "ratings"})[1]["num_created"] == 4


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"by": "guess"},
        {"by": "pairing", "pairing": "some"},
        {"by": "pairing", "pairing": "two", "source": "v1", "against": "v1"},
        {"by": "pairing", "pairing": "all", "overlap": 0},
        {"by": "pairs", "pairs": [[1, 2, 3]]},
        {"by": "ratings", "responses": [-1]},
        {"by": "ratings", "responses": [True]},
        {"by": "pairing", "pairing": "all", "overlapp": 3},
        {"by": "pairing", "pairing": "all", "priority": False},
        [None, None],
    ],
    ids=str,
)
def test_what_will_not_do_is_told(admin: Program, project: Project, answered: dict[str, int], body: Any) -> None:
    status, problem = admin.post(f"projects/{project.slug}/tasks", body)
    assert status == 422
    assert problem["errors"][0]["path"].startswith("body")
    assert not Task.objects.exists()


def test_changing_a_task(admin: Program, project: Project, alice: User) -> None:
    make_tasks(project, 1, overlap=3)
    lent = queue.claim(alice, project=project)
    assert lent
    path = f"projects/{project.slug}/tasks/{lent.task_id}"
    status, task = admin.patch(path, {"priority": 9, "overlap": 1})
    assert (status, task["priority"], task["overlap"], task["num_leased"]) == (200, 9, 1, 1)
    assert AuditEntry.objects.filter(verb="tasks.changed").get().details == {"priority": 9, "overlap": 1}
    actions.judge(lent, by=alice, submission_key="5f0c1d1e-0000-4000-8000-000000000000", strength=0)  # type: ignore[arg-type]
    assert admin.patch(path, {"overlap": 0})[0] == 422
    assert admin.patch(path, [None, None])[0] == 422
    assert admin.patch(path, {"withdrawn": True})[0] == 422
    assert admin.patch(path, {"is_withdrawn": True})[1]["is_withdrawn"] is True
    assert admin.patch(path, {})[1]["is_withdrawn"] is True


def test_an_overlap_below_what_is_judged_and_lent_is_refused(
    admin: Program, project: Project, alice: User, bob: User
) -> None:
    make_tasks(project, 1, overlap=3)
    lent = [queue.claim(user, project=project) for user in (alice, bob)]
    assert lent[0]
    status, problem = admin.patch(f"projects/{project.slug}/tasks/{lent[0].task_id}", {"overlap": 1, "priority": 5})
    assert (status, "overlap" in problem["detail"]) == (422, True)
    assert Task.objects.get().priority == 0, "all or nothing"


def test_lists_by_state_kind_and_time(admin: Program, project: Project, alice: User) -> None:
    make_tasks(project, 3)
    path = f"projects/{project.slug}/tasks"
    lent = queue.claim(alice, project=project)
    assert lent
    assert admin.get(path, judged_since="2020-01-01T00:00:00Z")[1]["items"] == []
    actions.judge(lent, by=alice, submission_key="5f0c1d1e-0000-4000-8000-000000000000", strength=0)  # type: ignore[arg-type]
    assert len(admin.get(path, state="open")[1]["items"]) == 2
    assert [task["id"] for task in admin.get(path, state="done")[1]["items"]] == [lent.task_id]
    assert [task["id"] for task in admin.get(path, judged_since="2020-01-01T00:00:00Z")[1]["items"]] == [lent.task_id]
    assert admin.get(path, state="withdrawn", kind="rating")[1]["items"] == []
    assert admin.get(path, state="lost")[0] == 422
