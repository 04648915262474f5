"""What leaves in any format and file type comes back as it was."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet
import pytest

from annotation import actions, export
from annotation.columns import COLUMNS
from annotation.intake import ImportReport, Options, detect_type, import_records, opened, read_file
from annotation.models import Judgment, Project, Response

TRICKY = [
    "=1+1",
    "'quoted'",
    "a,b;\t“c”",
    'two\nlines\r\nand "quotes"',
    "[1, 2]",
    '{"role": "user"}',
    "",
    "-",
    "中文 🙂",
]
USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.fixture
def judged(project: Project) -> Project:
    """Comparisons of every kind of answer (chosen, tied, both bad, corrected), ratings, a ranking."""
    actions.add_criterion(project, key="helpful", name="Helpful")
    actions.add_criterion(project, key="desirable", name="Desirable", scale_max=2)
    rows: list[dict[str, Any]] = []
    for number, text in enumerate(TRICKY):
        prompt = [turn(USER, f"{text}{number}?")]
        if number % 3 == 1:
            prompt = [turn(SYSTEM, "Be brief."), turn(USER, "Hi"), turn(ASSISTANT, "Hello."), *prompt]
        for person in ("ann", "=ben"):
            rows.append({
                "prompt_id": f"p{number}", "prompt": prompt, "annotator": person, "is_simulated": False,
                "response_a": {"text": text, "source": "v1"}, "response_b": {"text": f"{text}!", "source": "+v2"},
                "preferred": ["a", "b", None][number % 3], "strength": [3, 1, 0][number % 3],
                "both_bad": number == 5, "shown": "ba" if number % 2 else "ab", "flags": ["unsafe"][: number % 2],
                "rationale": text, "reasons": ["clear", "=short"][: number % 3], "active_seconds": 1.5,
                "corrections": [{"of": "b", "text": f"better {text}"}] if number == 4 else [],
                "judged_at": f"2026-05-0{number + 1}T09:30:00+00:00",
            })  # fmt: skip
    rows.append({"prompt": [turn(USER, "Rate?")], "response_a": {"text": "x", "source": "v1"},
                 "ratings": {"helpful": 4}, "annotator": "ann"})  # fmt: skip
    answers = [{"text": f"answer {number}", "source": f"v{number}"} for number in range(3)]
    rows.append({"kind": "ranking", "prompt": [turn(USER, "Rank?")], "responses": answers, "ranks": [2, 1, 2],
                 "shown": [3, 1, 2], "annotator": "ann"})  # fmt: skip
    report = import_records(project, read_file(io.BytesIO(jsonl(rows)), "jsonl"), Options(source="x"))
    assert report.errors == []
    return project


@pytest.fixture
def elsewhere(db: None) -> Project:
    project = actions.create_project("Elsewhere", by=None)
    actions.add_criterion(project, key="helpful", name="Helpful")
    actions.add_criterion(project, key="desirable", name="Desirable", scale_max=2)
    return project


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def moved(source: Project, target: Project, path: Path, **options: Any) -> ImportReport:
    """Out to a file, and in from it."""
    wanted = {key: options.pop(key) for key in ("file_type", "packed") if key in options}
    rows = export.lines(source, **options)
    path.write_bytes(b"".join(export.encoded(rows, format=options["format"], **{"file_type": "jsonl", **wanted})))
    with opened(path) as (file, head):
        return import_records(target, read_file(file, detect_type(head)), Options(source="copy"))


def raw(project: Project) -> list[dict[str, Any]]:
    """Everything that is kept of every judgment, but what belongs to the installation, in an order of its own."""
    rows = []
    for line in export.lines(project, format="judgments"):
        sides = sorted([orjson.dumps(line.pop(f"response_{side}", None)).decode() for side in "ab"])
        preferred = {"a": 0, "b": 1, None: None}[line.pop("preferred", None)]
        for key in ("id", "leased_at", "guidelines_version", "shown", "corrections"):
            line.pop(key, None)
        if line["kind"] == "rating" or line["kind"] == "ranking":
            line.pop("judged_at")
        if "responses" in line:
            line["ranks"] = sorted(zip([r["text"] for r in line.pop("responses")], line["ranks"], strict=True))
        rows.append({**line, "sides": sides, "is_tie": preferred is None})
    return sorted(rows, key=orjson.dumps)


def chosen(project: Project) -> Counter[tuple[str, str | None, str]]:
    """(prompt, the better text, who) of all judgments."""
    rows = Judgment.objects.in_project(project).filter(strength__isnull=False)
    return Counter(
        (str(one.task.prompt), one.preferred and one.preferred.text, one.annotator.username)
        for one in rows.select_related("preferred", "annotator", "task__prompt")
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("file_type", export.FILE_TYPES)
def test_judgments(judged: Project, elsewhere: Project, tmp_path: Path, file_type: Any, packed: bool) -> None:
    report = moved(judged, elsewhere, tmp_path / "x", format="judgments", file_type=file_type, packed=packed)
    assert report.errors == []
    assert raw(elsewhere) == raw(judged)
    assert chosen(elsewhere) == chosen(judged)
    corrections = [set(Response.objects.filter(prompt__project=one, parent__isnull=False).values_list("text"))
                   for one in (judged, elsewhere)]  # fmt: skip
    assert corrections[0] == corrections[1] != set()
    assert [one.assignment.left.text for one in Judgment.objects.in_project(judged).order_by("pk")] == [
        one.assignment.left.text for one in Judgment.objects.in_project(elsewhere).order_by("pk")
    ]


def pairs(project: Project) -> set[tuple[str, str, str]]:
    """(the whole conversation, the chosen answer, the rejected one) of every decided pair."""
    return {
        (orjson.dumps(line["prompt"]).decode(), line["chosen"][0]["content"], line["rejected"][0]["content"])
        for line in export.lines(project, format="preferences")
    }


@pytest.mark.parametrize("file_type", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("layout", ["conversational", "conversational-implicit", "standard", "transcript"])
def test_preferences(judged: Project, elsewhere: Project, tmp_path: Path, layout: Any, file_type: Any) -> None:
    report = moved(judged, elsewhere, tmp_path / "x", format="preferences", layout=layout, file_type=file_type)
    assert report.errors == []
    assert pairs(elsewhere) == pairs(judged)
    assert not any(prompt.metadata for prompt in elsewhere.prompts.all())


def test_a_text_with_its_prompt_inside_is_split_where_the_answers_part(project: Project, elsewhere: Project) -> None:
    line = {"prompt": [turn(USER, "Sky?")], "chosen": [turn(ASSISTANT, "Blue.")], "rejected": [turn(ASSISTANT, "Red.")]}
    import_records(project, read_file(io.BytesIO(jsonl([line])), "jsonl"), Options(source="x"))
    (found,) = export.lines(project, format="preferences", layout="standard-implicit", margin=True)
    assert (found["chosen"], found["rejected"], found["margin"]) == ("Sky? Blue.", "Sky? Red.", 2.0)
    assert "prompt" not in found
    import_records(elsewhere, read_file(io.BytesIO(jsonl([found])), "jsonl"), Options(source="x"))
    assert pairs(elsewhere) == pairs(project)


@pytest.mark.parametrize("file_type", ["jsonl", "csv", "parquet"])
def test_unpaired_labels(judged: Project, elsewhere: Project, tmp_path: Path, file_type: Any) -> None:
    lines = list(export.lines(judged, format="kto"))
    assert len(lines) == 2 * len(list(export.lines(judged, format="preferences")))
    assert [line["label"] for line in lines[:2]] == [True, False]
    moved(judged, elsewhere, tmp_path / "x", format="kto", file_type=file_type)
    labels = {(one.task.response_a.text, one.ratings.get().value) for one in Judgment.objects.in_project(elsewhere)}
    assert ("=1+1", 2) in labels and ("=1+1!", 1) in labels


@pytest.mark.parametrize("file_type", ["jsonl", "csv", "parquet"])
def test_battles(judged: Project, elsewhere: Project, tmp_path: Path, file_type: Any) -> None:
    report = moved(judged, elsewhere, tmp_path / "x", format="arena", file_type=file_type)
    assert report.errors == []
    assert chosen(elsewhere) == chosen(judged)
    assert Judgment.objects.in_project(elsewhere).filter(both_bad=True).count() == 2


def test_label_studio(judged: Project, elsewhere: Project, tmp_path: Path) -> None:
    report = moved(judged, elsewhere, tmp_path / "x", format="label_studio", file_type="json")
    assert report.errors == []
    assert chosen(elsewhere) == chosen(judged)
    kept = ("strength", "both_bad", "rationale", "active_seconds", "created_at")
    assert list(Judgment.objects.in_project(elsewhere).order_by("pk").values_list(*kept)) == list(
        Judgment.objects.in_project(judged).filter(task__kind="comparison").order_by("task", "pk").values_list(*kept)
    )


def test_argilla(judged: Project, elsewhere: Project, tmp_path: Path) -> None:
    """People become UUIDs there: who said it is told apart, and no more."""
    report = moved(judged, elsewhere, tmp_path / "x", format="argilla", file_type="json")
    assert report.errors == []
    without = [Counter((prompt, text) for prompt, text, _who in chosen(one).elements()) for one in (judged, elsewhere)]
    assert without[0] == without[1]
    assert Judgment.objects.in_project(elsewhere).values("annotator").distinct().count() == 2
    kinds = [
        Counter(Judgment.objects.in_project(one).values_list("task__kind", flat=True)) for one in (judged, elsewhere)
    ]
    assert kinds[0] == kinds[1]


def test_prompts(judged: Project, elsewhere: Project, tmp_path: Path) -> None:
    for file_type in export.FILE_TYPES:
        report = moved(judged, elsewhere, tmp_path / "x", format="prompts", file_type=file_type)
        assert report.errors == []
        assert list(export.lines(elsewhere, format="prompts")) == list(export.lines(judged, format="prompts"))


@pytest.mark.parametrize("format", export.FORMATS)
def test_tables_know_every_column(judged: Project, format: Any) -> None:
    """A column that a line has and the table has not would be lost in silence."""
    for line in export.lines(judged, format=format, margin=True) if format in COLUMNS else ():
        assert {name.split(".")[0] for name in COLUMNS[format]} >= line.keys()


def test_trees_are_no_tables(judged: Project) -> None:
    for file_type in ("csv", "parquet"):
        with pytest.raises(ValueError, match="choose JSONL or JSON"):
            export.encoded([], format="label_studio", file_type=file_type)


def test_parquet_is_what_trl_reads(judged: Project) -> None:
    pieces = export.encoded(export.lines(judged, format="preferences"), format="preferences", file_type="parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(b"".join(pieces)))
    assert str(table.schema.field("chosen").type) == "list<element: struct<role: string, content: string>>"
    assert table.to_pylist()[0]["chosen"] == [{"role": "assistant", "content": "=1+1"}]


def test_nothing_at_all_is_a_file_too(project: Project) -> None:
    for file_type in export.FILE_TYPES:
        data = b"".join(export.encoded([], format="judgments", file_type=file_type, packed=False))
        found = list(read_file(io.BytesIO(data), detect_type(data))) if file_type != "jsonl" else []
        assert found == []
