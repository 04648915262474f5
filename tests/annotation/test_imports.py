"""The pages at the doors: a file is sent, looked at, taken in step by step, and what was left out can be fetched."""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from annotation.actions import add_webhook, publish_guidelines
from annotation.actions import imports as importing_step
from annotation.actions.imports import (
    cancel_import,
    keep_upload,
    start_import,
    take_step,
)
from annotation.intake import importing
from annotation.intake.content import add_prompt
from annotation.models import AuditEntry, Import, Project, Response, Role, User, WebhookDelivery
from tests.annotation.conftest import browser_of, member

THERE = "/projects/support-replies/import/"


@pytest.fixture(autouse=True)
def uploads(settings: Any, tmp_path: Path) -> Path:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    return tmp_path / "uploads"


def pairs(num: int, start: int = 0) -> list[dict[str, str]]:
    return [
        {"prompt": f"Question {n}?", "chosen": f"Yes {n}.", "rejected": f"No {n}."} for n in range(start, start + num)
    ]


def jsonl(rows: list[Any]) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def sent(browser: Client, data: bytes, name: str = "pairs.jsonl") -> Import:
    """The import that the upload page makes of these bytes."""
    response = browser.post(THERE, {"file": SimpleUploadedFile(name, data)})
    assert response.status_code == 302, response.content.decode()
    return Import.objects.latest("pk")


def driven(browser: Client, row: Import, **settings: Any) -> Import:
    """Started, and every step taken as the page asks for it."""
    assert browser.post(f"{THERE}{row.pk}/start/", {"format": "auto", **settings}).status_code == 302
    for _ in range(200):
        page = browser.post(f"{THERE}{row.pk}/step/", headers={"HX-Request": "true"}).content.decode()
        if "hx-post" not in page:
            break
    row.refresh_from_db()
    return row


