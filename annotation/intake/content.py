"""Prompts, responses and tasks come in once, however often they are sent.

Whoever adds content to a project holds the project's row lock first, so two imports of the same file at the same moment
give the same rows as one. The lock does not stop anybody from judging.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from annotation.models import Project, Prompt, Response, Task

Row = TypeVar("Row", bound=Model)
TaskKey = tuple[str, int, int | None]
"""Kind, response_a's id, response_b's id."""


class NewPrompt(NamedTuple):
    messages: list[dict[str, str]]
    external_id: str = ""
    metadata: Mapping[str, Any] = {}


class NewResponse(NamedTuple):
    """One answer by a named source: a model version, a person, an import."""

    text: str
    source: str
    metadata: Mapping[str, Any] = {}


class Added(NamedTuple, Generic[Row]):
    """A row for each thing given, in order, and those of them that are new."""

    rows: list[Row]
    created: list[Row]


def as_messages(prompt: str | Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A conversation as {role, content} turns; a bare text is one turn of the user."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [{"role": turn["role"], "content": turn["content"]} for turn in prompt]


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
    return add_prompts(project, [NewPrompt(as_messages(prompt), external_id, metadata or {})]).rows[0]


@transaction.atomic
def add_responses(prompt: Prompt, responses: Iterable[NewResponse]) -> list[Response]:
    """One row for each, in the order given; a source's same answer to the same prompt is the same row."""
    lock(prompt.project)
    return add_answers([(prompt, response) for response in responses]).rows


@transaction.atomic
def add_answered_prompts(
    project: Project, answered: Sequence[tuple[str | Sequence[Mapping[str, str]], Sequence[NewResponse]]]
) -> list[list[Response]]:
    """Many prompts with their responses in a few statements; the responses of each, in the order given."""
    lock(project)
    prompts = add_prompts(project, [NewPrompt(as_messages(prompt)) for prompt, _responses in answered]).rows
    return add_answers_of(prompts, [responses for _prompt, responses in answered])[0]


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
    rows = []
    for first, second in pairs:
        if first.prompt_id != second.prompt_id:
            raise ValueError(_("Only answers to the same prompt can be compared."))
        if first.text != second.text:
            rows.append(comparison_of(first, second))
    return add_tasks(project, rows, overlap=overlap, priority=priority).created


@transaction.atomic
def add_ratings(
    project: Project, responses: Iterable[Response], *, overlap: int | None = None, priority: int = 0
) -> list[Task]:
    """Ask for a rating of each response; the tasks that are new. overlap None: the project's."""
    lock(project)
    rows = [rating_of(response) for response in responses]
    return add_tasks(project, rows, overlap=overlap, priority=priority).created


def lock(project: Project) -> None:
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def add_prompts(project: Project, prompts: Sequence[NewPrompt]) -> Added[Prompt]:
    """The caller holds the project's lock."""
    hashes = [Prompt.hash_of(new.messages) for new in prompts]
    rows = {row.content_hash: row for row in project.prompts.filter(content_hash__in=hashes)}
    missing = {
        content_hash: Prompt(
            project=project,
            messages=new.messages,
            content_hash=content_hash,
            external_id=new.external_id,
            metadata=dict(new.metadata),
        )
        for content_hash, new in zip(reversed(hashes), reversed(prompts), strict=True)
        if content_hash not in rows
    }
    created = Prompt.objects.bulk_create(list(reversed(missing.values())))
    rows.update((row.content_hash, row) for row in created)
    return Added([rows[content_hash] for content_hash in hashes], created)


def add_answers(answers: Sequence[tuple[Prompt, NewResponse]]) -> Added[Response]:
    """The caller holds the project's lock.

    New rows are created in the order of their hashes: were it the file's order, the lower id would be the chosen one
    in every pair of a preference file, and the id would tell the label.
    """
    keys = [(prompt.pk, new.source, Response.hash_of(new.text)) for prompt, new in answers]
    found = Response.objects.filter(parent__isnull=True, prompt__in={prompt.pk for prompt, new in answers})
    rows = {(row.prompt_id, row.source, row.content_hash): row for row in found}
    missing = {
        key: Response(prompt=prompt, text=new.text, source=new.source, content_hash=key[2], metadata=dict(new.metadata))
        for key, (prompt, new) in zip(keys, answers, strict=True)
        if key not in rows
    }
    created = Response.objects.bulk_create(sorted(missing.values(), key=lambda row: (row.content_hash, row.source)))
    rows.update(((row.prompt_id, row.source, row.content_hash), row) for row in created)
    return Added([rows[key] for key in keys], created)


def add_answers_of(
    prompts: Sequence[Prompt], responses: Sequence[Sequence[NewResponse]]
) -> tuple[list[list[Response]], int]:
    """(the rows of each prompt's responses, how many are new). The caller holds the project's lock."""
    added = add_answers([(prompt, new) for prompt, of in zip(prompts, responses, strict=True) for new in of])
    rows = iter(added.rows)
    return [list(itertools.islice(rows, len(of))) for of in responses], len(added.created)


def add_tasks(project: Project, tasks: Sequence[Task], *, overlap: int | None, priority: int) -> Added[Task]:
    """overlap None: the project's. The caller holds the project's lock."""
    overlap = project.overlap if overlap is None else overlap
    if overlap < 1:
        raise ValueError(_("At least one person must judge each task: raise the overlap to 1."))
    existing = Task.objects.filter(response_a__in={task.response_a_id for task in tasks})
    rows = {key_of(row): row for row in existing}
    missing: dict[TaskKey, Task] = {}
    for task in tasks:
        if key_of(task) not in rows:
            task.project, task.overlap, task.priority = project, overlap, priority
            missing.setdefault(key_of(task), task)
    created = Task.objects.bulk_create(list(missing.values()))
    rows.update((key_of(row), row) for row in created)
    return Added([rows[key_of(task)] for task in tasks], created)


def comparison_of(first: Response, second: Response) -> Task:
    """A comparison that is not saved yet; a pair has one spelling, the lower id first."""
    a, b = sorted((first, second), key=lambda response: response.pk)
    return Task(kind=Task.Kind.COMPARISON, prompt_id=a.prompt_id, response_a=a, response_b=b)


def rating_of(response: Response) -> Task:
    """A rating that is not saved yet."""
    return Task(kind=Task.Kind.RATING, prompt_id=response.prompt_id, response_a=response)


def key_of(task: Task) -> TaskKey:
    return task.kind, task.response_a_id, task.response_b_id
