"""Every operation of the API and who may use it: read off the schema, so that an operation without a line fails.

Each is tried by each person, with a token of each scope, on their project and as a stranger to it. An operation is
judged by how far it lets one come: 401, 403 and 404 are refusals, anything else is not.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from annotation import actions, queue
from annotation.api import api
from annotation.models import Assignment, Project, Role, User
from tests.annotation.conftest import make_tasks

SCOPES = ("read", "write", "annotate")
ROLES = {"alice": Role.ANNOTATOR, "bob": Role.REVIEWER, "dana": Role.ADMIN}
PEOPLE = (*ROLES, "charlie", "paused")
"""Charlie is a stranger; the paused one was an admin."""
NEVER_SHOWN = ("plain answer", "long answer")
"""The sources in `make_tasks`: nothing that an annotator receives may contain one as a source."""


@dataclass(frozen=True)
class Allowed:
    """scope "": any token. role None: also who is in no project."""

    scope: str
    role: Role | None
    body: dict[str, Any] | None = None


PROMPT = {"messages": [{"role": "user", "content": "Why?"}]}
JUDGMENT = {"submission_key": str(uuid.uuid4()), "strength": 0}

EXPECTED = {
    "read_me": Allowed("", None),
    "list_projects": Allowed("", None),
    "read_project": Allowed("", Role.ANNOTATOR),
    "list_prompts": Allowed("read", Role.REVIEWER),
    "create_prompts": Allowed("write", Role.ADMIN, {"prompts": [PROMPT]}),
    "read_prompt": Allowed("read", Role.REVIEWER),
    "create_responses": Allowed("write", Role.ADMIN, {"responses": [{"text": "So.", "source": "v1"}]}),
    "list_responses": Allowed("read", Role.REVIEWER),
    "read_response": Allowed("read", Role.REVIEWER),
    "list_tasks": Allowed("read", Role.REVIEWER),
    "create_tasks": Allowed("write", Role.ADMIN, {"by": "pairing", "pairing": "all"}),
    "read_task": Allowed("read", Role.REVIEWER),
    "change_task": Allowed("write", Role.ADMIN, {"priority": 1}),
    "list_judgments": Allowed("read", Role.REVIEWER),
    "export_project": Allowed("read", Role.ADMIN),
    "claim_task": Allowed("annotate", Role.ANNOTATOR),
    "read_assignment": Allowed("annotate", Role.ANNOTATOR),
    "judge_task": Allowed("annotate", Role.ANNOTATOR, JUDGMENT),
    "revise_judgment": Allowed("annotate", Role.ANNOTATOR, JUDGMENT),
    "skip_task": Allowed("annotate", Role.ANNOTATOR, {"reason": "unclear"}),
    "undo_judgment": Allowed("annotate", Role.ANNOTATOR),
}


def operations() -> dict[str, tuple[str, str]]:
    """Operation id to (method, address)."""
    return {
        details["operationId"]: (method, path)
        for path, by_method in api.schema()["paths"].items()
        for method, details in by_method.items()
    }


@dataclass(frozen=True)
class World:
    people: dict[str, User]
    project: Project
    other: Project
    held: dict[str, Assignment]

    def address(self, path: str, person: str) -> str:
        task = self.project.tasks.order_by("pk").first()
        assert task is not None
        anyone = self.held["dana"].pk
        return path.format(
            slug=self.project.slug,
            prompt_id=task.prompt_id,
            response_id=task.response_a_id,
            task_id=task.pk,
            assignment_id=self.held[person].pk if person in self.held else anyone,
        )

    def ask(self, person: str, operation: str, *, scopes: tuple[str, ...], project: Project | None = None) -> Any:
        if operation == "revise_judgment" and person in self.held and not self.held[person].judgments.exists():
            actions.judge(self.held[person], by=self.people[person], submission_key=uuid.uuid4(), strength=0)
        token = actions.create_token(self.people[person], name="n", scopes=scopes, project=project).token
        method, path = operations()[operation]
        body = EXPECTED[operation].body
        return getattr(Client(enforce_csrf_checks=True), method)(
            self.address(path, person),
            json.dumps(body) if body is not None and method != "get" else None,
            **({} if method == "get" else {"content_type": "application/json"}),
            headers={"Authorization": f"Bearer {token}"},
        )


@pytest.fixture
def world(db: None) -> World:
    project = actions.create_project("Support replies", by=None)
    people = {name: User.objects.create(username=name) for name in PEOPLE}
    for name, role in ROLES.items():
        actions.add_member(project, user=people[name], role=role)
    actions.add_member(project, user=people["paused"], role=Role.ADMIN)
    make_tasks(project, 8, overlap=3)
    held = {}
    for name in ROLES:
        lent = queue.claim(people[name], project=project)
        assert lent
        held[name] = lent
    project.memberships.filter(user=people["paused"]).update(is_paused=True)
    other = actions.create_project("Another", by=people["dana"])
    return World(people, project, other, held)


def test_every_operation_says_who_may_use_it() -> None:
    assert sorted(operations()) == sorted(EXPECTED), "say in EXPECTED who may use each operation"


@pytest.mark.parametrize("operation", EXPECTED)
@pytest.mark.parametrize("person", PEOPLE)
def test_who_may(world: World, operation: str, person: str) -> None:
    """With a token of all scopes it is the role that decides, as on the pages."""
    needed = EXPECTED[operation].role
    status = world.ask(person, operation, scopes=SCOPES).status_code
    if needed is None:
        assert status == 200
    elif person not in ROLES:
        assert status == 404
    elif ROLES[person] < needed:
        assert status == 403
    else:
        assert status in {200, 204}


@pytest.mark.parametrize("operation", EXPECTED)
def test_which_scope(world: World, operation: str) -> None:
    """Dana's role reaches everything; the scope of her token decides."""
    needed = EXPECTED[operation].scope
    for scope in SCOPES:
        allowed = world.ask("dana", operation, scopes=(scope,)).status_code in {200, 204}
        assert allowed == (needed in ("", scope)), scope


