"""Prompts and answers by program: once however often, all or none, and in pages that stay right."""

from typing import Any

import pytest

from annotation.models import AuditEntry, Project, Prompt, Response, User
from tests.annotation.api.conftest import Program, Programs

SKY = {
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "external_id": "sky-1",
    "metadata": {"topic": "physics"},
    "responses": [{"text": "Scattering.", "source": "v1"}, {"text": "Magic.", "source": "v2", "metadata": {"t": 0.7}}],
}


@pytest.fixture
def admin(carol: User, program: Programs) -> Program:
    return program(carol)


def prompts(*words: str) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": word}]} for word in words]


def test_prompts_with_answers_come_in_once(admin: Program, project: Project) -> None:
    path = f"projects/{project.slug}/prompts"
    status, (added,) = admin.post(path, {"prompts": [SKY]})
    assert status == 200
    assert added["is_new"]
    assert [answer["is_new"] for answer in added["responses"]] == [True, True]
    status, (again,) = admin.post(path, {"prompts": [SKY]})
    assert status == 200
    assert again == {
        "id": added["id"],
        "is_new": False,
        "responses": [{"id": answer["id"], "is_new": False} for answer in added["responses"]],
    }
    entry = AuditEntry.objects.get(verb="data.imported")
    assert (entry.actor, entry.details) == (User.objects.get(username="carol"), {"prompts": 1, "responses": 2})
    assert Prompt.objects.get().metadata == {"topic": "physics"}
    magic = Response.objects.get(pk=added["responses"][1]["id"])
    assert (magic.text, magic.source, magic.metadata) == ("Magic.", "v2", {"t": 0.7})


def test_a_prompt_is_read_with_its_answers(admin: Program, project: Project) -> None:
    (added,) = admin.post(f"projects/{project.slug}/prompts", {"prompts": [SKY]})[1]
    status, prompt = admin.get(f"projects/{project.slug}/prompts/{added['id']}")
    assert status == 200
    assert prompt["messages"] == SKY["messages"]
    assert {answer["text"] for answer in prompt["responses"]} == {"Scattering.", "Magic."}
    one = prompt["responses"][0]
    assert admin.get(f"projects/{project.slug}/responses/{one['id']}") == (200, one)


def test_one_bad_prompt_keeps_all_out_and_all_bad_ones_are_told(admin: Program, project: Project) -> None:
    bad = {"messages": [{"role": "assistant", "content": "Hello."}]}
    status, problem = admin.post(f"projects/{project.slug}/prompts", {"prompts": [SKY, bad, SKY, bad]})
    assert status == 422
    assert [error["path"] for error in problem["errors"]] == ["body.prompts[1].messages", "body.prompts[3].messages"]
    assert "end with the user" in problem["errors"][0]["detail"]
    assert not Prompt.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("{", 400, "not JSON"),
        ('{"prompts": NaN}', 400, "NaN"),
        ('{"prompts": [{"metadata": {"a": 1e999}}]}', 400, "too large"),
        ('{"prompts": [{"metadata": {"a": "\\u0000"}}]}', 400, "NUL"),
        ('{"prompts": [{"metadata": {"\\ud800": 1}}]}', 400, "half a character"),
        ("[" * 100_000, 400, "not JSON"),
        ('{"prompts": ' + "[" * 200 + "]" * 200 + "}", 400, "100 deep"),
        ('{"prompts": [{"metadata": {"a": 9223372036854775808}}]}', 400, "too large"),
        ("[]", 422, "errors"),
        ("", 422, "errors"),
        ({"prompts": []}, 422, "errors"),
        ({"prompts": [{"messages": "text"}]}, 422, "errors"),
        ({"prompts": [{"messages": [{"role": "robot", "content": "x"}]}]}, 422, "errors"),
        ({"prompts": prompts(*map(str, range(501)))}, 422, "errors"),
        ({"prompts": [SKY | {"responses": [{"text": "x", "source": " "}]}]}, 422, "errors"),
    ],
    ids=str,
)
def test_bad_bodies_get_a_sentence(admin: Program, project: Project, body: Any, status: int, told: str) -> None:
    got, problem = admin.post(f"projects/{project.slug}/prompts", body)
    assert got == status
    assert told in problem["detail"]
    assert not Prompt.objects.exists()


