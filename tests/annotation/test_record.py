"""The audit log's rows: written with the change or not at all, and never changed afterwards."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import RequestFactory

import annotation
from annotation.models import AuditEntry, Project, User, Verb, asked_from
from annotation.origin import address_of


def test_it_works(project: Project, carol: User, alice: User) -> None:
    with asked_from("192.0.2.7"):
        AuditEntry.objects.record(
            Verb.MEMBER_PAUSED, by=carol, project=project, about=alice, subject="x" * 300, role=[1, 2]
        )
    entry = AuditEntry.objects.newest_first()[0]
    assert (entry.actor, entry.project, entry.about, entry.address) == (carol, project, alice, "192.0.2.7")
    assert (entry.label, entry.details, len(entry.subject)) == ("paused a member", {"role": [1, 2]}, 200)
    outside = AuditEntry.objects.record(Verb.EXPORTED, by=None)
    assert outside.address is None and outside.actor is None


@pytest.mark.parametrize(
    "change",
    [
        {"verb": Verb.MEMBER_RESUMED},
        {"actor": None},
        {"details": {}},
        {"address": "192.0.2.8"},
        {"address": None, "subject": ""},
    ],
)
def test_no_entry_is_changed(project: Project, carol: User, change: dict[str, Any]) -> None:
    with asked_from("192.0.2.7"):
        entry = AuditEntry.objects.record(Verb.MEMBER_PAUSED, by=carol, project=project, subject="a", n=1)
    with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(**change)


def test_no_entry_is_deleted(carol: User) -> None:
    entry = AuditEntry.objects.record(Verb.MEMBER_PAUSED, by=carol)
    with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
        entry.delete()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM annotation_auditentry")


def test_only_the_address_can_be_emptied(carol: User) -> None:
    with asked_from("2001:db8::1"):
        AuditEntry.objects.record(Verb.MEMBER_PAUSED, by=carol, n=1)
    assert AuditEntry.objects.exclude(address=None).update(address=None) == 1
    assert AuditEntry.objects.get(verb=Verb.MEMBER_PAUSED).details == {"n": 1}


def test_the_log_outlives_what_it_speaks_of(project: Project, charlie: User) -> None:
    AuditEntry.objects.record(Verb.PROJECT_CHANGED, by=charlie, project=project)
    project.delete()
    charlie.delete()
    entry = AuditEntry.objects.with_people().get(verb=Verb.PROJECT_CHANGED)
    assert entry.actor_id and entry.project_id
    assert entry.actor is None and entry.project is None


@pytest.mark.django_db(transaction=True)
def test_a_change_without_its_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        AuditEntry.objects.record(Verb.EXPORTED, by=None)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("is_behind_proxy", "remote", "forwarded", "expected"),
    [
        (False, "192.0.2.7", "203.0.113.9", "192.0.2.7"),
        (False, "", "", None),
        (False, "fe80::1%eth0", "", "fe80::1"),
        (True, "127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (True, "127.0.0.1", "", None),
        (True, "127.0.0.1", "<script>", None),
    ],
)
def test_where_a_request_came_from(
    settings: Any, is_behind_proxy: bool, remote: str, forwarded: str, expected: str | None
) -> None:
    settings.BEHIND_PROXY = is_behind_proxy
    request = RequestFactory().get("/", REMOTE_ADDR=remote, headers={"X-Forwarded-For": forwarded})
    assert address_of(request) == expected


def test_every_word_of_the_log_is_used() -> None:
    """A word that nothing records would be a choice on the page that never finds anything."""
    root = Path(annotation.__file__).parents[1]
    code = "".join(path.read_text() for app in ("annotation", "training") for path in (root / app).rglob("*.py"))
    assert [verb for verb in Verb if not re.search(rf"Verb\.{verb.name}\b", code)] == []
