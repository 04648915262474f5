"""Tokens: kept as digests, never with more rights than their user, counted, and dead when they should be."""

import datetime
import hashlib
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from annotation import actions
from annotation.models import ApiToken, ApiUse, AuditEntry, Project, Role, User
from tests.annotation.api.conftest import Program, Programs
from tests.annotation.conftest import member


def test_only_the_digest_is_kept(alice: User) -> None:
    made = actions.create_token(alice, name=" nightly ", scopes=["read"])
    assert made.token.startswith("plb_")
    assert len(made.token) == len("plb_") + 43
    row = ApiToken.objects.get()
    assert row.digest == hashlib.sha256(made.token.encode()).hexdigest()
    assert row.name == "nightly"
    secret = made.token.removeprefix("plb_")
    kept = [str(value) for value in ApiToken.objects.values_list().get()]
    assert not [value for value in kept if secret[4:] in value]
    assert AuditEntry.objects.filter(verb="token.made").count() == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": " "}, "name that says"),
        ({"scopes": []}, "what the token may do"),
        ({"scopes": ["root"]}, "what the token may do"),
        ({"expires_at": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)}, "later day"),
    ],
)
def test_what_will_not_do_is_a_sentence(alice: User, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        actions.create_token(alice, **{"name": "n", "scopes": ["read"], **values})


def test_a_project_of_others_is_refused(charlie: User, project: Project) -> None:
    with pytest.raises(ValueError, match="not in that project"):
        actions.create_token(charlie, name="n", scopes=["read"], project=project)


def test_who_the_token_speaks_for(alice: User, project: Project, program: Programs) -> None:
    assert program(alice, "read", project=project).get("me") == (
        200,
        {"username": "alice", "token": "a test", "scopes": ["read"], "project": project.slug, "expires_at": None},
    )


def test_tokens_that_are_refused(alice: User, program: Programs) -> None:
    asking = program(alice)
    assert Program("").get("me")[0] == 401
    assert Program("plb_unknown").get("me")[0] == 401
    row = ApiToken.objects.get()
    for field, value in (("expires_at", timezone.now()), ("revoked_at", timezone.now())):
        ApiToken.objects.filter(pk=row.pk).update(**{field: value})
        assert asking.get("me")[0] == 401, field
        ApiToken.objects.filter(pk=row.pk).update(**{field: None})
        assert asking.get("me")[0] == 200
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert asking.get("me")[0] == 401


def test_the_refusal_says_how_to_ask(alice: User) -> None:
    response = Client().get("/api/v1/me")
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer" in response.json()["detail"]


def test_a_login_is_no_token(alice: User) -> None:
    browser = Client()
    browser.force_login(alice)
    assert browser.get("/api/v1/me").status_code == 401
    assert browser.post("/api/v1/projects/support-replies/claim").status_code == 401


def test_a_paused_persons_token_reaches_nothing(alice: User, project: Project, program: Programs) -> None:
    asking = program(alice)
    assert asking.get(f"projects/{project.slug}")[0] == 200
    project.memberships.update(is_paused=True)
    assert asking.get(f"projects/{project.slug}")[0] == 404
    assert asking.get("projects")[1]["items"] == []
    assert asking.post(f"projects/{project.slug}/claim")[0] == 404


def test_a_token_of_one_project_reaches_no_other(carol: User, project: Project, program: Programs) -> None:
    other = actions.create_project("Another", by=carol)
    asking = program(carol, project=other)
    assert [found["slug"] for found in asking.get("projects")[1]["items"]] == ["another"]
    assert asking.get(f"projects/{project.slug}")[0] == 404
    assert asking.get(f"projects/{project.slug}/export")[0] == 404


def test_a_token_loses_what_its_user_loses(carol: User, project: Project, program: Programs) -> None:
    asking = program(carol)
    assert asking.get(f"projects/{project.slug}/tasks")[0] == 200
    member(project, "dave", Role.ADMIN)  # a project keeps its last admin
    actions.add_member(project, user=carol, role=Role.ANNOTATOR)
    status, problem = asking.get(f"projects/{project.slug}/tasks")
    assert status == 403
    assert "reviewer" in problem["detail"]


def test_a_scope_that_is_missing_is_named(carol: User, project: Project, program: Programs) -> None:
    status, problem = program(carol, "read").post(f"projects/{project.slug}/prompts", {"prompts": []})
    assert status == 403
    assert "write" in problem["detail"]


def test_the_last_use_is_written_once_a_minute(alice: User, program: Programs) -> None:
    asking = program(alice)
    asking.get("me")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    asking.get("me")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - datetime.timedelta(minutes=2))
    asking.get("me")
    assert ApiToken.objects.get().last_used_at > first


def test_too_many_requests_wait(alice: User, bob: User, program: Programs, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    asking, other = program(alice), program(bob)
    ApiUse.objects.create(
        token=ApiToken.objects.get(user=bob), minute=timezone.now().replace(second=0, microsecond=0), num_requests=2
    )
    statuses = [asking.get("me")[0] for _ in range(3)]
    # A minute may end in between: then the count begins anew, and the test looks at the second minute.
    refused = asking.client.get("/api/v1/me", headers=asking.headers)
    if refused.status_code == 200:
        statuses, refused = [200] * 3, [asking.client.get("/api/v1/me", headers=asking.headers) for _ in range(3)][-1]
    assert statuses == [200, 200, 200]
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert refused["Content-Type"] == "application/problem+json"
    assert other.get("me")[0] == 200


def test_the_count_begins_anew_each_minute(alice: User, program: Programs, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    asking = program(alice)
    last_minute = timezone.now() - datetime.timedelta(minutes=1)
    ApiUse.objects.create(
        token=ApiToken.objects.get(), minute=last_minute.replace(second=0, microsecond=0), num_requests=9
    )
    assert asking.get("me")[0] == 200
    assert ApiUse.objects.get().num_requests == 1


def test_a_request_costs_few_queries(
    alice: User, project: Project, program: Programs, django_assert_max_num_queries: Any
) -> None:
    asking = program(alice)
    asking.get("me")
    with django_assert_max_num_queries(2):  # the token with its user, the count
        assert asking.get("me")[0] == 200