class TestUpload:
    def test_from_the_file_to_the_tasks(
        self, project: Project, carol: User, uploads: Path, django_capture_on_commit_callbacks: Any
    ) -> None:
        browser = browser_of(carol)
        row = sent(browser, jsonl([*pairs(30), "{", {"no": "prompt"}]))
        assert (row.name, row.file_type, row.created_by, row.source) == ("pairs.jsonl", "jsonl", carol, "pairs")
        page = browser.get(f"{THERE}{row.pk}/").content.decode()
        assert "Question 0?" in page and "Question 5?" not in page and "preferences (TRL" in page
        assert Response.objects.count() == 0, "looking keeps nothing"
        with django_capture_on_commit_callbacks(execute=True):
            row = driven(browser, row, source="v1")
        assert (row.status, row.num_lines, row.num_judgments, row.num_problems) == ("done", 32, 30, 2)
        assert set(Response.objects.values_list("source", flat=True)) == {"v1"}
        assert list(uploads.iterdir()) == [], "the file is thrown away"
        page = browser.get(f"{THERE}{row.pk}/").content.decode()
        assert "2 lines were left out" in page and "The line is not JSON" in page
        assert AuditEntry.objects.filter(verb="data.imported", actor=carol, project=project).count() == 1

    def test_the_lines_left_out_are_a_file(self, project: Project, carol: User) -> None:
        browser = browser_of(carol)
        row = driven(browser, sent(browser, jsonl(["{", *pairs(1), '{"=cmd": 1}'])))
        answers = browser.get(f"{THERE}{row.pk}/problems/")
        lines = [json.loads(line) for line in answers.getvalue().splitlines()]
        assert [line["line"] for line in lines] == [1, 3]
        answers = browser.get(f"{THERE}{row.pk}/problems/?file_type=csv")
        assert "attachment" in answers["Content-Disposition"]
        table = list(csv.DictReader(io.StringIO(answers.getvalue().decode("utf-8-sig"))))
        assert [line["sentence"] for line in table] == [line["sentence"] for line in lines]

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("a.jsonl.gz", gzip.compress(jsonl(pairs(3)))),
            ("a.json", json.dumps(pairs(3)).encode()),
            ("a.csv", b"prompt;chosen;rejected\n1?;a;b\n2?;a;b\n3?;a;b\n"),
        ],
    )
    def test_every_type_can_be_taken_up_anywhere(self, project: Project, carol: User, name: str, data: bytes) -> None:
        browser = browser_of(carol)
        row = driven(browser, sent(browser, data, name))
        assert (row.status, row.num_judgments, row.num_problems) == ("done", 3, 0)

    def test_a_column_is_named_on_the_page(self, project: Project, carol: User) -> None:
        browser = browser_of(carol)
        row = sent(browser, b"q,good,bad\nSky?,Blue.,Green.\n", "a.csv")
        page = browser.get(f"{THERE}{row.pk}/").content.decode()
        assert "The prompt is missing" in page and '<option value="good">' in page
        mapping = {"map-prompt": "q", "map-chosen": "good", "map-rejected": "bad"}
        page = browser.get(f"{THERE}{row.pk}/", {"format": "auto", **mapping}, headers={"HX-Request": "true"})
        assert "Blue." in page.content.decode() and "<html" not in page.content.decode()
        row = driven(browser, row, **mapping)
        assert (row.num_judgments, row.num_problems) == (1, 0)
        assert row.mapping == {"prompt": "q", "chosen": "good", "rejected": "bad"}

    def test_prompts_with_tasks(self, project: Project, carol: User) -> None:
        browser = browser_of(carol)
        row = sent(browser, jsonl([{"prompt": "Sky?", "responses": ["a", "b", "c"]}]))
        row = driven(browser, row, create_tasks="comparison", overlap="2", priority="5")
        assert set(project.tasks.values_list("overlap", "priority")) == {(2, 5)} and row.num_tasks == 3

    def test_what_will_not_do_gets_a_sentence(
        self, project: Project, carol: User, settings: Any, uploads: Path
    ) -> None:
        browser = browser_of(carol)
        for files, sentence in (
            ({}, "Choose a file first."),
            ({"file": SimpleUploadedFile("a", b"")}, "The file is empty"),
            ({"file": SimpleUploadedFile("a", b"PAR1 nothing")}, "cannot be read as Parquet"),
            ({"file": SimpleUploadedFile("a.gz", b"\x1f\x8b nothing")}, "gzip is damaged"),
        ):
            response = browser.post(THERE, files)
            assert (response.status_code, sentence in response.content.decode()) == (422, True), sentence
        settings.UPLOAD_MAX_BYTES = 1_000_000
        response = browser.post(THERE, {"file": SimpleUploadedFile("a", b"x" * 1_200_000)})
        assert response.status_code == 422 and "larger than 1 MB" in response.content.decode()
        bomb = gzip.compress(b"\n" * 10_000_000)
        response = browser.post(THERE, {"file": SimpleUploadedFile("a.gz", bomb)})
        assert response.status_code == 422 and "Unpacked, the file is larger than 4 MB" in response.content.decode()
        assert list(uploads.iterdir()) == []
        assert not Import.objects.exists()

    def test_a_name_is_never_a_path(self, project: Project, carol: User, uploads: Path) -> None:
        row = keep_upload(project, SimpleUploadedFile("../../etc/passwd", jsonl(pairs(1))), by=carol)
        assert [file.name for file in uploads.iterdir()] == [row.key.hex]
        assert row.name == "passwd"

    def test_wrong_settings_come_back(self, project: Project, carol: User) -> None:
        browser = browser_of(carol)
        row = sent(browser, jsonl(pairs(1)))
        for values in (
            {"format": "nonsense"},
            {"format": "auto", "overlap": "0"},
            {"format": "auto", "map-prompt": "x"},
        ):
            response = browser.post(f"{THERE}{row.pk}/start/", values)
            assert response.status_code == 422, values
            assert "Question 0?" in response.content.decode()
        row.refresh_from_db()
        assert row.status == "uploaded"