def test_six_characters_that_spell_a_nul_are_text(admin: Program, project: Project) -> None:
    assert admin.post(f"projects/{project.slug}/prompts", {"prompts": prompts("\\u0000")})[0] == 200


def test_a_body_that_is_too_large(admin: Program, project: Project, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20
    status, problem = admin.post(f"projects/{project.slug}/prompts", {"prompts": prompts("x" * 2**20)})
    assert status == 413
    assert "1 MB" in problem["detail"]


def test_answers_to_a_prompt(admin: Program, project: Project) -> None:
    (added,) = admin.post(f"projects/{project.slug}/prompts", {"prompts": prompts("Sky?")})[1]
    path = f"projects/{project.slug}/prompts/{added['id']}/responses"
    body = {"responses": [{"text": "Blue.", "source": "v1"}, {"text": "Green.", "source": "v1"}]}
    assert [answer["is_new"] for answer in admin.post(path, body)[1]] == [True, True]
    assert [answer["is_new"] for answer in admin.post(path, body)[1]] == [False, False]
    assert admin.post(f"projects/{project.slug}/prompts/{2**62}/responses", body)[0] == 404
    assert admin.post(f"projects/{project.slug}/prompts/{2**70}/responses", body)[0] == 422


def test_pages_stay_right_while_rows_are_added(admin: Program, project: Project) -> None:
    path = f"projects/{project.slug}/prompts"
    admin.post(path, {"prompts": prompts("a", "b", "c")})
    first = admin.get(path, limit=2)[1]
    assert ([prompt["messages"][0]["content"] for prompt in first["items"]], first["has_more"]) == (["a", "b"], True)
    admin.post(path, {"prompts": prompts("d")})
    second = admin.get(path, limit=2, cursor=first["next_cursor"])[1]
    assert ([prompt["messages"][0]["content"] for prompt in second["items"]], second["has_more"]) == (["c", "d"], False)
    third = admin.get(path, cursor=second["next_cursor"])[1]
    assert third == {"items": [], "next_cursor": second["next_cursor"], "has_more": False}
    admin.post(path, {"prompts": prompts("e")})
    assert len(admin.get(path, cursor=third["next_cursor"])[1]["items"]) == 1


@pytest.mark.parametrize("cursor", ["x", "aWQ6LTE", "aWQ6eA", "é", "aWQ6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ"])
def test_a_cursor_of_ones_own_is_refused(admin: Program, project: Project, cursor: str) -> None:
    status, problem = admin.get(f"projects/{project.slug}/prompts", cursor=cursor)
    assert status == 422
    assert problem["errors"][0]["path"] == "query.cursor"


def test_filters(admin: Program, project: Project) -> None:
    admin.post(f"projects/{project.slug}/prompts", {"prompts": [SKY, *prompts("Sea?")]})
    assert len(admin.get(f"projects/{project.slug}/prompts", external_id="sky-1")[1]["items"]) == 1
    assert admin.get(f"projects/{project.slug}/prompts", created_since="2999-01-01T00:00:00Z")[1]["items"] == []
    assert admin.get(f"projects/{project.slug}/prompts", created_since="2999-01-01T00:00:00")[0] == 422
    assert admin.get(f"projects/{project.slug}/prompts", created_since="0.5")[0] == 422
    assert [found["text"] for found in admin.get(f"projects/{project.slug}/responses", source="v2")[1]["items"]] == [
        "Magic."
    ]
    prompt = Prompt.objects.get(external_id="")
    assert admin.get(f"projects/{project.slug}/responses", prompt=prompt.pk)[1]["items"] == []
    assert admin.get(f"projects/{project.slug}/responses", source="\0")[0] == 422


def test_an_address_that_does_not_exist_is_a_problem_too(admin: Program, project: Project) -> None:
    assert admin.get("nonsense")[0] == 404
    assert admin.get("projects/%00")[0] == 404
    assert admin.get(f"projects/{'x' * 5000}")[0] == 404


def test_lists_cost_few_queries(admin: Program, project: Project, django_assert_max_num_queries: Any) -> None:
    admin.post(f"projects/{project.slug}/prompts", {"prompts": [SKY, *prompts(*map(str, range(100)))]})
    for path in ("prompts", "responses", "tasks"):
        with django_assert_max_num_queries(6):
            assert admin.get(f"projects/{project.slug}/{path}")[0] == 200
