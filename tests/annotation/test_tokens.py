"""/account/tokens/ : one's own tokens; a new one is shown once."""

import re

import pytest
from django.urls import reverse

from annotation import actions
from annotation.models import ApiToken, Project, User
from tests.annotation.conftest import browser_of, text_of

PATH = "/account/tokens/"


def test_a_token_is_made_shown_once_and_works(project: Project, alice: User) -> None:
    browser = browser_of(alice)
    values = {"name": "nightly export", "scopes": ["read", "annotate"], "project": project.pk, "days": "30"}
    response = browser.post(PATH, values)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    shown = re.search(r"plb_[\w-]{43}", response.content.decode())
    assert shown
    row = ApiToken.objects.get()
    assert (row.name, row.scopes, row.project) == ("nightly export", ["read", "annotate"], project)
    assert row.expires_at is not None
    assert 29 <= (row.expires_at - row.created_at).days <= 30
    page = text_of(alice, PATH)
    assert shown.group() not in page
    assert row.hint in page
    assert browser.get("/api/v1/me", headers={"Authorization": f"Bearer {shown.group()}"}).status_code == 200


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"name": ""}, "name that says"), ({"scopes": []}, "what the token may do"), ({"days": "7"}, "7")],
)
def test_what_will_not_do_comes_back_with_a_sentence(alice: User, values: dict[str, object], sentence: str) -> None:
    response = browser_of(alice).post(PATH, {"name": "n", "scopes": ["read"], "days": "30", **values})
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not ApiToken.objects.exists()


def test_projects_of_others_are_not_offered(alice: User, project: Project) -> None:
    other = actions.create_project("Another", by=None)
    assert "Another" not in text_of(alice, PATH)
    values = {"name": "n", "scopes": ["read"], "days": "30", "project": other.pk}
    assert browser_of(alice).post(PATH, values).status_code == 422


def test_a_token_is_revoked_by_its_user_alone(alice: User, bob: User) -> None:
    row = actions.create_token(alice, name="n", scopes=["read"]).row
    path = reverse("annotation:token_revoke", args=[row.pk])
    assert browser_of(bob).post(path).status_code == 404
    assert browser_of(alice).post(path).status_code == 302
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert row.hint not in text_of(alice, PATH)


def test_the_api_is_explained_to_anybody(db: None) -> None:
    page = text_of(None, "/api/")  # type: ignore[arg-type]  # nobody is logged in
    for told in ("POST /api/v1/projects/{slug}/claim", "submission_key", "openapi.json"):
        assert told in page
    schema = browser_of(None).get("/api/v1/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert schema["paths"]