@pytest.mark.parametrize("operation", [name for name, allowed in EXPECTED.items() if allowed.role is not None])
def test_a_token_of_another_project(world: World, operation: str) -> None:
    assert world.ask("dana", operation, scopes=SCOPES, project=world.other).status_code == 404


@pytest.mark.parametrize("operation", EXPECTED)
def test_nobody_comes_without_a_token(world: World, operation: str) -> None:
    method, path = operations()[operation]
    browser = Client()
    browser.force_login(world.people["dana"])
    response = getattr(browser, method)(world.address(path, "dana"))
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("operation", [name for name, allowed in EXPECTED.items() if allowed.role == Role.ANNOTATOR])
def test_annotators_are_not_told_who_wrote_what(world: World, operation: str) -> None:
    response = world.ask("alice", operation, scopes=SCOPES)
    told = response.content.decode()
    assert not [source for source in NEVER_SHOWN if f'"{source}"' in told]
    assert "control" not in told


def test_what_annotators_are_not_told_is_there_to_be_told(world: World) -> None:
    told = world.ask("bob", "list_responses", scopes=("read",)).content.decode()
    assert all(f'"{source}"' in told for source in NEVER_SHOWN)


NONSENSE: list[Callable[[str], str]] = [
    lambda path: path.replace("{slug}", "%00"),
    lambda path: path.replace("_id}", "_id}%00"),
    lambda path: path + "?limit=x&cursor=%00&created_since=y&task=²&format=%00&kappa=nan",
    lambda path: path + "?limit=" + "9" * 5000,
    lambda path: path + "?prompt=-1&response=0&kind=%00&state=%00&source=%00&annotator=%00&external_id=%00",
]


@pytest.mark.parametrize("operation", EXPECTED)
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_no_error_of_ours(world: World, operation: str, nonsense: Callable[[str], str]) -> None:
    token = actions.create_token(world.people["dana"], name="n", scopes=SCOPES).token
    method, path = operations()[operation]
    for body in ("", "{}", "[]", "null", '"x"', "\0", "{" * 50):
        response = getattr(Client(), method)(
            world.address(nonsense(path), "dana"),
            **({} if method == "get" else {"data": body, "content_type": "application/json"}),
            headers={"Authorization": f"Bearer {token}"},
        )
        assert response.status_code < 500
