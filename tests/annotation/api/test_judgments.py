"""Judgments that programs follow, and exports: everything once, in order, none passed over."""

import csv
import gzip
import io
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from annotation import actions, queue
from annotation.export import FORMATS, files, lines
from annotation.models import AuditEntry, Judgment, Project, User
from tests.annotation.api.conftest import Program, Programs
from tests.annotation.conftest import make_tasks

# Rows of a transaction that is still open are not shown yet, and a test's own transaction is one.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reviewer(bob: User, program: Programs) -> Program:
    return program(bob, "read")


def judge(user: User, project: Project, **said: Any) -> Judgment:
    lent = queue.claim(user, project=project)
    assert lent is not None
    values = {"strength": 0} | said
    return actions.judge(lent, by=user, submission_key=uuid.uuid4(), **values).judgment


def test_a_judgment_with_all_that_was_said(reviewer: Program, project: Project, alice: User) -> None:
    (task,) = make_tasks(project, 1)
    correction = {task.response_a_id: "Mended."}
    kept = judge(alice, project, preferred=task.response_a, strength=2, corrections=correction, rationale="So.")
    status, page = reviewer.get(f"projects/{project.slug}/judgments")
    assert status == 200
    (told,) = page["items"]
    assert told["id"] == kept.pk
    assert (told["annotator"], told["preferred"], told["strength"]) == ("alice", task.response_a_id, 2)
    assert (told["is_current"], told["is_voided"], told["control"]) == (True, False, "")
    assert [(one["corrects"], one["text"]) for one in told["corrections"]] == [(task.response_a_id, "Mended.")]


def test_versions_and_what_counts(reviewer: Program, project: Project, alice: User) -> None:
    make_tasks(project, 1)
    first = judge(alice, project)
    path = f"projects/{project.slug}/judgments"
    seen = reviewer.get(path)[1]
    actions.undo(alice, project=project)
    second = judge(alice, project, strength=0, both_bad=True)
    followed = reviewer.get(path, cursor=seen["next_cursor"])[1]
    assert [item["id"] for item in followed["items"]] == [second.pk]
    everything = reviewer.get(path)[1]["items"]
    assert [(item["id"], item["is_current"]) for item in everything] == [(first.pk, False), (second.pk, True)]
    assert [item["id"] for item in reviewer.get(path, current="true")[1]["items"]] == [second.pk]
    assert [item["id"] for item in reviewer.get(path, current="false")[1]["items"]] == [first.pk]


def test_filters(reviewer: Program, project: Project, alice: User, bob: User) -> None:
    make_tasks(project, 2)
    of_alice, of_bob = judge(alice, project), judge(bob, project)
    path = f"projects/{project.slug}/judgments"
    assert [item["id"] for item in reviewer.get(path, annotator="bob")[1]["items"]] == [of_bob.pk]
    assert [item["id"] for item in reviewer.get(path, task=of_alice.task_id)[1]["items"]] == [of_alice.pk]
    assert reviewer.get(path, created_since="2999-01-01T00:00:00Z")[1]["items"] == []


def test_a_follower_never_passes_over_a_judgment_that_was_slow_to_come(
    reviewer: Program, project: Project, alice: User, bob: User
) -> None:
    """The lower id is committed after the higher one: a cursor behind the higher one would have lost it."""
    make_tasks(project, 2)
    path = f"projects/{project.slug}/judgments"
    is_written, may_end = threading.Event(), threading.Event()
    slow: list[int] = []

    def judge_slowly() -> None:
        try:
            with transaction.atomic():
                slow.append(judge(alice, project).pk)
                is_written.set()
                may_end.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=judge_slowly)
    thread.start()
    assert is_written.wait(30)
    quick = judge(bob, project)
    assert quick.pk > slow[0]
    meanwhile = reviewer.get(path)[1]
    may_end.set()
    thread.join(30)
    assert meanwhile["items"] == []
    assert [item["id"] for item in reviewer.get(path, cursor=meanwhile["next_cursor"] or "")[1]["items"]] == [
        slow[0],
        quick.pk,
    ]


def test_a_page_costs_as_many_queries_however_long_it_is(
    reviewer: Program, project: Project, alice: User, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    make_tasks(project, 20)
    for _ in range(20):
        judge(alice, project)
    with django_assert_max_num_queries(9):
        assert len(reviewer.get(f"projects/{project.slug}/judgments")[1]["items"]) == 20


@pytest.mark.parametrize("format", FORMATS)
def test_exports_are_the_lines_of_the_command(
    format: Any, project: Project, alice: User, carol: User, program: Programs
) -> None:
    tasks = make_tasks(project, 3)
    for _ in tasks:
        judge(alice, project)
    admin = program(carol, "read")
    response = admin.client.get(f"/api/v1/projects/{project.slug}/export?format={format}", headers=admin.headers)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/jsonl"
    told = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert told == json.loads(json.dumps(list(lines(project, format=format)), default=str))
    entry = AuditEntry.objects.get(verb="data.exported")
    assert (entry.subject, entry.details) == (format, {"file_type": "jsonl"})


def test_an_export_takes_what_the_page_takes(project: Project, alice: User, carol: User, program: Programs) -> None:
    (task,) = make_tasks(project, 1)
    judge(alice, project, strength=3, preferred=task.response_a)
    admin = program(carol, "read")
    chosen = "format=preferences&file_type=csv&gzip=true&layout=transcript&margin=true&consensus=majority"
    response = admin.client.get(f"/api/v1/projects/{project.slug}/export?{chosen}", headers=admin.headers)
    assert response["Content-Type"] == "application/gzip"
    assert response["Content-Disposition"].endswith(f'filename="{project.slug}-preferences.csv.gz"')
    table = gzip.decompress(b"".join(response.streaming_content)).decode("utf-8-sig")
    (line,) = csv.DictReader(io.StringIO(table))
    assert (float(line["margin"]), float(line["target"])) == (3.0, 1.0)
    assert line["chosen"].startswith("\n\nHuman: ") or line["chosen"].startswith("'\n\nHuman: ")
    status, problem = admin.get(f"projects/{project.slug}/export", format="label_studio", file_type="csv")
    assert (status, "choose JSONL or JSON" in problem["detail"]) == (422, True)
    assert admin.get(f"projects/{project.slug}/export", layout="round")[0] == 422


def test_an_export_is_of_one_moment(
    project: Project, alice: User, carol: User, program: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes while the file is written does not change it."""
    monkeypatch.setattr(files, "PIECE", 1)
    make_tasks(project, 2)
    judge(alice, project)
    judge(alice, project)
    admin = program(carol, "read")
    response = admin.client.get(f"/api/v1/projects/{project.slug}/export", headers=admin.headers)
    pieces = iter(response.streaming_content)
    assert len(next(pieces).splitlines()) == 1
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone() == ("repeatable read",)
    assert len(list(pieces)) == 1
    response.close()


def test_exports_are_for_admins(reviewer: Program, project: Project) -> None:
    assert reviewer.get(f"projects/{project.slug}/export")[0] == 403


def test_an_export_in_a_format_that_does_not_exist(carol: User, project: Project, program: Programs) -> None:
    admin = program(carol)
    assert admin.get(f"projects/{project.slug}/export", format="pdf")[0] == 422
    assert admin.get(f"projects/{project.slug}/export", kappa="inf")[0] == 422
