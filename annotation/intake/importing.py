"""A file's lines become rows: read one by one, written in batches, so that a large file needs little memory.

A bad line never loses the good ones: it becomes a sentence with its number. The same file again changes nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from django.db import connection, transaction

from annotation.controls import check_ranges
from annotation.intake.content import (
    Answer,
    NewTask,
    add_answers_of,
    add_prompts,
    add_tasks,
    comparison_of,
    lock,
    question_of,
    rating_of,
)
from annotation.intake.formats import Entry, Format, read_line
from annotation.intake.golds import GoldOfTask, keep_golds
from annotation.intake.judged import SaidOfTask, check_ratings, keep_judgments
from annotation.models import Project, User

logger = logging.getLogger(__name__)
BATCH = 2000
"""Lines in a transaction."""
MANY_TASKS = 1000
"""From so many new tasks on, the database is told at once, else its plans are those of an empty queue for a while."""

CreateTasks = Literal["", "comparison", "rating"]


@dataclasses.dataclass(frozen=True)
class LineError:
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.sentence}"


@dataclasses.dataclass
class ImportReport:
    """What came of a file. Counts are of new rows; a line whose rows were all there adds to none."""

    num_lines: int = 0
    num_prompts: int = 0
    num_responses: int = 0
    num_tasks: int = 0
    num_judgments: int = 0
    num_known_judgments: int = 0
    """Judgments that were there already."""
    num_golds: int = 0
    errors: list[LineError] = dataclasses.field(default_factory=list)


def import_lines(
    project: Project,
    lines: Iterable[str | bytes],
    *,
    format: Format = "auto",
    source: str,
    by: User | None = None,
    create_tasks: CreateTasks = "",
    overlap: int | None = None,
    priority: int = 0,
) -> ImportReport:
    """Take in a file's lines.

    source: where they come from: the label of responses that name none, and part of the import's annotator's name.
    create_tasks: ask people to compare every two responses of a prompt, or to rate each; "" asks only what the file's
    judgments answer. overlap: how many people judge each task in all, imported judgments included; None: the project's
    for created tasks, and no more than the imported ones for judged tasks.
    """
    report = ImportReport()
    source = source.strip()[:190] or "import"
    criteria = dict(project.criteria.values_list("key", "scale_max"))
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    for batch in _batches(numbered):
        entries = list(_read(batch, report, format=format, source=source, criteria=criteria))
        with transaction.atomic():
            lock(project)
            _write(
                project,
                entries,
                report,
                by=by,
                source=source,
                create_tasks=create_tasks,
                overlap=overlap,
                priority=priority,
            )
    if report.num_tasks >= MANY_TASKS:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE annotation_task, annotation_assignment")
    report.errors.sort(key=lambda error: error.line)
    logger.info(
        "import of %s into %s by %s: %s lines, %s of them bad",
        *(source, project.slug, by or "a command", report.num_lines, len(report.errors)),
    )
    return report


def _batches(lines: Iterator[tuple[int, str | bytes]]) -> Iterator[list[tuple[int, str | bytes]]]:
    while batch := list(itertools.islice(lines, BATCH)):
        yield batch


def _read(
    lines: Sequence[tuple[int, str | bytes]],
    report: ImportReport,
    *,
    format: Format,
    source: str,
    criteria: Mapping[str, int],
) -> Iterator[tuple[int, Entry]]:
    for number, line in lines:
        report.num_lines += 1
        try:
            entry = read_line(line, format=format, source=source)
            if entry.said is not None:
                check_ratings(entry.said, criteria)
            if entry.gold is not None and entry.gold.ratings:
                check_ranges(entry.gold.ratings, criteria)
            yield number, entry
        except ValueError as error:
            report.errors.append(LineError(number, str(error)))


def _write(
    project: Project,
    entries: list[tuple[int, Entry]],
    report: ImportReport,
    *,
    by: User | None,
    source: str,
    create_tasks: CreateTasks,
    overlap: int | None,
    priority: int,
) -> None:
    """One batch, under the project's lock."""
    prompts = add_prompts(project, [entry.prompt for _number, entry in entries])
    responses, new_responses = add_answers_of(prompts, [entry.responses for _number, entry in entries])
    wanted = list(_asked(responses, create_tasks))
    asked = add_tasks(project, wanted, overlap=overlap, priority=priority, new_responses=new_responses)
    said = [
        (number, answers_of, entry)
        for (number, entry), answers_of in zip(entries, responses, strict=True)
        if entry.said is not None or entry.gold is not None
    ]
    judged = add_tasks(
        project,
        [question_of(of) for _number, of, _entry in said],
        overlap=overlap or 1,
        priority=priority,
        new_responses=() if wanted else new_responses,
    )
    tasks = list(zip(said, judged.ids, strict=True))
    golds = [GoldOfTask(task_id, of, entry.gold) for (_number, of, entry), task_id in tasks if entry.gold]
    report.num_golds += keep_golds(project, golds, by=by)
    kept = keep_judgments(
        project,
        [
            SaidOfTask(line=number, task_id=task_id, responses=of, said=entry.said)
            for (number, of, entry), task_id in tasks
            if entry.said
        ],
        source=source,
        new_tasks={*asked.created, *judged.created},
    )
    report.num_prompts += len(prompts.created)
    report.num_responses += len(new_responses)
    report.num_tasks += len(asked.created) + len(judged.created)
    report.num_judgments += kept.num_new
    report.num_known_judgments += kept.num_known
    report.errors.extend(LineError(line, sentence) for line, sentence in kept.errors)


def _asked(responses: Iterable[list[Answer]], create_tasks: CreateTasks) -> Iterator[NewTask]:
    """The tasks to ask for each prompt's responses; two sources with the same text are one question."""
    for answers in responses if create_tasks else ():
        distinct = list({answer.content_hash: answer for answer in answers}.values())
        if create_tasks == "comparison":
            yield from (comparison_of(*pair) for pair in itertools.combinations(distinct, 2))
        elif create_tasks == "rating":
            yield from (rating_of(answer) for answer in distinct)
