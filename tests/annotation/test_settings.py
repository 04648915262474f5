"""/projects/<slug>/settings/ : an admin changes how a project works; reason chips among it."""

from typing import Any

import pytest

from annotation.models import AuditEntry, Project, User
from tests.annotation.conftest import browser_of, text_of

USUAL = {"description": "", "daily_goal": "40", "lease_seconds": "1800", "revision": "until_frozen", "reason_chips": ""}


def send(user: User, project: Project, **changed: Any) -> Any:
    return browser_of(user).post(f"/projects/{project.slug}/settings/", USUAL | changed)


def test_it_works(project: Project, carol: User) -> None:
    answer = send(carol, project, reason_chips=" clearer \r\nkinder\n\nclearer\n", revision="never")
    assert answer.status_code == 302
    project.refresh_from_db()
    assert (project.reason_chips, project.revision) == (["clearer", "kinder"], "never")
    assert "clearer\nkinder" in text_of(carol, f"/projects/{project.slug}/settings/")
    assert AuditEntry.objects.get(verb="project.changed").details == {"changed": ["revision", "reason_chips"]}


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
