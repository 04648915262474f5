"""/projects/<slug>/settings/ : an admin changes how a project works; reason chips among it."""

from typing import Any

import pytest

from annotation.models import AuditEntry, Project, User
from tests.annotation.conftest import browser_of, text_of

USUAL = {
    "name": "Support replies",
    "description": "",
    "overlap": "1",
    "daily_goal": "40",
    "lease_seconds": "1800",
    "promotion_needs_approval": "on",
    "revision": "until_frozen",
    "reason_chips": "",
}


def send(user: User, project: Project, **changed: Any) -> Any:
    return browser_of(user).post(f"/projects/{project.slug}/settings/", USUAL | changed)


def test_it_works(project: Project, carol: User) -> None:
    answer = send(carol, project, reason_chips=" clearer \r\nkinder\n\nclearer\n", revision="never")
    assert answer.status_code == 302
    project.refresh_from_db()
    assert (project.reason_chips, project.revision) == (["clearer", "kinder"], "never")
    assert "clearer\nkinder" in text_of(carol, f"/projects/{project.slug}/settings/")
    assert AuditEntry.objects.get(verb="project.changed").details == {
        "revision": ["until_frozen", "never"],
        "reason_chips": [[], ["clearer", "kinder"]],
    }


def test_name_and_people_per_task(project: Project, carol: User) -> None:
    assert send(carol, project, name="Replies", overlap="3").status_code == 302
    project.refresh_from_db()
    assert (project.name, project.overlap) == ("Replies", 3)
    assert "This field is required" in send(carol, project, name=" ").content.decode()
    assert "greater than or equal to 1" in send(carol, project, overlap="0").content.decode()


def test_nothing_changed_is_nothing_recorded(project: Project, carol: User) -> None:
    assert send(carol, project).status_code == 302
    assert not AuditEntry.objects.filter(verb="project.changed").exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"reason_chips": "\n".join(map(str, range(21)))}, "These are 21 reasons"),
        ({"reason_chips": "x" * 101}, "is too long: use at most 100 characters"),
        ({"lease_seconds": "5"}, "greater than or equal to 60"),
    ],
)
def test_bad_input_gets_a_sentence(project: Project, carol: User, changed: dict[str, str], sentence: str) -> None:
    answer = send(carol, project, **changed)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    project.refresh_from_db()
    assert project.reason_chips == []
