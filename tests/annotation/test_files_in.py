"""Files of every type come in alike, whatever is wrong with some of their lines; reading goes on from any place."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path

import orjson
import pyarrow
import pyarrow.parquet
import pytest

from annotation.columns import harmless, unharmed
from annotation.intake import Options, Place, Record, detect_type, import_records, opened, read_file
from annotation.intake.parsing import LONGEST_LINE
from annotation.intake.records import START, read_jsonl
from annotation.intake.tables import read_csv
from annotation.models import Project, Prompt

ROWS = [
    {"prompt": f"Question {number}: “why”?", "chosen": f"Because,\n{number}", "rejected": "-"} for number in range(40)
]


def as_csv(rows: list[dict[str, str]], *, delimiter: str = ",", end: str = "\n", start: str = "") -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    lines = [delimiter.join(rows[0]), *(delimiter.join(map(cell, row.values())) for row in rows)]
    return (start + end.join(lines) + end).encode()


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink, row_group_size=7)
    return sink.getvalue()


def as_jsonl(rows: list[dict[str, str]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


FILES = {
    "a.jsonl": as_jsonl(ROWS),
    "bom.jsonl": b"\xef\xbb\xbf" + as_jsonl(ROWS),
    "a.jsonl.gz": gzip.compress(as_jsonl(ROWS)),
    "a.json": json.dumps(ROWS).encode(),
    "a.csv": as_csv(ROWS),
    "excel.csv": as_csv(ROWS, delimiter=";", end="\r\n", start="\ufeff"),
    "a.tsv": as_csv(ROWS, delimiter="\t"),
    "a.csv.gz": gzip.compress(as_csv(ROWS)),
    "a.parquet": as_parquet(ROWS),
}


def records(path: Path) -> list[Record]:
    with opened(path) as (file, head):
        return list(read_file(file, detect_type(head)))


def lines_of(data: bytes) -> list[tuple[int, str]]:
    """(line, what is wrong) of every record of a CSV file."""
    return [(record.line, record.problem[:24]) for record in read_csv(io.BytesIO(data))]


@pytest.mark.parametrize("name", FILES)
def test_every_type_says_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    assert [record.row for record in records(path)] == ROWS


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "excel.csv", "a.parquet"])
def test_reading_goes_on_from_any_place(name: str) -> None:
    file = io.BytesIO(FILES[name])
    file_type = detect_type(FILES[name])
    all_of_it = list(read_file(file, file_type))
    assert len(all_of_it) == len(ROWS)
    for number, record in enumerate(all_of_it, start=1):
        rest = list(read_file(io.BytesIO(FILES[name]), file_type, record.after))
        assert rest == all_of_it[number:], f"from {record.after}"


@pytest.mark.django_db
@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_in(tmp_path: Path, project: Project, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    with opened(path) as (file, head):
        report = import_records(project, read_file(file, detect_type(head)), Options(source="a file"))
    assert (report.errors, report.num_judgments) == ([], 40)
    assert Prompt.objects.order_by("pk").first().messages[0]["content"] == ROWS[0]["prompt"]


class TestCsv:
    def test_a_quote_left_open_costs_no_line_but_its_own(self) -> None:
        data = (
            b'prompt,chosen,rejected\n"open,1,2\ngood,1,2\n"two\nlines",3,4\n5" tv,1,2\n"never closed,1,2\nlast,1,2\n'
        )
        found = lines_of(data)
        assert [line for line, problem in found if not problem] == [3, 4, 6, 8]
        assert [line for line, problem in found if problem] == [2, 7]

    def test_what_is_wrong_gets_a_sentence(self) -> None:
        data = b"prompt,chosen,rejected\ncaf\xe9,1,2\n1,2\n\n,,\n\0,1,2\nlast,1,2\n"
        assert lines_of(data) == [
            (2, "The line is not UTF-8 te"),
            (3, "The row has 2 cells and "),
            (6, "The text contains a char"),
            (7, ""),
        ]

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [(b"", "The file is empty"), (b"a,a\n1,2\n", "Two columns"), (b'"open\n1\n', "A quote opens")],
    )
    def test_a_header_that_will_not_do(self, data: bytes, sentence: str) -> None:
        (record,) = read_csv(io.BytesIO(data))
        assert record.problem.startswith(sentence)

    def test_many_open_quotes_do_not_read_the_file_for_ever(self) -> None:
        line = b'"' + b"x" * 5000 + b",1,2\n"
        data = b"prompt,chosen,rejected\n" + b"".join(line[:1] + bytes([97 + n % 26]) + line[2:] for n in range(3001))
        found = list(read_csv(io.BytesIO(data)))
        assert found[-1].problem.startswith(("Too many quotes", "The row is not CSV", "A quote opens"))
        assert len(found) <= 3001

    def test_cells_become_values(self) -> None:
        data = (
            b"prompt,response_a.text,response_a.source,response_b.text,strength,both_bad,flags,rationale,metadata\n"
            b'"[{""role"": ""user"", ""content"": ""Hi""}]",[1],v1,,2,False,"[""unsafe""]",,"{""x"": 1}"\n'
        )
        (record,) = read_csv(io.BytesIO(data))
        assert record.row == {
            "prompt": [{"role": "user", "content": "Hi"}],
            "response_a": {"text": "[1]", "source": "v1"},
            "strength": 2,
            "both_bad": False,
            "flags": ["unsafe"],
            "metadata": {"x": 1},
        }

    @pytest.mark.parametrize(
        "text", ["=1+1", "+1", "-1", "@a", "\tx", "\rx", "\nx", "'", "''=", "'quoted'", "plain", ""]
    )
    def test_a_formula_is_made_harmless_and_comes_back(self, text: str) -> None:
        assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert unharmed(harmless(text)) == text

    def test_a_foreign_apostrophe_stays(self) -> None:
        (record,) = read_csv(io.BytesIO(b"prompt,chosen,rejected\n'=1,''a,b\n"))
        assert record.row == {"prompt": "'=1", "chosen": "''a", "rejected": "b"}


class TestBroken:
    def test_a_line_too_long_is_left_out_and_the_next_one_read(self) -> None:
        data = b'{"prompt": "' + b"x" * (3 * LONGEST_LINE) + b'"}\n' + as_jsonl(ROWS[:1])
        first, second = read_jsonl(io.BytesIO(data))
        assert first.problem.startswith("The line is longer") and first.after == Place(len(data.split(b"\n")[0]) + 1, 1)
        assert (second.line, second.row) == (2, ROWS[0])

    @pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
    def test_gzip_that_breaks_off(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        rows = [{**row, "x": random.Random(n).randbytes(300).hex()} for n, row in enumerate(ROWS * 20)]
        packed = gzip.compress(as_csv(rows) if "csv" in name else as_jsonl(rows))
        path.write_bytes(packed[: len(packed) // 2])
        found = records(path)
        assert found[-1].problem.startswith("The gzip file breaks off")
        assert len(found) > 100 and not any(record.problem for record in found[:-1])

    def test_a_json_list_that_breaks_off_keeps_what_came_before(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_bytes(FILES["a.json"][:-20] + b"\0")
        *good, last = records(path)
        assert [record.row for record in good] == ROWS[:-1]
        assert last.line == 40 and last.problem.startswith("The file is not JSON from here on")

    def test_a_bomb_is_read_in_little_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.jsonl.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            for _ in range(300):
                file.write(b"\0" * 1_000_000)
        (record,) = records(path)
        assert record.problem.startswith("The line is longer")

    @pytest.mark.django_db
    @pytest.mark.parametrize("seed", range(30))
    def test_no_bytes_end_in_an_error_of_ours(self, tmp_path: Path, project: Project, seed: int) -> None:
        """Whole files with bytes changed, cut, doubled: a report each, whatever is in it."""
        rng = random.Random(seed)
        name = rng.choice(sorted(FILES))
        data = bytearray(FILES[name])
        for _ in range(rng.choice([1, 5, 50])):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(5))
        path = tmp_path / name
        path.write_bytes(bytes(data[: rng.choice([len(data), len(data) // 2])]))
        with opened(path) as (file, head):
            report = import_records(project, read_file(file, detect_type(head)), Options(source="noise"))
        assert all(error.sentence for error in report.errors)

    @pytest.mark.parametrize("seed", range(10))
    def test_noise_is_no_error_of_ours_either(self, tmp_path: Path, seed: int) -> None:
        path = tmp_path / "noise"
        start = [b"", b"PAR1", b"[", b"a,b\n", b"\x1f\x8b", b"{", b"[{", b'"', b"\xff\xfe", b"\xef\xbb\xbf"][seed]
        path.write_bytes(start + random.Random(seed).randbytes(3000))
        assert any(record.problem for record in records(path))

    def test_values_that_cannot_be_kept(self) -> None:
        table = pyarrow.table({"prompt": ["a\0b", "fine"], "chosen": ["x", "y"], "rejected": ["y", "x"]})
        sink = io.BytesIO()
        pyarrow.parquet.write_table(table, sink)
        bad, good = read_file(sink, "parquet", START)
        assert "NUL" in bad.problem and good.row == {"prompt": "fine", "chosen": "y", "rejected": "x"}
