"""import_data and export_data as they are typed, and the importer on real preference data where it is at hand."""

import io
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation import export
from annotation.intake import import_lines
from annotation.models import AuditEntry, Judgment, Project, Response, Task

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PLUMBLINE_SHARED", REPO.parent / "shared"))
GOOD = {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."}


def run(command: str, *arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(command, *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def write(path: Path, *lines: object) -> str:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return str(path)


class TestImport:
    def test_it_works(self, project: Project, tmp_path: Path) -> None:
        file = write(tmp_path / "pairs.jsonl", GOOD, {"prompt": "Sea?", "responses": ["Blue.", "Green.", "Grey."]})
        out, err = run("import_data", "--project", project.slug, "--create-tasks", "comparison", "--overlap", "2", file)
        assert f"{file}: 2 lines; new: 2 prompts, 5 responses, 4 tasks, 1 judgments" in out
        assert err == ""
        assert set(Task.objects.values_list("overlap", flat=True)) == {2}
        assert set(Response.objects.values_list("source", flat=True)) == {"pairs"}
        out, _err = run("import_data", "--project", project.slug, file)
        assert "new: 0 prompts, 0 responses, 0 tasks, 0 judgments; 1 judgments were there" in out

    def test_the_log_is_told(self, project: Project, tmp_path: Path) -> None:
        gold = {"prompt": "Sea?", "chosen": "Blue.", "rejected": "Green.", "gold": True}
        run("import_data", "--project", project.slug, write(tmp_path / "pairs.jsonl", GOOD, gold))
        run("export_data", "--project", project.slug, "--output", str(tmp_path / "out.csv"))
        entries = AuditEntry.objects.filter(project=project, verb__regex="^(data|gold)").order_by("pk")
        assert [(entry.verb, entry.subject, entry.details) for entry in entries] == [
            ("data.imported", "", {"format": "auto"}),
            ("gold.set", "", {"num": 1}),
            ("data.exported", "judgments", {"file_type": "csv"}),
        ]

    def test_bad_lines_are_told_and_the_good_ones_kept(self, project: Project, tmp_path: Path) -> None:
        first = write(tmp_path / "one.jsonl", "{", GOOD)
        second = write(tmp_path / "two.jsonl", {"prompt": "Sea?", "chosen": "Blue."})
        err = io.StringIO()
        with pytest.raises(CommandError, match=r"Lines left out: 2\. The others are in") as raised:
            call_command("import_data", "--project", project.slug, first, second, stdout=io.StringIO(), stderr=err)
        assert raised.value.returncode == 1
        told = err.getvalue().splitlines()
        assert told[0].startswith(f"{first}, line 1: The line is not JSON")
        assert told[1] == f"{second}, line 1: “rejected” is missing."
        assert Judgment.objects.count() == 1

    def test_standard_input(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(GOOD).encode())))
        run("import_data", "--project", project.slug, "--source", "v1", "-")
        assert set(Response.objects.values_list("source", flat=True)) == {"v1"}

    def test_bad_arguments(self, project: Project, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="There is no project “nowhere”"):
            run("import_data", "--project", "nowhere", "x.jsonl")
        with pytest.raises(CommandError, match=r"missing\.jsonl cannot be read: No such file"):
            run("import_data", "--project", project.slug, str(tmp_path / "missing.jsonl"))
        with pytest.raises(CommandError, match="--overlap must be at least 1"):
            run("import_data", "--project", project.slug, "--overlap", "0", "x.jsonl")


class TestExport:
    @pytest.fixture
    def judged(self, project: Project) -> Project:
        tie = {"prompt": "Tie?", "response_a": "x", "response_b": "y", "preferred": None, "strength": 0}
        rows = [GOOD, {**tie, "annotator": "ann", "is_simulated": True}]
        assert import_lines(project, map(json.dumps, rows), source="v1").errors == []
        return project

    def test_preferences_are_what_trl_reads(self, judged: Project) -> None:
        """A tie has no chosen answer: it is in `judgments` only."""
        out, _err = run("export_data", "--project", judged.slug, "--format", "preferences")
        (line,) = map(json.loads, out.splitlines())
        assert line["prompt"] == [{"role": "user", "content": "Sky?"}]
        assert line["chosen"] == [{"role": "assistant", "content": "Blue."}]
        assert line["rejected"] == [{"role": "assistant", "content": "Green."}]
        assert (line["target"], line["strength"], line["num_judgments"]) == (1.0, 2.0, 1)

    def test_a_file_is_written_whole(self, judged: Project, tmp_path: Path) -> None:
        target = tmp_path / "out.jsonl"
        target.write_text("an older export")
        _out, err = run("export_data", "--project", judged.slug, "--output", str(target))
        assert f"2 lines in {target}" in err
        assert [json.loads(line)["kind"] for line in target.read_text().splitlines()] == ["comparison"] * 2
        assert list(tmp_path.iterdir()) == [target]

    def test_a_reader_that_has_enough(self, judged: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """`export_data … | head -1` ends without a traceback."""

        class Closed(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        with (tmp_path / "stdout").open("w") as spare, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", spare)
            call_command("export_data", "--project", judged.slug, stdout=Closed())
        assert "Traceback" not in capfd.readouterr().err

    def test_graded_and_without_simulated(self, judged: Project) -> None:
        """σ(0.5·2) = 0.731059."""
        wanted = ("--format", "preferences", "--grading", "graded", "--kappa", "0.5")
        out, _err = run("export_data", "--project", judged.slug, *wanted)
        assert json.loads(out)["target"] == pytest.approx(0.7310586)
        out, _err = run("export_data", "--project", judged.slug, "--without-simulated")
        assert len(out.splitlines()) == 1

    @pytest.mark.parametrize("format", export.FORMATS)
    def test_every_format_is_json(self, judged: Project, format: str) -> None:
        out, _err = run("export_data", "--project", judged.slug, "--format", format)
        assert all(isinstance(json.loads(line), dict) for line in out.splitlines())

    def test_bad_arguments(self, project: Project, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="There is no project “nowhere”"):
            run("export_data", "--project", "nowhere")
        with pytest.raises(CommandError, match="cannot be written: No such file"):
            run("export_data", "--project", project.slug, "--output", str(tmp_path / "no" / "folder.jsonl"))


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason=f"the real data sets are not at {SHARED}/data")
class TestRealData:
    def test_harmless_pairs(self, project: Project) -> None:
        """952 red-team dialogues with a chosen and a rejected answer; one prompt stands in two rows."""
        file = str(SHARED / "data" / "pairs_hh_harmless.jsonl")
        out, err = run("import_data", "--project", project.slug, "--format", "preferences", file)
        assert "952 lines; new: 951 prompts, 1904 responses, 952 tasks, 952 judgments" in out
        assert err == ""
        rows = [json.loads(line) for line in (SHARED / "data" / "pairs_hh_harmless.jsonl").open()]
        wanted = Counter((json.dumps(row["messages"]), row["chosen"], row["rejected"]) for row in rows)
        found = Counter(
            (json.dumps(line["prompt"]), line["chosen"][0]["content"], line["rejected"][0]["content"])
            for line in export.lines(project, format="preferences")
        )
        assert found == wanted
        targets = Counter(pair.target for pair in export.preferences(project))
        assert set(targets) == {0.0, 1.0}
        assert min(targets.values()) > 400, "the lower id does not tell which was chosen"

    def test_three_people_on_each_pair(self, project: Project) -> None:
        """320 pairs with three votes each (a, b or tie), made into lines of the judgments format."""
        rows = [json.loads(line) for line in (SHARED / "data" / "pairwise_pandalm.jsonl").open()]
        lines = [
            json.dumps(
                {
                    "prompt": f"{row['instruction']}\n\n{row['input']}".strip(),
                    "response_a": {"text": row["responses"][0]["text"], "source": row["responses"][0]["model"]},
                    "response_b": {"text": row["responses"][1]["text"], "source": row["responses"][1]["model"]},
                    "annotator": vote["annotator"],
                    "preferred": None if vote["choice"] == "tie" else vote["choice"],
                    "strength": 0 if vote["choice"] == "tie" else 2,
                }
            )
            for row in rows
            for vote in row["annotations"]
        ]
        report = import_lines(project, lines, source="pandalm")
        same_text = sum(row["responses"][0]["text"] == row["responses"][1]["text"] for row in rows)
        assert [error.sentence for error in report.errors] == ["The two answers are the same."] * (3 * same_text)
        assert report.num_judgments == 3 * (320 - same_text)
        pairs = {
            frozenset(((pair.text_a, pair.source_a), (pair.text_b, pair.source_b))): pair
            for pair in export.preferences(project)
        }
        value = {"a": 1.0, "b": 0.0, "tie": 0.5}
        checked = 0
        for row in rows:
            sides = [(response["text"], response["model"]) for response in row["responses"]]
            if sides[0][0] == sides[1][0]:
                continue
            pair = pairs[frozenset(sides)]
            p = sum(value[vote["choice"]] for vote in row["annotations"]) / 3
            is_same_way = (pair.text_a, pair.source_a) == sides[0]
            assert pair.target == pytest.approx(p if is_same_way else 1 - p)
            assert pair.num_judgments == 3
            checked += 1
        assert checked == 320 - same_text

    @pytest.mark.parametrize(
        ("name", "num_prompts", "num_tasks"),
        [("rankings_oasst_en", 166, 404), ("outputs_arenahard", 96, 288), ("gold_llmbar", 115, 115)],
    )
    def test_prompts_with_several_answers(self, project: Project, name: str, num_prompts: int, num_tasks: int) -> None:
        with (SHARED / "data" / f"{name}.jsonl").open("rb") as lines:
            report = import_lines(project, lines, source=name, create_tasks="comparison")
        assert (report.errors, report.num_prompts, report.num_tasks) == ([], num_prompts, num_tasks)
