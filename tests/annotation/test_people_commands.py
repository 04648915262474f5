"""Commands that make or change accounts say so in the audit log: whoever has a shell leaves a trace of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation import intake
from annotation.models import AuditEntry, Project, User, Verb
from tests.annotation.conftest import make_tasks

pytestmark = pytest.mark.django_db


def told(verb: Verb, user: User) -> dict[str, Any]:
    entry = AuditEntry.objects.get(verb=verb, about=user)
    assert entry.actor is None
    return dict(entry.details)


def test_createsuperuser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long one, not guessed")
    call_command("createsuperuser", username="root", email="", interactive=False, stdout=io.StringIO())
    root = User.objects.get(username="root")
    assert root.is_superuser and root.check_password("a long one, not guessed")
    assert told(Verb.ACCOUNT_CREATED, root) == {"command": "createsuperuser"}
    with pytest.raises(CommandError, match="already taken"):
        call_command("createsuperuser", username="root", email="", interactive=False)
    assert AuditEntry.objects.filter(verb=Verb.ACCOUNT_CREATED).count() == 1


def test_changepassword(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "a long one, not guessed")
    call_command("changepassword", "alice", stdout=io.StringIO())
    alice.refresh_from_db()
    assert alice.check_password("a long one, not guessed")
    assert told(Verb.ACCOUNT_CHANGED, alice) == {"fields": ["password"], "command": "changepassword"}


def test_simulated_annotators_and_those_of_files(project: Project) -> None:
    make_tasks(project, 1)
    call_command("simulate_annotators", project=project.slug, annotators=1, judgments=1, stdout=io.StringIO())
    assert told(Verb.ACCOUNT_CREATED, User.objects.get(username="simulated-1"))["command"] == "simulate_annotators"
    line = '{"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green.", "annotator": "ann"}'
    for _ in range(2):
        intake.import_lines(project, [line], source="a file")
    assert told(Verb.ACCOUNT_CREATED, User.objects.get(username="ann")) == {"origin": "import"}
