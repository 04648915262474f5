"""Prompts, responses and tasks come in once, however often they are sent.

Whoever adds content to a project holds the project's content lock first, so two imports of the same file at the same
moment give the same rows as one. The lock stops nobody from judging, nor from changing the project itself.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple

import orjson
from django.db import connection, transaction
from django.utils.translation import gettext as _

from annotation.intake.copying import copy_rows, packed_json, reserve_ids
from annotation.models import Candidate, Project, Prompt, Response, Task

CONTENT_LOCK = 0x506C
"""The first half of the advisory locks' key; the second is the project."""
NO_METADATA = packed_json(b"{}")


@dataclasses.dataclass(slots=True)
class NewPrompt:
    messages: list[dict[str, str]]
    external_id: str = ""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    canonical: bytes = dataclasses.field(init=False)
    content_hash: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Hashed where it is read, so that the hand that writes to the database has less to do."""
        self.canonical = Prompt.canonical(self.messages)
        self.content_hash = sha256(self.canonical).hexdigest()


@dataclasses.dataclass(slots=True)
class NewResponse:
    """One answer by a named source: a model version, a person, an import."""

    text: str
    source: str
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    content_hash: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.content_hash = sha256(self.text.encode()).hexdigest()


class Answer(NamedTuple):
    """A response that is there, as far as a task needs it."""

    id: int
    prompt_id: int
    content_hash: str


class NewTask(NamedTuple):
    """A question that may be there already. A pair has one spelling, the lower id first, and so has a ranking's set."""

    kind: str
    prompt_id: int
    response_a_id: int
    response_b_id: int | None = None
    candidate_ids: tuple[int, ...] = ()


class Added(NamedTuple):
    """An id for each thing given, in order, and those of them that are new."""

    ids: list[int]
    created: Collection[int]


