"""Another front end: it takes tasks, judges and skips them, and learns nothing that the page would not tell."""

import json
import uuid
from typing import Any

import pytest

from annotation import actions
from annotation.models import Assignment, Candidate, Judgment, Project, Response, User
from tests.annotation.api.conftest import Program, Programs
from tests.annotation.conftest import make_tasks


@pytest.fixture
def front_end(alice: User, program: Programs) -> Program:
    return program(alice, "annotate")


def key() -> str:
    return str(uuid.uuid4())


def test_a_task_is_taken_and_judged(front_end: Program, project: Project) -> None:
    make_tasks(project, 1)
    status, lent = front_end.post(f"projects/{project.slug}/claim")
    assert status == 200
    assert lent["kind"] == "comparison"
    assert lent["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert front_end.post(f"projects/{project.slug}/claim") == (200, lent), "asking again gives the same"
    assert front_end.get(f"assignments/{lent['id']}") == (200, lent)

    body = {"submission_key": key(), "strength": 3, "rationale": "Better.", "active_seconds": 4.5, "flags": ["unsafe"]}
    status, judged = front_end.post(f"assignments/{lent['id']}/judge", body)
    assert (status, judged["is_new"], judged["is_current"], judged["notice"]) == (200, True, True, "")
    kept = Judgment.objects.get(pk=judged["judgment"])
    assert kept.preferred is not None
    assert kept.preferred.text == lent["responses"][1], "the second answer as shown, whichever that was"
    assert (kept.strength, kept.rationale, kept.flags, kept.active_seconds) == (3, "Better.", ["unsafe"], 4.5)
    assert front_end.post(f"assignments/{lent['id']}/judge", body)[1] == {**judged, "is_new": False}
    assert front_end.post(f"projects/{project.slug}/claim") == (204, None)


def test_a_claim_tells_nothing_more_than_the_page(front_end: Program, project: Project) -> None:
    make_tasks(project, 1)
    lent = front_end.post(f"projects/{project.slug}/claim")[1]
    assert lent.keys() == {"id", "kind", "prompt", "responses", "leased_at", "expires_at"}
    told = json.dumps(lent)
    assert not [row for row in Response.objects.all() if f'"{row.source}"' in told]
    assert all(isinstance(text, str) for text in lent["responses"])


def test_the_next_one_beside_the_one_in_hand(front_end: Program, project: Project) -> None:
    make_tasks(project, 2)
    first = front_end.post(f"projects/{project.slug}/claim")[1]
    second = front_end.post(f"projects/{project.slug}/claim", {"beside": [first["id"]]})[1]
    assert second["id"] != first["id"]


def test_a_rating(front_end: Program, project: Project) -> None:
    actions.add_criterion(project, key="safe", name="Safe")
    make_tasks(project, 1, kind="rating")
    lent = front_end.post(f"projects/{project.slug}/claim")[1]
    path = f"assignments/{lent['id']}/judge"
    status, problem = front_end.post(path, {"submission_key": key(), "ratings": {"kind": 3}})
    assert (status, problem["errors"][0]["path"]) == (422, "body.ratings.kind")
    status, problem = front_end.post(path, {"submission_key": key(), "ratings": {"safe": 9}})
    assert (status, problem["detail"]) == (422, "“Safe” goes from 1 to 5.")
    assert front_end.post(path, {"submission_key": key(), "ratings": {"safe": 4}})[0] == 200
    assert Judgment.objects.get().ratings.get().value == 4


def test_a_ranking_is_of_the_answers_as_shown(front_end: Program, project: Project) -> None:
    prompt = project.prompts.create(messages=[{"role": "user", "content": "Sky?"}], content_hash="sky")
    answers = [
        Response.objects.create(prompt=prompt, text=text, source="v1", content_hash=text) for text in ("a", "b", "c")
    ]
    task = project.tasks.create(
        prompt=prompt, kind="ranking", response_a=answers[0], candidate_ids=[a.pk for a in answers]
    )
    Candidate.objects.bulk_create(Candidate(task=task, response=answer) for answer in answers)
    lent = front_end.post(f"projects/{project.slug}/claim")[1]
    assert sorted(lent["responses"]) == ["a", "b", "c"]
    path = f"assignments/{lent['id']}/judge"
    status, problem = front_end.post(path, {"submission_key": key(), "ranks": [1, 2]})
    assert (status, problem["errors"][0]["path"]) == (422, "body.ranks")
    assert front_end.post(path, {"submission_key": key(), "ranks": [2, 1, 2]})[0] == 200
    kept = {rank.response.text: rank.rank for rank in Judgment.objects.get().ranks.select_related("response")}
    assert kept == dict(zip(lent["responses"], [2, 1, 2], strict=True))


def test_a_correction_is_of_the_answer_at_its_place(front_end: Program, project: Project) -> None:
    make_tasks(project, 1)
    lent = front_end.post(f"projects/{project.slug}/claim")[1]
    path = f"assignments/{lent['id']}/judge"
    wrong = {"submission_key": key(), "strength": 0, "corrections": [{"place": 2, "text": "Mended."}]}
    status, problem = front_end.post(path, wrong)
    assert (status, problem["errors"][0]["path"]) == (422, "body.corrections[0].place")
    right = {"submission_key": key(), "strength": 0, "corrections": [{"place": 1, "text": "Mended."}]}
    assert front_end.post(path, right)[0] == 200
    corrected = Judgment.objects.get().corrections.get().parent
    assert corrected is not None
    assert corrected.text == lent["responses"][1]


KEY = "11111111-1111-4111-8111-111111111111"
"""The same in every process that collects these tests: their names hold it."""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"submission_key": "1", "strength": 1},
        {"submission_key": KEY},
        {"submission_key": KEY, "strength": 4},
        {"submission_key": KEY, "strength": 1, "both_bad": True},
        {"submission_key": KEY, "strength": 1, "ratings": {"x": 1}},
        {"submission_key": KEY, "strength": 1, "flags": ["dull"]},
        {"submission_key": KEY, "strength": 1, "active_seconds": -1},
        {"submission_key": KEY, "strength": 1, "active_seconds": False},
        {"submission_key": KEY, "strength": True},
        {"submission_key": KEY, "strength": 1, "both": "bad"},
    ],
    ids=str,
)
def test_what_will_not_do_is_told_and_nothing_is_kept(front_end: Program, project: Project, body: Any) -> None:
    make_tasks(project, 1)
    lent = front_end.post(f"projects/{project.slug}/claim")[1]
    assert front_end.post(f"assignments/{lent['id']}/judge", body)[0] == 422
    assert not Judgment.objects.exists()


