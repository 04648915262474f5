"""Ratings by aspect and message trees leave in the form in which they are published, and come back as they were."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from annotation import actions, export
from annotation.intake import import_lines
from annotation.models import Judgment, Project
from tests.annotation.test_round_trip_files import ASSISTANT, SYSTEM, USER, moved, turn

pytestmark = pytest.mark.django_db


@pytest.fixture
def elsewhere(project: Project) -> Project:
    return actions.create_project("Elsewhere", by=None)


def take(project: Project, *rows: dict[str, Any]) -> None:
    assert import_lines(project, map(json.dumps, rows), source="x").errors == []


def made_of(project: Project, format: Any) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(line)) for line in export.lines(project, format=format)]


# --- ratings by aspect --------------------------------------------------------------------------------------------


def ratings_of(project: Project) -> Counter[tuple[object, ...]]:
    votes = Judgment.objects.votes().in_project(project).filter(task__kind="rating")
    names = ("task__prompt__external_id", "task__response_a__text", "task__response_a__source", "annotator__username")
    return Counter(votes.values_list(*names, "rationale", "ratings__criterion__key", "ratings__value"))


@pytest.fixture
def rated(project: Project, elsewhere: Project) -> Project:
    for one in (project, elsewhere):
        actions.add_criterion(one, key="helpfulness", name="Helpful")
        actions.add_criterion(one, key="safe", name="Safe", scale_max=3)
    long = [turn(SYSTEM, "Be brief."), turn(USER, "Hi"), turn(ASSISTANT, "Hello."), turn(USER, " Sky? ")]
    for person in ("ann", "=ben"):
        for number, text in enumerate(["Blue.", "Green.\n"]):
            said = {"prompt_id": "p1", "prompt": long, "annotator": person, "rationale": f"{person} {number}"}
            ratings = {"helpfulness": 5 - number, **({"safe": 3} if person == "ann" else {})}
            take(project, {**said, "response_a": {"text": text, "source": f"v{number}"}, "ratings": ratings})
    take(project, {"prompt": "Which?", "response_a": "x", "response_b": "y", "preferred": "a", "strength": 1,
                   "annotator": "ann"})  # fmt: skip
    return project


def test_ratings_by_aspect(rated: Project, elsewhere: Project, tmp_path: Path) -> None:
    assert moved(rated, elsewhere, tmp_path / "x", format="ultrafeedback", file_type="jsonl").errors == []
    assert ratings_of(elsewhere) == ratings_of(rated) != Counter()
    assert not any(prompt.metadata for prompt in elsewhere.prompts.all())


def test_a_line_is_what_the_data_set_has(rated: Project) -> None:
    first, second = made_of(rated, "ultrafeedback")
    assert {first["annotator"], second["annotator"]} == {"ann", "=ben"}
    anns = first if first["annotator"] == "ann" else second
    assert sorted(anns["models"]) == ["v0", "v1"] and anns["scales"] == {"safe": 3}
    assert "scales" not in (second if anns is first else first)
    best = next(one for one in anns["completions"] if one["model"] == "v0")
    assert best == {"model": "v0", "response": "Blue.", "critique": "ann 0",
                    "annotations": {"helpfulness": {"Rating": "5"}, "safe": {"Rating": "3"}}}  # fmt: skip


@pytest.mark.parametrize("scales", [{"safe": 7}, {"safe": "3"}, [3]])
def test_another_scale_is_refused(rated: Project, elsewhere: Project, scales: Any) -> None:
    line = {"prompt": "Sky?", "completions": [{"response": "x", "annotations": {"safe": 2}}], "scales": scales}
    (error,) = import_lines(elsewhere, [json.dumps(line)], source="x").errors
    assert "steps" in error.sentence
    assert not elsewhere.tasks.exists()


# --- message trees ------------------------------------------------------------------------------------------------


def shape(node: dict[str, Any]) -> tuple[Any, ...]:
    """A node without what an import gives anew."""
    replies = sorted((shape(reply) for reply in node["replies"]), key=repr)
    return node["role"], node["text"], node.get("rank"), replies


def shapes(trees: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(tree.get("system"), shape(tree["prompt"])) for tree in trees]


def node(text: str, *replies: dict[str, Any], rank: int | None = None, **more: Any) -> dict[str, Any]:
    return {"text": text, "replies": list(replies), "rank": rank, **more}


def as_role(tree: dict[str, Any], role: str = "prompter") -> dict[str, Any]:
    other = {"prompter": "assistant", "assistant": "prompter"}[role]
    return {**tree, "role": role, "replies": [as_role(reply, other) for reply in tree["replies"]]}


def test_trees_that_came_in_leave_as_they_were(project: Project, elsewhere: Project, tmp_path: Path) -> None:
    root = node(
        "Sky?",
        node("Blue.", node("Why?", node("Light.", rank=0), node("Paint.", rank=1), message_id="m2", lang="en"), rank=0),
        node("Red.", rank=2), node("Grey.", rank=1), node("Unjudged."),
        message_id="m1", lang="en",
    )  # fmt: skip
    many = node("Count.", *(node(str(number), rank=number) for number in range(8)), message_id="m3")
    trees = [{"message_tree_id": f"t{number}", "prompt": as_role(one)} for number, one in enumerate((root, many))]
    take(project, *trees)
    out = made_of(project, "open_assistant")
    assert sorted(shapes(out), key=repr) == sorted(shapes(trees), key=repr)
    assert {tree["message_tree_id"] for tree in out} == {"t0", "t1"}
    sky = next(tree["prompt"] for tree in out if tree["message_tree_id"] == "t0")
    assert (sky["message_id"], sky["lang"], sky["parent_id"]) == ("m1", "en", None)
    blue = next(reply for reply in sky["replies"] if reply["text"] == "Blue.")
    assert blue["parent_id"] == "m1" and blue["model_name"] == "x"
    assert blue["replies"][0]["message_id"] == "m2"
    assert moved(project, elsewhere, tmp_path / "x", format="open_assistant", file_type="jsonl").errors == []
    assert shapes(made_of(elsewhere, "open_assistant")) == shapes(out)


def test_trees_of_what_was_judged_here(project: Project, elsewhere: Project, tmp_path: Path) -> None:
    pair = {"prompt": [turn(SYSTEM, "Be brief."), turn(USER, "Hi"), turn(ASSISTANT, "Hello."), turn(USER, "Sky?")],
            "response_a": "Blue.", "response_b": "", "preferred": "a", "strength": 1}  # fmt: skip
    tie = {"prompt": "Sea?", "response_a": "x", "response_b": "y", "preferred": None, "strength": 0, "annotator": "ann"}
    most = [{**pair, "annotator": name, "preferred": said} for name, said in (("ann", "a"), ("ben", "b"), ("cat", "a"))]
    begun_by_the_assistant = {"prompt": [turn(ASSISTANT, "Yes?"), turn(USER, "No.")], "responses": ["x"]}
    take(project, tie, *most, begun_by_the_assistant)
    out = made_of(project, "open_assistant")
    by_system = {tree.get("system"): tree["prompt"] for tree in out}
    assert len(out) == 2 and by_system.keys() == {None, "Be brief."}
    assert [(reply["text"], reply["rank"]) for reply in by_system[None]["replies"]] == [("x", 0), ("y", 0)]
    (hello,) = by_system["Be brief."]["replies"]
    assert {(reply["text"], reply["rank"]) for reply in hello["replies"][0]["replies"]} == {("Blue.", 0), ("", 1)}
    assert moved(project, elsewhere, tmp_path / "x", format="open_assistant", file_type="jsonl").errors == []
    assert shapes(made_of(elsewhere, "open_assistant")) == shapes(out)