def as_messages(prompt: str | Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A conversation as {role, content} turns; a bare text is one turn of the user."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [{"role": turn["role"], "content": turn["content"]} for turn in prompt]


# --- rows in, rows out ------------------------------------------------------------------------------------------


@transaction.atomic
def add_prompt(
    project: Project,
    prompt: str | Sequence[Mapping[str, str]],
    *,
    external_id: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> Prompt:
    """The project's prompt with these messages: the one that is there, else a new one."""
    lock(project)
    added = add_prompts(project, [NewPrompt(as_messages(prompt), external_id, metadata or {})])
    return Prompt.objects.get(pk=added.ids[0])


@transaction.atomic
def add_responses(prompt: Prompt, responses: Iterable[NewResponse]) -> list[Response]:
    """One row for each, in the order given; a source's same answer to the same prompt is the same row."""
    lock(prompt.project)
    answers, _created = add_answers([(prompt.pk, response) for response in responses])
    rows = prompt.responses.in_bulk([answer.id for answer in answers])
    return [rows[answer.id] for answer in answers]


@transaction.atomic
def add_answered_prompts(
    project: Project, answered: Sequence[tuple[str | Sequence[Mapping[str, str]], Sequence[NewResponse]]]
) -> list[list[Response]]:
    """Many prompts with their responses in a few statements; the responses of each, in the order given."""
    lock(project)
    prompts = add_prompts(project, [NewPrompt(as_messages(prompt)) for prompt, _responses in answered])
    of_each, _created = add_answers_of(prompts, [responses for _prompt, responses in answered])
    rows = Response.objects.select_related("prompt").in_bulk([answer.id for of in of_each for answer in of])
    return [[rows[answer.id] for answer in of] for of in of_each]


@transaction.atomic
def add_comparisons(
    project: Project,
    pairs: Iterable[tuple[Response, Response]],
    *,
    overlap: int | None = None,
    priority: int = 0,
) -> list[Task]:
    """Ask which of two responses is better; the tasks that are new. overlap None: the project's.

    A pair that was asked before and a pair of equal texts are left out. Raises ValueError for two prompts in a pair.
    """
    lock(project)
    tasks = []
    for first, second in pairs:
        if first.prompt_id != second.prompt_id:
            raise ValueError(_("Only answers to the same prompt can be compared."))
        if first.text != second.text:
            tasks.append(comparison_of(first, second))
    return _created(add_tasks(project, tasks, overlap=overlap, priority=priority))


@transaction.atomic
def add_ratings(
    project: Project, responses: Iterable[Response], *, overlap: int | None = None, priority: int = 0
) -> list[Task]:
    """Ask for a rating of each response; the tasks that are new. overlap None: the project's."""
    lock(project)
    tasks = [rating_of(response) for response in responses]
    return _created(add_tasks(project, tasks, overlap=overlap, priority=priority))


def _created(added: Added) -> list[Task]:
    rows = Task.objects.select_related("project", "prompt", "response_a", "response_b").in_bulk(list(added.created))
    return [rows[pk] for pk in added.created]


# --- ids in, ids out: what an import of many lines uses ---------------------------------------------------------


def lock(project: Project) -> None:
    """Until the transaction is over. Not the project's row: an import holds this for seconds at a time, and guidelines,
    members and webhooks, which need the row, must not wait for it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [CONTENT_LOCK, project.pk])


def add_prompts(project: Project, prompts: Sequence[NewPrompt]) -> Added:
    """The caller holds the project's lock."""
    hashes = [new.content_hash for new in prompts]
    ids = _prompts_by_hash(project, set(hashes))
    missing: dict[str, NewPrompt] = {}
    for new in prompts:
        if new.content_hash not in ids:
            missing.setdefault(new.content_hash, new)
    created = reserve_ids(Prompt, len(missing))
    copy_rows(
        Prompt,
        ("id", "project_id", "content_hash", "messages", "external_id", "metadata"),
        (
            (pk, project.pk, content_hash, packed_json(new.canonical), new.external_id, json_of(new.metadata))
            for pk, (content_hash, new) in zip(created, missing.items(), strict=True)
        ),
    )
    ids.update(zip(missing, created, strict=True))
    return Added([ids[content_hash] for content_hash in hashes], set(created))


def _prompts_by_hash(project: Project, hashes: Iterable[str]) -> dict[str, int]:
    """Those that are there. The hashes go as one text: quoted one by one they would take a tenth of Python's time."""
    statement = """SELECT content_hash, id FROM annotation_prompt
        WHERE project_id = %s AND content_hash = ANY(string_to_array(%s, ','))"""
    with connection.cursor() as cursor:
        cursor.execute(statement, [project.pk, ",".join(hashes)])
        return dict(cursor.fetchall())


def add_answers(
    answers: Sequence[tuple[int, NewResponse]], *, new_prompts: Collection[int] = ()
) -> tuple[list[Answer], set[int]]:
    """(prompt id, response) each. new_prompts: those that have no answer yet. The caller holds the project's lock.

    New rows of a prompt get their ids in the order of their hashes: were it the file's order, the lower id would be the
    chosen one in every pair of a preference file, and the id would tell the label. A prompt's answers lie side by side,
    so that every index is written at its end.
    """
    keys = [(prompt_id, new.source, new.content_hash) for prompt_id, new in answers]
    known = {prompt_id for prompt_id, _source, _hash in keys}.difference(new_prompts)
    found = Response.objects.filter(parent__isnull=True, prompt__among=known) if known else Response.objects.none()
    ids = {(row[0], row[1], row[2]): row[3] for row in found.values_list("prompt_id", "source", "content_hash", "pk")}
    missing = {key: new for key, (_prompt, new) in zip(keys, answers, strict=True) if key not in ids}
    in_order = sorted(missing, key=itemgetter(0, 2, 1))
    created = reserve_ids(Response, len(in_order))
    ids.update(zip(in_order, created, strict=True))
    copy_rows(
        Response,
        ("id", "prompt_id", "source", "content_hash", "text", "metadata"),
        ((ids[key], *key, missing[key].text, json_of(missing[key].metadata)) for key in in_order),
    )
    return [Answer(ids[key], key[0], key[2]) for key in keys], set(created)


def add_answers_of(prompts: Added, responses: Sequence[Sequence[NewResponse]]) -> tuple[list[list[Answer]], set[int]]:
    """(the answers to each prompt, which of them are new). The caller holds the project's lock."""
    given = [(prompt_id, new) for prompt_id, of in zip(prompts.ids, responses, strict=True) for new in of]
    answers, created = add_answers(given, new_prompts=prompts.created)
    rows = iter(answers)
    return [list(itertools.islice(rows, len(of))) for of in responses], created


def add_tasks(
    project: Project,
    tasks: Sequence[NewTask],
    *,
    overlap: int | None,
    priority: int,
    new_responses: Collection[int] = (),
    num_judged: Mapping[NewTask, int] = {},
) -> Added:
    """overlap None: the project's. new_responses: those nothing was asked about yet. num_judged: how many judgments the
    caller will write at once of a task that is new. The caller holds the project's lock.
    """
    overlap = project.overlap if overlap is None else overlap
    if overlap < 1:
        raise ValueError(_("At least one person must judge each task: raise the overlap to 1."))
    known = {task.response_a_id for task in tasks}.difference(new_responses)
    found = Task.objects.filter(response_a__among=known, repeat_of__isnull=True) if known else Task.objects.none()
    ids = {
        NewTask(kind, prompt_id, a, b, tuple(candidates)): pk
        for kind, prompt_id, a, b, candidates, pk in found.values_list(*NewTask._fields, "pk")
    }
    missing = list(dict.fromkeys(task for task in tasks if task not in ids))
    created = reserve_ids(Task, len(missing))
    ids.update(zip(missing, created, strict=True))
    copy_rows(
        Task,
        ("id", "project_id", "overlap", "num_judged", "priority", *NewTask._fields),
        (
            (ids[task], project.pk, max(overlap, num), num, priority, *task[:-1], list(task.candidate_ids))
            for task, num in ((task, num_judged.get(task, 0)) for task in missing)
        ),
    )
    candidates = [(ids[task], response_id) for task in missing for response_id in task.candidate_ids]
    copy_rows(
        Candidate,
        ("id", "task_id", "response_id"),
        ((pk, *row) for pk, row in zip(reserve_ids(Candidate, len(candidates)), candidates, strict=True)),
    )
    return Added([ids[task] for task in tasks], created)


def comparison_of(first: Answer | Response, second: Answer | Response) -> NewTask:
    a, b = sorted((first.id, second.id))
    return NewTask(Task.Kind.COMPARISON.value, first.prompt_id, a, b)


def rating_of(response: Answer | Response) -> NewTask:
    return NewTask(Task.Kind.RATING.value, response.prompt_id, response.id)


def json_of(metadata: Mapping[str, Any]) -> bytes:
    return packed_json(orjson.dumps(dict(metadata))) if metadata else NO_METADATA


def ranking_of(responses: Iterable[Answer | Response]) -> NewTask:
    rows = sorted(responses, key=lambda row: row.id)
    ids = tuple(row.id for row in rows)
    return NewTask(Task.Kind.RANKING.value, rows[0].prompt_id, ids[0], None, ids)


def question_of(responses: Sequence[Answer | Response]) -> NewTask:
    """What asks about these answers: one is rated, two are compared, more are ranked."""
    if len(responses) > 2:
        return ranking_of(responses)
    return comparison_of(*responses) if len(responses) == 2 else rating_of(*responses)
