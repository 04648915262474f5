"""Content comes in once; each format is read; a bad line gets a sentence and never loses the good ones."""

import json
from collections import Counter

import pytest
from pytest_django import DjangoAssertNumQueries

from annotation import actions, export, intake, queue
from annotation.intake import NewResponse, import_lines
from annotation.models import Judgment, Project, Prompt, Response, Task, User
from tests.annotation.conftest import make_tasks


def take(project: Project, *rows: object, **options: object) -> intake.ImportReport:
    options = {"source": "a file", **options}
    return import_lines(project, [row if isinstance(row, str | bytes) else json.dumps(row) for row in rows], **options)


def only_error(project: Project, row: object, **options: object) -> str:
    report = take(project, row, **options)
    assert len(report.errors) == 1, report
    assert not project.prompts.exists(), "a bad line leaves nothing behind"
    return report.errors[0].sentence


class TestContent:
    def test_a_prompt_comes_in_once(self, project: Project) -> None:
        first = intake.add_prompt(project, "Where is my parcel?", external_id="p1", metadata={"lang": "en"})
        again = intake.add_prompt(project, [{"role": "user", "content": "Where is my parcel?"}])
        assert again == first
        assert (again.external_id, again.metadata) == ("p1", {"lang": "en"})
        elsewhere = actions.create_project("Elsewhere", by=None)
        assert intake.add_prompt(elsewhere, "Where is my parcel?") != first

    def test_a_sources_same_answer_is_one_row(self, project: Project) -> None:
        prompt = intake.add_prompt(project, "Hello?")
        new = [NewResponse("Hi.", "v1"), NewResponse("Hi.", "v2"), NewResponse("Hi.", "v1"), NewResponse("Ho.", "v1")]
        rows = intake.add_responses(prompt, new)
        assert [(row.text, row.source) for row in rows] == [(one.text, one.source) for one in new]
        assert rows[0] == rows[2]
        assert intake.add_responses(prompt, new) == rows
        assert Response.objects.count() == 3

    def test_many_prompts_in_few_statements(
        self, project: Project, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        answered = [(f"{n}?", [NewResponse(f"yes {n}", "v1"), NewResponse("no", "v1")]) for n in range(40)]
        with django_assert_max_num_queries(9):
            rows = intake.add_answered_prompts(project, answered)
        assert [[row.text for row in of] for of in rows] == [[new.text for new in of] for _, of in answered]
        assert [of[0].prompt.messages[0]["content"] for of in rows] == [prompt for prompt, _ in answered]
        assert intake.add_answered_prompts(project, answered) == rows

    def test_the_lower_id_does_not_tell_which_came_first(self, project: Project) -> None:
        """Of 60 pairs given in one order, neither nearly all nor nearly none keep it (chance of failing: 1e-9)."""
        kept = 0
        for number in range(60):
            prompt = intake.add_prompt(project, f"Question {number}")
            chosen, rejected = intake.add_responses(
                prompt, [NewResponse(f"Yes {number}", "v1"), NewResponse(f"No {number}", "v1")]
            )
            kept += chosen.pk < rejected.pk
        assert 8 < kept < 52

    def test_comparisons(self, project: Project) -> None:
        prompt = intake.add_prompt(project, "Hello?")
        a, b, same = intake.add_responses(
            prompt, [NewResponse("Hi.", "v1"), NewResponse("Ho.", "v1"), NewResponse("Hi.", "v2")]
        )
        (task,) = intake.add_comparisons(project, [(b, a), (a, b), (a, same)], overlap=3, priority=7)
        assert (task.kind, task.overlap, task.priority, task.project) == ("comparison", 3, 7, project)
        assert task.response_a_id < task.response_b_id
        assert intake.add_comparisons(project, [(a, b)]) == []
        with pytest.raises(ValueError, match="raise the overlap"):
            intake.add_comparisons(project, [(b, same)], overlap=0)

    def test_only_answers_to_one_prompt_are_compared(self, project: Project) -> None:
        first, second = make_tasks(project, 2)
        with pytest.raises(ValueError, match="same prompt"):
            intake.add_comparisons(project, [(first.response_a, second.response_a)])

    def test_ratings(self, project: Project) -> None:
        (task,) = make_tasks(project, 1)
        project.overlap = 2
        responses = [task.response_a, task.response_b]
        tasks = intake.add_ratings(project, responses)
        assert [(task.kind, task.response_a, task.overlap) for task in tasks] == [
            ("rating", response, 2) for response in responses
        ]
        assert intake.add_ratings(project, responses) == []


class TestPrompts:
    def test_every_shape(self, project: Project) -> None:
        conversation = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "Where is my parcel?", "name": "ignored"},
        ]
        report = take(
            project,
            {
                "id": 7,
                "prompt": "One?",
                "responses": ["Yes.", {"text": "No.", "model": "v1", "score": 0.5}],
                "lang": "en",
            },
            {"prompt": conversation, "responses": [{"content": "Here.", "source": "v2"}]},
            {"messages": conversation},
            {"instruction": "Translate.", "input": "你好", "metadata": {"app": "chat"}},
        )
        assert report.errors == []
        assert (report.num_lines, report.num_prompts, report.num_responses, report.num_tasks) == (4, 3, 3, 0)
        one, talk, translate = Prompt.objects.order_by("id")
        assert (one.external_id, one.metadata) == ("7", {"lang": "en"})
        assert {(row.text, row.source) for row in one.responses.all()} == {("Yes.", "a file"), ("No.", "v1")}
        assert one.responses.get(source="v1").metadata == {"score": 0.5}
        assert [turn["role"] for turn in talk.messages] == ["system", "user", "assistant", "user"]
        assert talk.messages[-1] == {"role": "user", "content": "Where is my parcel?"}
        assert translate.messages == [{"role": "user", "content": "Translate.\n\n你好"}]
        assert translate.metadata == {"app": "chat"}

    def test_tasks_of_every_pair(self, project: Project) -> None:
        row = {"prompt": "One?", "responses": ["a", "b", "c", {"text": "a", "source": "another with the same words"}]}
        report = take(project, row, create_tasks="comparison", overlap=2, priority=3)
        assert report.num_tasks == 3
        assert set(project.tasks.values_list("overlap", "priority", "kind")) == {(2, 3, "comparison")}
        assert take(project, row, create_tasks="comparison").num_tasks == 0
        assert take(project, row, create_tasks="rating").num_tasks == 3

    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            ({}, "The prompt is missing"),
            ({"prompt": " "}, "“prompt” is empty"),
            ({"prompt": 3}, "must be a text or a list of messages"),
            ({"prompt": []}, "must be a text or a list of messages"),
            ({"messages": [{"role": "user"}]}, "Message 1 of “messages” needs a role"),
            ({"messages": [{"role": "bot", "content": "x"}]}, "Message 1 of “messages” needs a role"),
            ({"messages": [{"role": "assistant", "content": "x"}]}, "must end with the user's turn"),
            ({"instruction": 1}, "“instruction” and “input” must be texts"),
            ({"prompt": "x", "responses": "y"}, "“responses” must be a list"),
            ({"prompt": "x", "responses": [1]}, "Response 1 must be a text"),
            ({"prompt": "x", "responses": ["a", {"model": "v1"}]}, "Response 2 has no “text”"),
            ({"prompt": "x", "responses": [{"text": "a", "source": "s" * 201}]}, "longer than 200"),
            ({"prompt": "x", "id": {}}, "“id” must be a text or a number"),
        ],
    )
    def test_bad_lines(self, project: Project, row: object, sentence: str) -> None:
        assert sentence in only_error(project, row, format="prompts")


