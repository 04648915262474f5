"""Uploads that nobody needs any more are thrown away: a file's time is that of its last step."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from annotation.actions.imports import KEEP_FOR, ORPHANED_AFTER, keep_upload, prune_uploads, start_import, take_step
from annotation.intake import importing
from annotation.models import Import, Project, User
from tests.annotation.test_imports import jsonl, pairs


@pytest.fixture(autouse=True)
def uploads(settings: Any, tmp_path: Path) -> Path:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    return tmp_path / "uploads"


def rest(path: Path, rested: datetime.timedelta) -> None:
    then = time.time() - rested.total_seconds() - 1
    os.utime(path, (then, then))


@pytest.fixture
def rows(project: Project, carol: User, monkeypatch: pytest.MonkeyPatch) -> list[Import]:
    """One not started, one left running."""
    monkeypatch.setattr(importing, "BATCH", 10)
    rows = [keep_upload(project, SimpleUploadedFile("a", jsonl(pairs(15, n))), by=carol) for n in (0, 15)]
    start_import(rows[1].pk, by=carol, format="auto")
    take_step(rows[1].pk, by=carol, seconds=0)
    return rows


def test_what_rests_too_long_is_given_up(
    rows: list[Import], uploads: Path, project: Project, django_capture_on_commit_callbacks: Any
) -> None:
    for path in uploads.iterdir():
        rest(path, ORPHANED_AFTER)
    assert prune_uploads() == 0
    for path in uploads.iterdir():
        rest(path, KEEP_FOR)
    with django_capture_on_commit_callbacks(execute=True):
        assert prune_uploads() == 2
    assert list(uploads.iterdir()) == []
    assert [(row.status, row.num_lines) for row in Import.objects.order_by("pk")] == [
        ("cancelled", 0),
        ("cancelled", 10),
    ]
    assert project.tasks.count() == 10, "what came in stays"


def test_a_step_begins_its_time_anew(rows: list[Import], uploads: Path, carol: User) -> None:
    rest(uploads / rows[1].key.hex, KEEP_FOR)
    take_step(rows[1].pk, by=carol, seconds=-1)
    Import.objects.filter(pk=rows[1].pk).update(status="running")
    assert prune_uploads() == 0


def test_what_no_import_speaks_of_goes(rows: list[Import], uploads: Path, project: Project) -> None:
    (uploads / "tmp1.upload").write_bytes(b"x")
    (uploads / f"{uuid.uuid4().hex}.raw").write_bytes(b"x")
    project.imports.all().delete()
    assert prune_uploads() == 0, "it may be on its way in"
    for path in uploads.iterdir():
        rest(path, ORPHANED_AFTER)
    assert prune_uploads() == 4
    assert list(uploads.iterdir()) == []


def test_no_folder_is_no_trouble(db: None) -> None:
    assert prune_uploads() == 0