class TestSteps:
    @pytest.fixture
    def row(self, project: Project, carol: User, monkeypatch: pytest.MonkeyPatch) -> Import:
        monkeypatch.setattr(importing, "BATCH", 10)
        row = keep_upload(project, SimpleUploadedFile("a.jsonl", jsonl([*pairs(95), "{"])), by=carol)
        return start_import(row.pk, by=carol, format="auto")

    def test_each_goes_on_where_the_last_one_stopped(self, row: Import, carol: User) -> None:
        seen = []
        while (now := take_step(row.pk, by=carol, seconds=0)).status == "running":
            seen.append((now.line, now.num_judgments, now.percent))
        assert [line for line, _num, _percent in seen] == list(range(10, 100, 10))
        assert [num for _line, num, _percent in seen] == list(range(10, 100, 10))
        assert [percent for _line, _num, percent in seen] == sorted(percent for _line, _num, percent in seen)
        assert (now.status, now.num_lines, now.num_judgments, now.num_problems, now.percent) == ("done", 96, 95, 1, 100)
        assert now.problems.get().line == 96

    def test_a_step_that_fails_leaves_nothing(self, row: Import, carol: User, monkeypatch: pytest.MonkeyPatch) -> None:
        take_step(row.pk, by=carol, seconds=0)
        with monkeypatch.context() as patch:
            patch.setattr(importing, "keep_judgments", lambda *args, **kwargs: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                take_step(row.pk, by=carol, seconds=0)
        row.refresh_from_db()
        assert (row.line, row.num_judgments, Response.objects.count()) == (10, 10, 20)
        while take_step(row.pk, by=carol).status == "running":
            pass
        row.refresh_from_db()
        assert (row.num_judgments, row.num_lines) == (95, 96)

    def test_stopping_keeps_what_came_in(self, row: Import, carol: User, uploads: Path, project: Project) -> None:
        take_step(row.pk, by=carol, seconds=0)
        cancel_import(row.pk, by=carol)
        after = take_step(row.pk, by=carol, seconds=0)
        assert (after.status, after.num_judgments, project.tasks.count()) == ("cancelled", 10, 10)
        assert AuditEntry.objects.get(verb="data.import_cancelled").subject == f"import {row.pk}"
        assert start_import(row.pk, by=carol).status == "cancelled"

    def test_a_file_that_is_gone_is_said(self, row: Import, carol: User, uploads: Path) -> None:
        next(uploads.iterdir()).unlink()
        after = take_step(row.pk, by=carol)
        assert (after.status, after.problems.get().sentence[:28]) == ("done", "The file is gone from the se")

    def test_many_new_tasks_are_analysed(self, row: Import, carol: User, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where they are a tenth of all, and at the end."""
        monkeypatch.setattr(importing, "MANY_TASKS", 5)
        told = []
        connection.cursor().execute("ANALYZE annotation_task")
        for num_lines, seconds in ((60, 0), (5, 0), (60, 60)):
            monkeypatch.setattr(importing, "BATCH", num_lines)
            with CaptureQueriesContext(connection) as queries:
                now = take_step(row.pk, by=carol, seconds=seconds)
            told.append((now.status, any("ANALYZE" in query["sql"] for query in queries)))
        assert told == [("running", True), ("running", False), ("done", True)]

    def test_queries_do_not_grow_with_the_lines(
        self, row: Import, carol: User, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        take_step(row.pk, by=carol, seconds=0)
        with django_assert_max_num_queries(30):
            take_step(row.pk, by=carol, seconds=0)


@pytest.mark.django_db(transaction=True)
def test_two_pages_do_not_double(project: Project, carol: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight pages ask for steps at once, until it is over: each line once."""
    monkeypatch.setattr(importing, "BATCH", 10)
    row = keep_upload(project, SimpleUploadedFile("a.jsonl", jsonl(pairs(200))), by=carol)
    start_import(row.pk, by=carol, format="auto")
    failures: list[BaseException] = []

    def page() -> None:
        try:
            for _ in range(2000):
                if take_step(row.pk, by=carol, seconds=0).status != "running":
                    return
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=page) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    row.refresh_from_db()
    assert (row.status, row.num_lines, row.num_judgments, row.num_known_judgments) == ("done", 200, 200, 0)


@pytest.mark.django_db(transaction=True)
def test_a_step_keeps_nobody_waiting_but_other_content(
    project: Project, carol: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is under way, the project can be changed; what adds content waits for its turn."""
    row = keep_upload(project, SimpleUploadedFile("a.jsonl", jsonl(pairs(5))), by=carol)
    start_import(row.pk, by=carol, format="auto")
    is_held, may_end, steps = threading.Event(), threading.Event(), []

    def settle(_num_tasks: int, *, is_over: bool) -> None:
        assert is_over
        is_held.set()
        may_end.wait(30)

    def page() -> None:
        try:
            steps.append(take_step(row.pk, by=carol).status)
        finally:
            connection.close()

    monkeypatch.setattr(importing_step, "settle", settle)
    thread = threading.Thread(target=page)
    thread.start()
    try:
        assert is_held.wait(30)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        publish_guidelines(project, text="New.", by=carol)
        member(project, "dora")
        add_webhook(project, url="http://127.0.0.1:9/", events=["import.finished"], by=carol)
        with pytest.raises(OperationalError, match="lock timeout"):
            add_prompt(project, "Another?")
    finally:
        may_end.set()
        thread.join(30)
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    assert steps == ["done"]
    assert json.loads(WebhookDelivery.objects.get().body)["data"]["lines"] == 5, "added meanwhile, told all the same"


def test_webhooks_are_told_what_came_in(project: Project, carol: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 10)
    add_webhook(project, url="http://127.0.0.1:9/", events=["import.finished"], by=carol)
    files = [keep_upload(project, SimpleUploadedFile("a", jsonl([*pairs(15, n), "{"])), by=carol) for n in (0, 15, 30)]
    for row in files[:2]:
        start_import(row.pk, by=carol, format="auto")
        take_step(row.pk, by=carol, seconds=0)
    assert not WebhookDelivery.objects.exists(), "not before it is over"
    take_step(files[0].pk, by=carol)
    for row in files:
        cancel_import(row.pk, by=carol)
    told = [json.loads(body)["data"] for body in WebhookDelivery.objects.order_by("pk").values_list("body", flat=True)]
    keys = ("lines", "bad_lines", "prompts", "responses", "tasks", "judgments", "is_whole")
    assert [[data[key] for key in keys] for data in told] == [
        [16, 1, 15, 30, 15, 15, True],
        [10, 0, 10, 20, 10, 10, False],
    ]


def test_a_page_that_loses_the_server_asks_again(project: Project, carol: User) -> None:
    row = keep_upload(project, SimpleUploadedFile("a", jsonl(pairs(1))), by=carol)
    start_import(row.pk, by=carol, format="auto")
    page = browser_of(carol).get(f"{THERE}{row.pk}/").content.decode()
    assert "htmx:sendError delay:5s, htmx:responseError delay:5s" in page
    assert "The connection to the server was lost." in page
    take_step(row.pk, by=carol)
    assert "htmx:sendError" not in browser_of(carol).get(f"{THERE}{row.pk}/").content.decode()


class TestExport:
    @pytest.fixture
    def judged(self, project: Project) -> Project:
        rows = [{**row, "annotator": "=ann"} for row in pairs(20)]
        assert importing.import_lines(project, map(json.dumps, rows), source="v1").errors == []
        return project

    THERE = "/projects/support-replies/export/"

    def test_the_first_lines_and_the_file(self, judged: Project, carol: User) -> None:
        browser = browser_of(carol)
        page = browser.get(self.THERE, {"format": "judgments", "file_type": "csv"}).content.decode()
        assert page.count("<pre") == 5 and "Question 0?" in page
        assert "export/file/?format=judgments&amp;file_type=csv" in page
        response = browser.get(f"{self.THERE}file/", {"format": "judgments", "file_type": "csv"})
        assert response.streaming and 'filename="support-replies-judgments.csv"' in response["Content-Disposition"]
        table = list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))
        assert len(table) == 20 and {line["annotator"] for line in table} == {"'=ann"}
        assert AuditEntry.objects.get(verb="data.exported").subject == "judgments"

    def test_packed(self, judged: Project, carol: User) -> None:
        response = browser_of(carol).get(f"{self.THERE}file/", {"format": "preferences", "gz": "on", "margin": "on"})
        lines = [json.loads(line) for line in gzip.decompress(response.getvalue()).splitlines()]
        assert len(lines) == 20 and lines[0]["margin"] == 2.0
        assert response["Content-Disposition"].endswith('support-replies-preferences.jsonl.gz"')

    def test_what_cannot_be_is_a_sentence(self, judged: Project, carol: User) -> None:
        browser = browser_of(carol)
        for path, status in (("", 200), ("file/", 422)):
            response = browser.get(self.THERE + path, {"format": "label_studio", "file_type": "csv"})
            assert response.status_code == status
            assert "choose JSONL or JSON" in response.content.decode()

    def test_queries_do_not_grow_with_the_rows(
        self, judged: Project, carol: User, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        browser = browser_of(carol)
        for format in ("judgments", "preferences", "prompts", "label_studio"):
            with django_assert_max_num_queries(16):
                browser.get(self.THERE, {"format": format})
            with django_assert_max_num_queries(22):
                browser.get(f"{self.THERE}file/", {"format": format}).getvalue()


@pytest.mark.django_db(transaction=True)
def test_a_download_is_of_one_moment(project: Project, carol: User) -> None:
    """What is judged while the file is written is not in it, and the request's own writes are not hindered."""
    importing.import_lines(project, map(json.dumps, pairs(3)), source="v1")
    response = browser_of(carol).get(TestExport.THERE + "file/", {"format": "judgments"})
    pieces = iter(response.streaming_content)
    first = next(pieces)
    assert AuditEntry.objects.filter(verb="data.exported").count() == 1
    assert len((first + b"".join(pieces)).splitlines()) == 3
    assert not connection.in_atomic_block
    response.close()


def test_the_list_is_paged_with_few_queries(
    project: Project, carol: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    other = member(project, "other", Role.ADMIN)
    Import.objects.bulk_create(
        Import(project=project, name=f"file {n}", file_type="jsonl", size=0, created_by=other) for n in range(60)
    )
    browser = browser_of(carol)
    with django_assert_max_num_queries(9):
        page = browser.get(THERE).content.decode()
    assert page.count("<tr>") == 26 and "page 1 of 3" in page