class TestLines:
    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            ("{", "not JSON"),
            ("[1, 2]", "not a JSON object"),
            ('"text"', "not a JSON object"),
            ('{"prompt": "x", "score": NaN}', "NaN is no JSON number"),
            ('{"prompt": "a\\u0000b"}', "NUL"),
            ('{"prompt": "a\\ud800b"}', "lone surrogate"),
            (b'{"prompt": "caf\xe9"}', "not UTF-8"),
            ("[" * 100_000, "not JSON"),
            ('{"prompt": "' + "x" * 4_000_000 + '"}', "longer than"),
        ],
    )
    def test_bad_lines(self, project: Project, line: str | bytes, sentence: str) -> None:
        assert sentence in only_error(project, line)

    def test_a_program_that_writes_about_nul_is_fine(self, project: Project) -> None:
        assert take(project, {"prompt": "What is \\u0000 in JSON?"}).errors == []

    def test_a_bad_line_never_loses_the_good_ones(self, project: Project) -> None:
        good = [{"prompt": f"Question {number}?"} for number in range(1200)]
        lines = [json.dumps(row) for row in good]
        lines[700:700] = ["{", "", "  ", '{"no": "prompt"}']
        lines[0] = "\ufeff" + lines[0]
        report = import_lines(project, iter(lines), source="a file")
        assert [(error.line, error.sentence[:11]) for error in report.errors] == [
            (701, "The line is"), (704, "The prompt "),
        ]  # fmt: skip
        assert str(report.errors[0]).startswith("line 701: The line is not JSON")
        assert (report.num_prompts, report.num_lines) == (1200, 1202)

    def test_auto_detects_line_by_line(self, project: Project) -> None:
        report = take(
            project,
            {"prompt": "One?", "responses": ["a", "b"]},
            {"prompt": "Two?", "chosen": "a", "rejected": "b"},
            {"prompt": "3?", "response_a": "a", "response_b": "b", "annotator": "ann", "preferred": "a", "strength": 1},
        )
        assert (report.errors, report.num_prompts, report.num_judgments) == ([], 3, 2)


