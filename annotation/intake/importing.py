"""A file's lines become rows: read one by one, written in batches, so that a large file needs little memory.

A bad line never loses the good ones: it becomes a sentence with its number. The same file again changes nothing.
"""

from __future__ import annotations

import contextvars
import dataclasses
import itertools
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

from django.db import connection, transaction

from annotation.controls import check_ranges
from annotation.intake.annotators import annotators_of
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
from annotation.intake.entries import Entry
from annotation.intake.formats import Format, mapped, read_row
from annotation.intake.golds import GoldOfTask, keep_golds
from annotation.intake.judged import SaidOfTask, check_ratings, keep_judgments, num_judged
from annotation.intake.records import Place, Record, records_of_lines
from annotation.models import AuditEntry, Event, Import, Project, User, Verb
from annotation.webhooks import announce

logger = logging.getLogger(__name__)
BATCH = 2000
"""Lines in a transaction."""
MOST_BYTES = 16_000_000
"""Of a file, in the hand at a time."""
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a file is taken in.

    source: where it comes from: the label of responses that name none, and part of the import's annotator's name.
    create_tasks: ask people to compare every two responses of a prompt, or to rate each; "" asks only what the file's
    judgments answer. overlap: how many people judge each task in all, imported judgments included; None: the project's
    for created tasks, and no more than the imported ones for judged tasks. mapping: our key to the file's column.
    """

    source: str
    format: Format = "auto"
    create_tasks: CreateTasks = ""
    overlap: int | None = None
    priority: int = 0
    mapping: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.source.strip()[:190] or "import"


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
    """Take in lines of JSON; the rest as Options says."""
    options = Options(source=source, format=format, create_tasks=create_tasks, overlap=overlap, priority=priority)
    return import_records(project, records_of_lines(lines), options, by=by)


def import_records(
    project: Project, records: Iterable[Record], options: Options, *, by: User | None = None
) -> ImportReport:
    """Take in a file's records, a batch in a transaction."""
    report = ImportReport()
    with transaction.atomic():
        AuditEntry.objects.record(Verb.IMPORTED, by=by, project=project, format=options.format)
    batches = ahead(Batches(project, records, options))
    for batch in batches:
        with transaction.atomic():
            lock(project)
            take_in(project, batch, report, options, by=by)
    settle(report.num_tasks)
    report.errors.sort(key=lambda error: error.line)
    announce_finished(project, report, num_bad=len(report.errors))
    logger.info(
        "import of %s into %s by %s: %s lines, %s of them bad",
        *(options.label, project.slug, by or "a command", report.num_lines, len(report.errors)),
    )
    return report


def announce_finished(project: Project, came_in: ImportReport | Import, *, num_bad: int, is_whole: bool = True) -> None:
    """Tell the webhooks what a file came to. is_whole: it was read to its end."""
    project.refresh_from_db(fields=["webhook_events"])  # an import is long: a webhook may be newer than its beginning
    announce(
        project,
        Event.IMPORT_FINISHED,
        lines=came_in.num_lines,
        bad_lines=num_bad,
        prompts=came_in.num_prompts,
        responses=came_in.num_responses,
        tasks=came_in.num_tasks,
        judgments=came_in.num_judgments,
        is_whole=is_whole,
    )


def settle(num_tasks: int, *, is_over: bool = True) -> None:
    """Tell the database of so many new tasks, which takes it a third of a second.

    While a file is still coming in, only where they are a tenth of all, as PostgreSQL would by itself a minute later.
    """
    if num_tasks < MANY_TASKS:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = 'annotation_task'::regclass")
        if is_over or num_tasks * 10 >= cursor.fetchone()[0]:
            cursor.execute("ANALYZE annotation_task, annotation_assignment")


class Batch(NamedTuple):
    """Some records of a file, read but not written."""

    num_lines: int
    entries: list[tuple[int, Entry]]
    errors: list[LineError]
    after: Place


