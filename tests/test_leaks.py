"""What an annotator receives tells no question from a gold task or a repeat, and nothing that others said.

Alice holds one of each and judges all three; every page, file and API answer about them is searched.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation import actions
from annotation.models import Assignment, Task
from tests.access_world import World, make_people, make_world

NEVER_SHOWN = re.compile(r"zebra|import (first|second)|\bgold\b|\brepeat|reserved_for|[\"_]control[\"_]", re.IGNORECASE)
"""Sources, versions, the note of the right answer, others' reasons and why; what a control task is called anywhere."""
HELD = ("lent", "gold", "repeat")


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> World:
    settings.UPLOADS_DIR = tmp_path
    return make_world(make_people())


def told(text: str) -> list[str]:
    return [found.group() for found in NEVER_SHOWN.finditer(text.partition("\n")[2])]  # without the headers


def alone(world: World, name: str) -> Assignment:
    """The one assignment of Alice's that the task page can show."""
    kept: Assignment = getattr(world, name)
    others = Assignment.objects.filter(annotator=world.people["alice"], status="leased").exclude(pk=kept.pk)
    Task.objects.filter(assignments__in=others).update(num_leased=0)
    others.update(status="expired")
    world.project.tasks.exclude(pk=kept.task_id).update(is_withdrawn=True)
    return kept


@pytest.mark.parametrize("name", HELD)
def test_the_task_page_and_what_follows(world: World, name: str) -> None:
    kept = alone(world, name)
    path = reverse("annotation:annotate", args=["support"])
    status, page = world.ask("alice", path)
    assert status == 200 and reverse("annotation:judge", args=[kept.pk]) in page
    assert told(page) == []
    for address in ("judge", "skip", "draft"):
        assert told(world.ask("alice", reverse(f"annotation:{address}", args=[kept.pk]), "post")[1]) == []


def test_what_she_said_of_each(world: World) -> None:
    """The list, each judgment with its versions, and the file of all that we know of her."""
    for name in HELD:
        kept = getattr(world, name)
        actions.judge(
            kept, by=world.people["alice"], submission_key=uuid.uuid4(), strength=0, rationale=f"of {name[0]}"
        )
        status, page = world.ask("alice", reverse("annotation:revise", args=[kept.pk]))
        assert status == 200 and f"of {name[0]}" in page
        assert told(page) == []
    for address in ("judgments", "project", "annotate", "guidelines"):
        status, page = world.ask("alice", reverse(f"annotation:{address}", args=["support"]))
        assert status == 200
        assert told(page) == [], address
    status, files = world.ask("alice", reverse("annotation:account_export"), "post")
    assert status == 200 and all(f"of {name[0]}" in files for name in HELD)
    assert told(files) == []


def test_the_api_tells_no_more(world: World) -> None:
    alice = world.people["alice"]
    token = actions.create_token(alice, name="n", scopes=["read", "annotate"]).token
    headers = {"Authorization": f"Bearer {token}"}
    for name in HELD:
        here = f"/api/v1/assignments/{getattr(world, name).pk}"
        answers = [Client().get(here, headers=headers)]
        for verb in ("judge", "revise"):
            body = json.dumps({"submission_key": str(uuid.uuid4()), "strength": 0})
            answers.append(Client().post(f"{here}/{verb}", body, content_type="application/json", headers=headers))
        answers.append(Client().get(here, headers=headers))
        assert [answer.status_code for answer in answers] == [200] * 4
        assert [told("\n" + answer.content.decode()) for answer in answers] == [[]] * 4


def test_there_is_something_to_be_told(world: World) -> None:
    """Else the searches above could find nothing, whatever the pages show."""
    pages = [
        world.ask("dana", reverse(f"annotation:{name}", args=["support"]))[1] for name in ("tasks", "project_quality")
    ]
    assert {"zebra", "gold"} <= {word.lower() for page in pages for word in told(page)}
