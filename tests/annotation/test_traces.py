"""An erased person is named nowhere in passing, and what files still name them can be found."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from annotation import actions
from annotation.actions.imports import keep_upload
from annotation.models import Event, Import, ImportProblem, Project, User, WebhookDelivery
from annotation.uploads import path_of
from tests.annotation.conftest import member
from tests.annotation.webhooks.conftest import judge_one

pytestmark = pytest.mark.django_db


@pytest.fixture
def zaphod(project: Project) -> User:
    return member(project, 'zaphod "the" first')


def test_sentences_messages_and_files_on_their_way(
    project: Project, zaphod: User, carol: User, settings: Any, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.UPLOADS_DIR = tmp_path
    sent = SimpleUploadedFile("labels.jsonl", b'{"prompt": "x"}\n')
    on_its_way = keep_upload(project, sent, by=zaphod)
    of_carol = keep_upload(project, SimpleUploadedFile("more.jsonl", b'{"prompt": "y"}\n'), by=carol)
    sentence = f"“{zaphod}” judged this already, and otherwise."
    ImportProblem.objects.create(of=of_carol, line=1, sentence=sentence)
    actions.add_webhook(project, url="https://example.org/", events=[Event.JUDGMENT_CREATED], by=None)
    judge_one(project, zaphod)
    assert zaphod.username in json.loads(WebhookDelivery.objects.get().body)["data"]["annotator"]
    with django_capture_on_commit_callbacks(execute=True):
        actions.erase_account(zaphod, by=carol, with_texts=True)
    on_its_way.refresh_from_db()
    assert on_its_way.status == Import.Status.CANCELLED and not path_of(on_its_way.key).exists()
    assert path_of(of_carol.key).exists(), "another's file stays"
    pseudonym = User.objects.get(pk=zaphod.pk).username
    assert ImportProblem.objects.get().sentence == f"“{pseudonym}” judged this already, and otherwise."
    assert json.loads(WebhookDelivery.objects.get().body)["data"]["annotator"] == pseudonym


def test_files_that_name_somebody_are_found(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    named = tmp_path / "mail" / "1.log"
    across_two_pieces = tmp_path / "runs" / "7" / "stderr.txt"
    for path, text in (
        (named, b"To: Zaphod@Example.org"),
        (across_two_pieces, b"-" * ((1 << 20) - 3) + b"zaphod@example.org"),
        (tmp_path / "log" / "web.log", b"nothing of the kind"),
        (tmp_path / "postgres" / "base", b"zaphod@example.org"),
    ):
        path.parent.mkdir(parents=True)
        path.write_bytes(text)
    out = io.StringIO()
    call_command("find_traces", "zaphod@example.org", stdout=out)
    *found, told = out.getvalue().splitlines()
    assert found == [str(named), str(across_two_pieces)]
    assert told.startswith("2 files")
    with pytest.raises(CommandError, match="Give a name"):
        call_command("find_traces", " ")
