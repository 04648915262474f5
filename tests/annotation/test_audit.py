"""/projects/<slug>/audit/ : filtered, paged with the same few queries, and as CSV."""

import csv
import io
from typing import Any

import pytest

from annotation import actions
from annotation.columns import unharmed
from annotation.models import AuditEntry, Project, User, Verb, asked_from
from tests.annotation.conftest import browser_of, text_of


@pytest.fixture
def there(project: Project, carol: User) -> str:
    with asked_from("192.0.2.7"):
        actions.publish_guidelines(project, text="Be kind.", by=carol)
    return f"/projects/{project.slug}/audit/"


def test_it_works(there: str, project: Project, carol: User, alice: User) -> None:
    page = text_of(carol, there)
    assert "published guidelines" in page and "192.0.2.7" in page
    assert "added a member" in page and "alice" in page
    other = actions.create_project("Other", by=carol)
    AuditEntry.objects.record(Verb.EXPORTED, by=carol, project=other, subject="of another project")
    assert "of another project" not in text_of(carol, there)


def test_several_events_of_a_webhook_are_no_change(there: str, project: Project, carol: User) -> None:
    actions.add_webhook(project, url="http://127.0.0.1:9/", events=["run.succeeded", "run.failed"], by=carol)
    page = text_of(carol, there)
    assert "run.succeeded, run.failed" in page and "run.succeeded →" not in page


def test_filters(there: str, project: Project, carol: User, bob: User) -> None:
    actions.publish_guidelines(project, text="Be quick.", by=bob)

    def verbs(**values: Any) -> int:
        return text_of(carol, there, **values).count("<time ")

    everything = verbs()
    assert verbs(verb="guidelines.published") == 2
    assert verbs(person=bob.pk) == 1
    assert verbs(verb="guidelines.published", person=carol.pk) == 1
    assert verbs(first="2020-01-01", last="2999-01-01") == everything
    assert verbs(last="2020-01-01") == verbs(first="2999-01-01") == 0
    assert verbs(first="nonsense", person="x", verb="no.such") == everything
    assert verbs(last="9999-12-31", first="0001-01-01") == everything


def test_pages_go_on_below_the_last_entry(
    there: str, project: Project, carol: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(120):
        AuditEntry.objects.record(Verb.EXPORTED, by=carol, project=project, subject=f"file-{number:03}")
    browser, seen, address = browser_of(carol), [], there + "?verb=data.exported"
    while address:
        with django_assert_max_num_queries(10):
            page = browser.get(address).content.decode()
        seen += [part[:8] for part in page.split(" file-")[1:]]
        rest = page.split('href="' + there + "?verb=data.exported&amp;below=")
        address = f"{there}?verb=data.exported&below={rest[1].split(chr(34))[0]}" if len(rest) > 1 else ""
    assert [text[:3] for text in seen] == [f"{number:03}" for number in reversed(range(120))]


@pytest.mark.parametrize("subject", ["=1+1", "\n=1+1", "'=1+1"])
def test_as_csv(there: str, project: Project, carol: User, subject: str) -> None:
    """As in every file that goes out: no cell is a formula, and each can be read back."""
    AuditEntry.objects.record(Verb.EXPORTED, by=None, project=project, subject=subject, rows=[1, 2])
    response = browser_of(carol).get(there.rstrip("/") + ".csv", {"verb": "data.exported"})
    [line] = csv.DictReader(io.StringIO(response.getvalue().decode(), newline=""))
    assert line["subject"] == "'" + subject and unharmed(line["subject"]) == subject
    assert line["details"] == '{"rows": [1, 2]}' and line["who"] == ""