def said_of(project: Project) -> tuple[str, str, str, int]:
    """(the last turn of the prompt, the better text, the other, the strength) of the only judgment."""
    judgment = Judgment.objects.counted().in_project(project).get()
    task = judgment.task
    other = task.response_b if judgment.preferred_id == task.response_a_id else task.response_a
    return task.prompt.messages[-1]["content"], judgment.preferred.text, other.text, judgment.strength


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


class TestPreferences:
    USER, GOOD, BAD = turn("user", "Sky?"), turn("assistant", "Blue."), turn("assistant", "Green.")

    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."},
            {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
            {"prompt": [USER], "chosen": GOOD, "rejected": BAD},
            {"messages": [USER], "chosen": "Blue.", "rejected": "Green."},
            {"prompt": "Sky?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
            {"chosen": "Sky? Blue.", "rejected": "Sky? Green."},
            {"chosen": "\n\nHuman: Sky?\n\nAssistant: Blue.", "rejected": "\n\nHuman: Sky?\n\nAssistant: Green."},
            {"chosen": "Human: Sky?\n\nAssistant: Blue.", "rejected": "Human: Sky?\n\nAssistant: Green."},
        ],
    )
    def test_every_shape_says_the_same(self, project: Project, row: dict[str, object]) -> None:
        report = take(project, row)
        assert report.errors == []
        assert (report.num_responses, report.num_tasks, report.num_judgments) == (2, 1, 1)
        assert said_of(project) == ("Sky?", "Blue.", "Green.", 2)
        assert Prompt.objects.get().messages == [self.USER]

    def test_a_longer_conversation(self, project: Project) -> None:
        before = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Sky?"
        take(project, {"chosen": f"{before}\n\nAssistant: Blue.", "rejected": f"{before}\n\nAssistant:"})
        assert said_of(project) == ("Sky?", "Blue.", "", 2)
        assert [turn["role"] for turn in Prompt.objects.get().messages] == ["user", "assistant", "user"]

    def test_an_implicit_prompt_is_not_cut_inside_a_word(self, project: Project) -> None:
        """“The sky is bl” is what both begin with; the prompt ends at the word before."""
        take(project, {"chosen": "The sky is blue.", "rejected": "The sky is black."})
        assert said_of(project) == ("The sky is", "blue.", "black.", 2)

    def test_nothing_tells_people_which_was_chosen(self, project: Project, alice: User) -> None:
        rows = [{"prompt": f"{n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(60)]
        take(project, *rows, source="pairs", overlap=2)
        assert set(Response.objects.values_list("source", flat=True)) == {"pairs"}
        targets = Counter(pair.target for pair in export.preferences(project))
        assert 8 < targets[1.0] < 52
        held = queue.claim(alice, project=project)
        assert held is not None, "the import took one of two places"

    def test_the_imports_annotator_cannot_log_in(self, project: Project) -> None:
        take(project, {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."}, source="My Pairs")
        annotator = Judgment.objects.get().annotator
        assert annotator.username == "import-my-pairs"
        assert not annotator.is_active
        assert not annotator.has_usable_password()
        assert not annotator.memberships.exists()

    def test_what_a_line_may_also_say(self, project: Project) -> None:
        row = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green.", "strength": 2.6, "annotator": "ann"}
        row |= {"chosen_source": "v1", "rejected_model": "v2", "rationale": "True.", "lang": "en", "is_simulated": True}
        assert take(project, row).errors == []
        judgment = Judgment.objects.get()
        assert (judgment.strength, judgment.rationale, judgment.annotator.username) == (3, "True.", "ann")
        assert judgment.annotator.is_simulated
        assert judgment.preferred.source == "v1"
        assert Prompt.objects.get().metadata == {"lang": "en"}

    def test_several_people_widen_the_overlap(self, project: Project) -> None:
        row = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."}
        take(project, *({**row, "annotator": name} for name in ("ann", "ben")))
        take(project, {**row, "annotator": "cat", "chosen": "Green.", "rejected": "Blue."})
        task = Task.objects.get()
        assert (task.overlap, task.num_judged, task.num_leased) == (3, 3, 0)
        (pair,) = export.preferences(project)
        assert sorted([pair.target, 1 - pair.target]) == pytest.approx([1 / 3, 2 / 3])

    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_tasks_counter_is_the_number_of_its_judgments(self, project: Project, at_once: bool) -> None:
        """Whether its judgments come with it or later, twice, by two people, on a repeat, or beside created tasks."""
        pair = {"prompt": "Sky?", "response_a": "Blue.", "response_b": "Green.", "preferred": "a", "strength": 1}
        rows = [
            *({**pair, "annotator": name} for name in ("ann", "ann", "ben")),
            {**pair, "annotator": "ann", "control": "repeat"},
            {**pair, "prompt": "Sea?", "annotator": "ann", "gold": {"preferred": "a"}},
            {"prompt": "Grass?", "responses": ["Green.", "Red.", "Blue."]},
        ]
        for some in [rows] if at_once else [[row] for row in rows]:
            assert take(project, *some, create_tasks="comparison").errors == []
        for task in Task.objects.all():
            assert task.num_judged == task.judgments.counted().count()
            assert task.overlap >= task.num_judged
        assert Counter(Task.objects.values_list("control", "num_judged")) == {
            ("", 2): 1, ("repeat", 1): 1, ("gold", 1): 1, ("", 0): 3
        }  # fmt: skip

    def test_one_annotator_says_one_thing(self, project: Project) -> None:
        row = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."}
        report = take(project, row, row, {**row, "chosen": "Green.", "rejected": "Blue."})
        assert (report.num_judgments, report.num_known_judgments) == (1, 1)
        assert [(error.line, error.sentence) for error in report.errors] == [
            (3, "“import-a-file” judged this already, and otherwise.")
        ]

    def test_a_members_open_task_is_left_to_them(self, project: Project, alice: User) -> None:
        take(project, {"prompt": "Sky?", "responses": ["Blue.", "Green."]}, create_tasks="comparison")
        held = queue.claim(alice, project=project)
        report = take(project, {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green.", "annotator": "alice"})
        assert [error.sentence for error in report.errors] == ["“alice” was given this task here."]
        held.refresh_from_db()
        assert held.status == "leased"

    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            ({"prompt": "x", "chosen": "a"}, "“rejected” is missing"),
            ({"prompt": "x", "rejected": "a"}, "“chosen” is missing"),
            ({"prompt": "x", "chosen": "a", "rejected": "a"}, "are the same"),
            ({"prompt": "x", "chosen": "a", "rejected": None}, "“rejected” must be a text or a list"),
            ({"prompt": "x", "chosen": [USER], "rejected": [BAD]}, "“chosen” must be one answer"),
            ({"prompt": "x", "chosen": [GOOD, USER, GOOD], "rejected": [BAD]}, "“chosen” must be one answer"),
            ({"chosen": [USER, GOOD], "rejected": [turn("user", "Sea?"), BAD]}, "the same conversation up to"),
            ({"chosen": [GOOD], "rejected": [BAD]}, "hold no prompt"),
            ({"chosen": "Blue.", "rejected": "Green."}, "no common beginning"),
            ({"prompt": "x", "chosen": "a", "rejected": "b", "strength": 0}, "“strength” must be a number from 1"),
            ({"prompt": "x", "chosen": "a", "rejected": "b", "strength": True}, "“strength” must be a number from 1"),
            ({"prompt": "x", "chosen": "a", "rejected": "b", "annotator": "n" * 151}, "longer than 150"),
            ({"prompt": "x", "chosen": "a", "rejected": "b", "is_simulated": "no"}, "must be true or false"),
        ],
    )
    def test_bad_lines(self, project: Project, row: object, sentence: str) -> None:
        assert sentence in only_error(project, row)


class TestJudgments:
    ROW = {"prompt": "Sky?", "response_a": "Blue.", "response_b": "Green.", "annotator": "ann"}
    CHOICE = {**ROW, "preferred": "a", "strength": 1}
    RATING = {"prompt": "Sky?", "response_a": "Blue.", "annotator": "ann", "ratings": {"safe": 5}}

    def test_a_rating(self, project: Project) -> None:
        actions.add_criterion(project, key="safe", name="Safe")
        assert take(project, self.RATING).errors == []
        (row,) = export.ratings(project)
        assert (row.criterion, row.value, row.text, row.annotator) == ("safe", 5, "Blue.", "ann")

    def test_the_name_of_a_stranger_is_not_used(self, project: Project, charlie: User) -> None:
        """A file may not speak for a person who does not work in the project."""
        take(project, {**self.CHOICE, "annotator": "charlie"})
        assert Judgment.objects.get().annotator.username == "charlie (imported 1)"
        assert not Judgment.objects.of(charlie).exists()

    def test_a_time_without_a_zone_is_utc(self, project: Project) -> None:
        take(project, {**self.CHOICE, "judged_at": "2026-05-01T09:30:00"})
        assert Judgment.objects.get().created_at.isoformat() == "2026-05-01T09:30:00+00:00"

    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            ({**CHOICE, "response_a": None}, "“response_a” is missing"),
            ({**CHOICE, "annotator": ""}, "“annotator” is missing"),
            ({**CHOICE, "annotator": 4}, "“annotator” must be a text"),
            ({**CHOICE, "preferred": "left"}, "“preferred” must be"),
            ({**CHOICE, "strength": 4}, "“strength” must be 0"),
            ({**CHOICE, "strength": 0}, "disagree"),
            ({**CHOICE, "both_bad": True}, "disagree"),
            ({**ROW, "preferred": None, "strength": 1}, "disagree"),
            ({**CHOICE, "shown": "left"}, "“shown” must be"),
            ({**CHOICE, "response_b": "Blue."}, "two answers are the same"),
            ({**CHOICE, "flags": ["rude"]}, "“flags” must be a list of: unsafe"),
            ({**CHOICE, "corrections": [{"of": "c", "text": "x"}]}, "“corrections” must be"),
            ({**CHOICE, "corrections": [{"of": "a", "text": " "}]}, "“corrections” must be"),
            ({**CHOICE, "active_seconds": -1}, "“active_seconds” must be"),
            ({**CHOICE, "judged_at": "yesterday"}, "“judged_at” must be a time"),
            ({**RATING, "ratings": {}}, "A rating needs “ratings”"),
            ({**RATING, "ratings": {"safe": "5"}}, "must be a whole number"),
            ({**RATING, "ratings": {"kind": 5}}, "no criterion “kind”"),
            ({**RATING, "ratings": {"safe": 6}}, "“safe” goes from 1 to 5"),
        ],
    )
    def test_bad_lines(self, project: Project, row: object, sentence: str) -> None:
        actions.add_criterion(project, key="safe", name="Safe")
        assert sentence in only_error(project, row, format="judgments")
