"""The first records of a file as an import would take them: shown before anything of them is kept."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, BinaryIO

from annotation.intake import FileType, Format, Options, Record, read_file
from annotation.intake.entries import Entry, Said
from annotation.intake.formats import detect, mapped, read_row

SHOWN, TOLD = 5, 3
"""Records shown, and of each as many of the things it says."""
LOOKED_AT = 20
"""Records by which a file's columns are known."""


@dataclasses.dataclass(frozen=True)
class Told:
    """One thing that a record says: a prompt, its answers, which of them somebody found best."""

    prompt: str
    num_turns: int
    answers: list[tuple[str, str, bool]]
    """Text, source, found best."""
    said: Said | None


@dataclasses.dataclass(frozen=True)
class Shown:
    """A record: what it says, or why it would be left out."""

    line: int
    format: str
    told: Sequence[Told]
    num_more: int
    problem: str


def first_records(file: BinaryIO, file_type: FileType) -> list[Record]:
    return list(itertools.islice(read_file(file, file_type), LOOKED_AT))


def columns_of(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.row or ()))


def shown(record: Record, options: Options) -> Shown:
    if record.row is None:
        return Shown(record.line, "", [], 0, record.problem)
    row: dict[str, Any] = mapped(record.row, options.mapping)
    format: Format = detect(row) if options.format == "auto" else options.format
    try:
        entries = read_row(row, format=format, source=options.label)
    except ValueError as error:
        return Shown(record.line, format, [], 0, str(error))
    told = [told_by(entry) for entry in entries[:TOLD]]
    return Shown(record.line, format, told, len(entries) - len(told), "")


def told_by(entry: Entry) -> Told:
    best = best_of(entry.said)
    answers = [(answer.text, answer.source, number == best) for number, answer in enumerate(entry.responses)]
    messages = entry.prompt.messages
    return Told(messages[-1]["content"], len(messages), answers, entry.said)


def best_of(said: Said | None) -> int | None:
    """The place of the answer that was found best, where there is one."""
    if said is None:
        return None
    return said.ranks.index(1) if said.ranks.count(1) == 1 else said.preferred