def test_a_judgment_is_revised(front_end: Program, project: Project) -> None:
    project.reason_chips = ["shorter"]
    project.save()
    make_tasks(project, 1)
    lent = front_end.post(f"projects/{project.slug}/claim")[1]
    path = f"assignments/{lent['id']}"
    said = {"submission_key": key(), "strength": -1, "reasons": ["shorter"]}
    assert front_end.post(f"{path}/revise", said)[0] == 422, "there is nothing to revise yet"
    first = front_end.post(f"{path}/judge", said)[1]
    assert front_end.post(f"{path}/judge", said | {"submission_key": key(), "reasons": ["longer"]})[0] == 200
    said = {"submission_key": key(), "strength": 2}
    status, second = front_end.post(f"{path}/revise", said)
    assert (status, second["is_new"], second["is_current"]) == (200, True, True)
    assert front_end.post(f"{path}/revise", said)[1] == {**second, "is_new": False}
    kept = {judgment.pk: (judgment.is_current, judgment.strength) for judgment in Judgment.objects.all()}
    assert kept == {first["judgment"]: (False, 1), second["judgment"]: (True, 2)}


def test_skip_and_undo(front_end: Program, project: Project) -> None:
    make_tasks(project, 2)
    first = front_end.post(f"projects/{project.slug}/claim")[1]
    assert front_end.post(f"assignments/{first['id']}/skip", {"reason": "dull"})[0] == 422
    assert front_end.post(f"assignments/{first['id']}/skip", {"reason": "unclear", "note": "?"}) == (204, None)
    assert Assignment.objects.get(pk=first["id"]).skip_reason == "unclear"
    assert front_end.post(f"projects/{project.slug}/undo") == (204, None)
    second = front_end.post(f"projects/{project.slug}/claim")[1]
    front_end.post(f"assignments/{second['id']}/judge", {"submission_key": key(), "strength": 0})
    status, reopened = front_end.post(f"projects/{project.slug}/undo")
    assert (status, reopened["id"]) == (200, second["id"])


def test_what_others_hold_is_not_there(front_end: Program, project: Project, bob: User, program: Programs) -> None:
    make_tasks(project, 1)
    held = program(bob).post(f"projects/{project.slug}/claim")[1]
    assert front_end.get(f"assignments/{held['id']}")[0] == 404
    body = {"submission_key": key(), "strength": 0}
    assert front_end.post(f"assignments/{held['id']}/judge", body)[0] == 404