class Batches:
    """A file's records as batches, with what they say. Asks nothing of the database but at the beginning."""

    def __init__(self, project: Project, records: Iterable[Record], options: Options) -> None:
        self.criteria = dict(project.criteria.values_list("key", "scale_max"))
        self.records = iter(records)
        self.options = options

    def __iter__(self) -> Iterator[Batch]:
        while records := list(self._few()):
            entries: list[tuple[int, Entry]] = []
            errors = []
            for record in records:
                try:
                    entries += [(record.line, entry) for entry in self._entries(record)]
                except ValueError as error:
                    errors.append(LineError(record.line, str(error)))
            yield Batch(len(records), entries, errors, records[-1].after)

    def _few(self) -> Iterator[Record]:
        """As many as are written in one transaction, and no more of a file than fits in the hand."""
        begun = None
        for record in itertools.islice(self.records, BATCH):
            begun = record.after.offset if begun is None else begun
            yield record
            if record.after.offset - begun > MOST_BYTES:
                return

    def _entries(self, record: Record) -> list[Entry]:
        if record.row is None:
            raise ValueError(record.problem)
        row = mapped(record.row, self.options.mapping)
        entries = read_row(row, format=self.options.format, source=self.options.label)
        for entry in entries:
            if entry.said is not None:
                check_ratings(entry.said, self.criteria)
            if entry.gold is not None and entry.gold.ratings:
                check_ranges(entry.gold.ratings, self.criteria)
        return entries


def ahead(batches: Iterable[Batch]) -> Generator[Batch]:
    """The same, each made in a thread while the one before it is at work: reading and writing share the time.

    Close it before the file that it reads.
    """
    context = contextvars.copy_context()  # the language of the sentences
    coming = iter(batches)

    def following() -> Batch | None:
        return context.run(lambda: next(coming, None))

    with ThreadPoolExecutor(1) as pool:
        promised = pool.submit(following)
        while (batch := promised.result()) is not None:
            promised = pool.submit(following)
            yield batch


def take_in(project: Project, batch: Batch, report: ImportReport, options: Options, *, by: User | None) -> None:
    """Write a batch and add to the report. The caller holds the project's lock, in a transaction."""
    report.num_lines += batch.num_lines
    report.errors += batch.errors
    prompts = add_prompts(project, [entry.prompt for _number, entry in batch.entries])
    responses, new_responses = add_answers_of(prompts, [entry.responses for _number, entry in batch.entries])
    wanted = list(_asked(responses, options.create_tasks))
    said = [
        _Spoken(number, of, entry, question_of(of))
        for (number, entry), of in zip(batch.entries, responses, strict=True)
        if entry.said is not None or entry.gold is not None
    ]
    judgments = [(spoken.question, spoken.entry.said) for spoken in said if spoken.entry.said]
    annotators = annotators_of(project, {given.name for _question, given in judgments}, source=options.label)
    how: dict[str, Any] = {"priority": options.priority, "num_judged": num_judged(judgments, annotators)}
    asked = add_tasks(project, wanted, overlap=options.overlap, new_responses=new_responses, **how)
    judged = add_tasks(
        project,
        [spoken.question for spoken in said],
        overlap=options.overlap or 1,
        new_responses=() if wanted else new_responses,
        **how,
    )
    report.num_golds += keep_golds(project, list(_golds(said, judged.ids)), by=by)
    new_tasks = {*asked.created, *judged.created}
    kept = keep_judgments(project, list(_of_tasks(said, judged.ids)), annotators=annotators, new_tasks=new_tasks)
    report.num_prompts += len(prompts.created)
    report.num_responses += len(new_responses)
    report.num_tasks += len(new_tasks)
    report.num_judgments += kept.num_new
    report.num_known_judgments += kept.num_known
    report.errors.extend(LineError(line, sentence) for line, sentence in kept.errors)


class _Spoken(NamedTuple):
    """An entry that says something of its responses, with the rows of these and what it answers."""

    line: int
    responses: list[Answer]
    entry: Entry
    question: NewTask


def _golds(said: Iterable[_Spoken], task_ids: Iterable[int]) -> Iterator[GoldOfTask]:
    for spoken, task_id in zip(said, task_ids, strict=True):
        if spoken.entry.gold is not None:
            yield GoldOfTask(task_id, spoken.responses, spoken.entry.gold)


def _of_tasks(said: Iterable[_Spoken], task_ids: Iterable[int]) -> Iterator[SaidOfTask]:
    for spoken, task_id in zip(said, task_ids, strict=True):
        if spoken.entry.said is not None:
            yield SaidOfTask(spoken.line, task_id, spoken.responses, spoken.entry.said)


def _asked(responses: Iterable[list[Answer]], create_tasks: CreateTasks) -> Iterator[NewTask]:
    """The tasks to ask for each prompt's responses; two sources with the same text are one question."""
    for answers in responses if create_tasks else ():
        distinct = list({answer.content_hash: answer for answer in answers}.values())
        if create_tasks == "comparison":
            yield from (comparison_of(*pair) for pair in itertools.combinations(distinct, 2))
        elif create_tasks == "rating":
            yield from (rating_of(answer) for answer in distinct)
