"""Lines of public data sets and of other tools, as they write them, become what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annotation import actions, export
from annotation.intake import ImportReport, Options, import_lines, import_records
from annotation.intake.records import records_of_lines
from annotation.models import Candidate, Judgment, Project, Prompt, Response

USER = {"role": "user", "content": "Sky?"}
BLUE, GREEN = ({"role": "assistant", "content": text} for text in ("Blue.", "Green."))


def take(project: Project, *rows: object, **options: Any) -> ImportReport:
    return import_lines(project, [json.dumps(row) for row in rows], source="a file", **options)


def said(project: Project) -> list[tuple[str, str | None, int | None, bool, str]]:
    """(prompt, the better text, strength, both bad, who) of every judgment, oldest first."""
    found = Judgment.objects.in_project(project).select_related("preferred", "task__prompt", "annotator").order_by("pk")
    return [
        (str(one.task.prompt), one.preferred and one.preferred.text, one.strength, one.both_bad, one.annotator.username)
        for one in found
    ]


class TestUnpaired:
    @pytest.mark.parametrize("prompt", ["Sky?", [USER]])
    def test_a_label_is_a_rating_of_two_steps(self, project: Project, prompt: object) -> None:
        actions.add_criterion(project, key="desirable", name="Desirable", scale_max=2)
        report = take(
            project,
            {"prompt": prompt, "completion": "Blue.", "label": True},
            {"prompt": prompt, "completion": [GREEN], "label": False, "annotator": "ann", "model": "v1"},
        )
        assert (report.errors, report.num_judgments, report.num_prompts) == ([], 2, 1)
        values = {rating.response.text: rating.value for one in Judgment.objects.all() for rating in one.ratings.all()}
        assert values == {"Blue.": 2, "Green.": 1}
        assert set(Response.objects.values_list("source", flat=True)) == {"a file", "v1"}
        (pair,) = export.preferences(project)
        assert (pair.text_a if pair.target > 0.5 else pair.text_b) == "Blue."

    def test_what_it_needs_is_said(self, project: Project) -> None:
        row = {"prompt": "Sky?", "completion": "Blue.", "label": True}
        (error,) = take(project, row).errors
        assert "no criterion “desirable”" in error.sentence
        actions.add_criterion(project, key="desirable", name="Desirable", scale_max=5)
        (error,) = take(project, row).errors
        assert "5 steps in the project and 2 in the file" in error.sentence
        (error,) = take(project, {**row, "label": "yes"}).errors
        assert "“label” must be true or false" in error.sentence


class TestRatingsByAspect:
    ROW = {
        "source": "evol_instruct", "instruction": "Sky?", "models": ["m1", "m2"],
        "completions": [
            {"model": "m1", "response": "Blue.", "critique": "Right.", "overall_score": 9.0, "fine-grained_score": 4.5,
             "annotations": {"helpfulness": {"Type": ["1"], "Rating": "5", "Rationale": "…"},
                             "instruction_following": {"Rating": "4", "Rationale": "…"},
                             "honesty": {"Rating": "N/A"}}},
            {"model": "m2", "response": "Green.", "annotations": {"helpfulness": [{"Rating": "1"}], "honesty": 2}},
            {"model": "m3", "response": "No idea.", "annotations": {}},
        ],
    }  # fmt: skip

    def test_every_completion_is_rated(self, project: Project) -> None:
        for key in ("helpfulness", "instruction_following", "honesty"):
            actions.add_criterion(project, key=key, name=key, scale_max=5)
        report = take(project, self.ROW)
        assert (report.errors, report.num_judgments, report.num_responses) == ([], 2, 3)
        given = {
            (one.task.response_a.source, rating.criterion.key): rating.value
            for one in Judgment.objects.all()
            for rating in one.ratings.all()
        }
        assert given == {
            ("m1", "helpfulness"): 5, ("m1", "instruction_following"): 4,
            ("m2", "helpfulness"): 1, ("m2", "honesty"): 2,
        }  # fmt: skip
        assert Judgment.objects.get(task__response_a__source="m1").rationale == "Right."
        assert Prompt.objects.get().metadata == {"source": "evol_instruct"}

    @pytest.mark.parametrize(
        ("completions", "sentence"),
        [
            ([], "“completions” must be a list"),
            ([{"model": "m"}], "Completion 1 has no “response”"),
            ([{"response": "x", "annotations": {"helpfulness": {"Rating": "good"}}}], "must be a whole number"),
            ([{"response": "x", "annotations": [1]}], "must be an object by aspect"),
        ],
    )
    def test_bad_lines(self, project: Project, completions: object, sentence: str) -> None:
        (error,) = take(project, {"instruction": "Sky?", "completions": completions}).errors
        assert sentence in error.sentence


class TestBattles:
    ROW = {
        "question_id": "q1", "model_a": "m1", "model_b": "m2", "judge": "arena_user_1", "turn": 1, "anony": True,
        "language": "English", "tstamp": 1682351591.1, "winner": "model_b",
        "conversation_a": [USER, GREEN], "conversation_b": [USER, BLUE],
    }  # fmt: skip

    def test_winners(self, project: Project) -> None:
        winners = ["model_a", "model_b", "tie", "tie (bothbad)"]
        report = take(project, *({**self.ROW, "winner": name, "judge": name} for name in winners))
        assert report.errors == []
        assert [row[1:4] for row in said(project)] == [
            ("Green.", 2, False), ("Blue.", 2, False), (None, 0, False), (None, 0, True),
        ]  # fmt: skip
        assert set(Response.objects.values_list("text", "source")) == {("Green.", "m1"), ("Blue.", "m2")}
        prompt = Prompt.objects.get()
        assert (prompt.external_id, prompt.metadata["language"]) == ("q1", "English")

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"winner": "both"}, "“winner” must be one of"),
            ({"conversation_b": [USER]}, "must be a conversation"),
            ({"conversation_a": [USER, GREEN, USER, GREEN], "conversation_b": [USER, BLUE, USER, BLUE]}, "part before"),
            ({"conversation_a": [USER, USER], "conversation_b": [USER, USER]}, "must end with an answer"),
            ({"conversation_a": [USER, BLUE]}, "The two answers are the same"),
        ],
    )
    def test_bad_lines(self, project: Project, change: dict[str, object], sentence: str) -> None:
        (error,) = take(project, {**self.ROW, **change}).errors
        assert sentence in error.sentence


def node(text: str, *replies: dict[str, Any], role: str = "assistant", **more: Any) -> dict[str, Any]:
    message = {"message_id": f"id of {text}", "text": text, "role": role, "lang": "en", "deleted": False}
    return {**message, "review_result": True, "synthetic": False, "rank": None, **more, "replies": list(replies)}


class TestTrees:
    def test_every_ranked_turn(self, project: Project) -> None:
        follow_up = node(
            "Sure?", node("Yes.", rank=1), node("Very.", rank=0), node("gone", deleted=True), role="prompter"
        )
        root = node(
            "Sky?", node("Grey.", rank=2), node("Blue.", follow_up, rank=0), node("Green.", rank=1), node("?"),
            role="prompter",
        )  # fmt: skip
        report = take(project, {"message_tree_id": "t1", "tree_state": "ready_for_export", "prompt": root})
        assert (report.errors, report.num_prompts, report.num_judgments) == ([], 2, 2)
        first, second = Judgment.objects.order_by("task__kind")
        assert (str(first.task.prompt), first.preferred and first.preferred.text) == ("Sure?", "Very.")
        assert [turn["content"] for turn in first.task.prompt.messages] == ["Sky?", "Blue.", "Sure?"]
        ranks = {rank.response.text: rank.rank for rank in second.ranks.all()}
        assert ranks == {"Blue.": 1, "Green.": 2, "Grey.": 3}
        assert Response.objects.filter(prompt=second.task.prompt).count() == 4
        assert Prompt.objects.get(external_id="id of Sky?").metadata == {"tree": "t1", "lang": "en"}

    def test_more_than_a_ranking_holds_are_compared_in_pairs(self, project: Project) -> None:
        root = node("Sky?", *(node(f"{rank}.", rank=rank) for rank in range(7)), role="prompter")
        assert take(project, {"message_tree_id": "t1", "prompt": root}).num_judgments == 21
        assert Candidate.objects.count() == 0

    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            ({"message_tree_id": "t", "text": "x"}, "the file of trees"),
            ({"message_tree_id": "t", "prompt": {"role": "prompter", "text": "x", "replies": 3}}, "must be a list"),
            ({"message_tree_id": "t", "prompt": {"role": "prompter", "text": "x"}}, "Nothing in the tree"),
            ({"message_tree_id": "t", "prompt": {"replies": [{"role": "assistant"}]}}, "has no “text”"),
        ],
    )
    def test_bad_lines(self, project: Project, row: object, sentence: str) -> None:
        (error,) = take(project, row).errors
        assert sentence in error.sentence

    def test_a_tree_deeper_than_any_talk(self, project: Project) -> None:
        opened = '{"role": "prompter", "text": "and?", "replies": [{"role": "assistant", "text": "so", "replies": ['
        for depth, is_fine in ((200, True), (600, False)):
            end = '{"role": "prompter", "text": "?", "replies": [{"role": "assistant", "text": "end"}]}'
            line = '{"message_tree_id": "t", "prompt": ' + opened * depth + end + "]}]}" * depth + "}"
            errors = import_lines(project, [line], source="a file").errors
            assert [error.sentence[:20] for error in errors] == ([] if is_fine else ["The line is not JSON"])


class TestLabelStudio:
    ROW = {
        "id": 7, "data": {"prompt": "Sky?", "text1": "Green.", "text2": "Blue.", "lang": "en"},
        "annotations": [
            {"id": 1, "completed_by": {"id": 3, "email": "ann@example.org"}, "was_cancelled": False, "lead_time": 4.5,
             "created_at": "2026-05-01T09:30:00.123456Z",
             "result": [
                 {"id": "x", "from_name": "pw", "to_name": "pw", "type": "pairwise", "value": {"selected": "right"}},
                 {"from_name": "why", "to_name": "text1", "type": "textarea", "value": {"text": ["It is."]}}]},
            {"id": 2, "completed_by": 5, "result": [{"type": "pairwise", "value": {"selected": "left"}}]},
            {"id": 3, "completed_by": 6, "was_cancelled": True, "result": []},
            {"id": 4, "completed_by": 8, "result": [{"type": "choices", "value": {"choices": ["Both bad"]}}]},
        ],
        "predictions": [], "created_at": "2026-05-01T09:00:00Z", "project": 1,
    }  # fmt: skip

    def test_every_annotation_is_a_judgment(self, project: Project) -> None:
        report = take(project, self.ROW)
        assert report.errors == []
        assert said(project) == [
            ("Sky?", "Blue.", 2, False, "ann@example.org"),
            ("Sky?", "Green.", 2, False, "ls-5"),
            ("Sky?", None, 0, True, "ls-8"),
        ]
        first = Judgment.objects.order_by("pk").first()
        assert (first.rationale, first.active_seconds) == ("It is.", 4.5)
        assert first.created_at.isoformat() == "2026-05-01T09:30:00.123456+00:00"
        assert first.assignment.left.text == "Green."
        prompt = Prompt.objects.get()
        assert (prompt.external_id, prompt.metadata) == ("7", {"lang": "en"})

    def test_a_task_nobody_annotated(self, project: Project) -> None:
        report = take(project, {**self.ROW, "annotations": []}, create_tasks="comparison")
        assert (report.errors, report.num_tasks, report.num_judgments) == ([], 1, 0)

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"data": []}, "“data” must be an object"),
            ({"data": {"prompt": "x", "one": "a"}}, "“data” holds no pair"),
            ({"data": {"text1": "a", "text2": "b"}}, "The prompt is missing"),
            ({"data": {"prompt": "x", "text1": "a", "text2": "a"}}, "The two answers are the same"),
            ({"annotations": [3]}, "“annotations” must be a list"),
        ],
    )
    def test_bad_tasks(self, project: Project, change: dict[str, object], sentence: str) -> None:
        (error,) = take(project, {**self.ROW, **change}).errors
        assert sentence in error.sentence


class TestArgilla:
    def record(self, **responses: Any) -> dict[str, Any]:
        fields = {"prompt": "Sky?", "response_1": "Green.", "response_2": "Blue."}
        return {"id": "r1", "fields": fields, "metadata": {"lang": "en", "response_1_model": "m1"},
                "suggestions": {}, "responses": responses, "vectors": {}, "_server_id": "s1"}  # fmt: skip

    def test_a_label_names_the_better(self, project: Project) -> None:
        answers = [("response_2", "u1"), ("tie", "u2"), ("both bad", "u3")]
        given = [{"value": value, "user_id": user} for value, user in answers]
        record = self.record(preference=given, rationale=[{"value": "It is.", "user_id": "u1"}])
        assert take(project, record).errors == []
        assert said(project) == [
            ("Sky?", "Blue.", 2, False, "u1"), ("Sky?", None, 0, False, "u2"), ("Sky?", None, 0, True, "u3"),
        ]  # fmt: skip
        assert Judgment.objects.get(annotator__username="u1").rationale == "It is."
        assert Response.objects.get(text="Green.").source == "m1"
        assert Prompt.objects.get().metadata == {"lang": "en"}

    @pytest.mark.parametrize(
        "value",
        [
            ["response_2", "response_1"],
            [{"value": "response_1", "rank": 2}, {"value": "response_2", "rank": 1}],
        ],
    )
    def test_an_order_of_two(self, project: Project, value: object) -> None:
        assert take(project, self.record(ranking=[{"value": value, "user_id": "u1"}])).errors == []
        assert said(project) == [("Sky?", "Blue.", 2, False, "u1")]

    def test_a_ranking_and_a_draft(self, project: Project) -> None:
        order = ["response_2", "response_3", "response_1"]
        record = self.record(ranking=[{"value": order, "user_id": "u1"}, {"value": order, "status": "draft"}])
        record["fields"]["response_3"] = "Grey."
        assert take(project, record).errors == []
        ranks = {rank.response.text: rank.rank for rank in Judgment.objects.get().ranks.all()}
        assert ranks == {"Blue.": 1, "Grey.": 2, "Green.": 3}

    def test_ratings_of_one_response(self, project: Project) -> None:
        actions.add_criterion(project, key="helpful", name="Helpful")
        record = self.record(helpful=[{"value": 4, "user_id": "u1"}])
        record["fields"] = {"instruction": "Sky?", "response": "Blue."}
        assert take(project, record).errors == []
        assert Judgment.objects.get().ratings.get().value == 4

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"fields": {"response_1": "x"}}, "The prompt is missing"),
            ({"responses": {"q": 3}}, "“q” must be a list"),
            ({"responses": [1]}, "must be an object"),
        ],
    )
    def test_bad_records(self, project: Project, change: dict[str, object], sentence: str) -> None:
        (error,) = take(project, {**self.record(), **change}).errors
        assert sentence in error.sentence


def test_columns_are_named_by_a_mapping(project: Project) -> None:
    rows = [{"q": "Sky?", "good": "Blue.", "bad": "Green.", "who wrote": "m1"}]
    mapping = {"prompt": "q", "chosen": "good", "rejected": "bad", "chosen_source": "who wrote"}
    lines = records_of_lines(map(json.dumps, rows))
    assert import_records(project, lines, Options(source="a file", mapping=mapping)).errors == []
    assert said(project) == [("Sky?", "Blue.", 2, False, "import-a-file")]
    assert Response.objects.get(text="Blue.").source == "m1"


@pytest.mark.parametrize("format", ["kto", "ultrafeedback", "arena", "open_assistant", "label_studio", "argilla"])
@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [1], {"a": 1}, True, "\u2028"])
def test_wrong_types_get_a_sentence(project: Project, format: str, value: object) -> None:
    keys = ["prompt", "completion", "label", "completions", "conversation_a", "conversation_b", "winner", "model_a"]
    keys += ["message_tree_id", "data", "annotations", "fields", "responses", "metadata", "id", "question_id", "judge"]
    report = take(project, dict.fromkeys(keys, value), {"prompt": "x", "completion": value, "label": True},
                  {"prompt": "x", "completions": [value]}, {"fields": {"prompt": "x", "response_1": value}},
                  {"data": {"prompt": "x", "text1": value, "text2": "y"}, "annotations": [{"result": value}]},
                  {"data": {"prompt": "x", "text1": "x", "text2": "y"}, "annotations": [{"result": [value]}]},
                  {"prompt": {"text": "x", "replies": [value]}, "message_tree_id": "t"}, format=format)  # fmt: skip
    assert all(error.sentence for error in report.errors)
