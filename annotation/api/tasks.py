"""Tasks: listed, made from the answers that are there, changed, withdrawn."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema
from pydantic import Field

from annotation import actions
from annotation.actions.tasks import make_tasks
from annotation.api.access import READ, WRITE, TokenRequest, project_for
from annotation.api.paging import Page, PageQuery, page_of
from annotation.api.problems import Problem, not_found, refused
from annotation.api.values import MOST_AT_ONCE, Body, BodyId, Id, Moment, Text
from annotation.intake import add_comparisons, add_ratings
from annotation.models import AuditEntry, Judgment, Project, Response, Role, Task, User, Verb
from annotation.pairing import Asked, Pairing, answers

router = Router(tags=["tasks"])

Overlap = Annotated[int, Field(strict=True, ge=1, le=1000)]
Priority = Annotated[int, Field(strict=True, ge=-1000, le=1000)]


class NewTasks(Body):
    """What people are asked, and how many of them.

    overlap: how many people judge each task; none: the project's. priority: higher is asked first.
    """

    overlap: Overlap | None = None
    priority: Priority = 0


class TasksByPairing(NewTasks):
    """Comparisons of a prompt's answers: all; of two sources (source, against); or of every other source with one. Or
    rankings of num_ranked answers each; or a rating of each answer (by source). among: only of these sources.
    """

    by: Literal["pairing"]
    pairing: Pairing
    source: Text = ""
    against: Text = ""
    among: list[Text] = []
    num_ranked: Annotated[int, Field(ge=3, le=6)] = 4


class TasksOfPairs(NewTasks):
    """Comparisons of these answers, two ids each, of the same prompt."""

    by: Literal["pairs"]
    pairs: Annotated[list[tuple[BodyId, BodyId]], Field(min_length=1, max_length=MOST_AT_ONCE)]


class TasksOfRatings(NewTasks):
    """A rating of each of these answers; none named: of all, or of all by this source."""

    by: Literal["ratings"]
    responses: Annotated[list[BodyId], Field(max_length=MOST_AT_ONCE)] = []
    source: Text = ""


class CreatedTasks(Schema):
    """num_created: those that are new. ids: theirs, the first 500."""

    num_created: int
    ids: list[int]


class TaskOut(Schema):
    """control: "gold" or "repeat" for tasks that measure people; annotators must not learn it.

    updated_at: when anything here changed but num_leased, which moves with every claim.
    """

    id: int
    kind: str
    prompt: int
    responses: list[int]
    overlap: int
    priority: int
    num_judged: int
    num_leased: int
    is_withdrawn: bool
    control: str
    created_at: datetime.datetime
    updated_at: datetime.datetime


class TaskChange(Body):
    """Only what is named changes."""

    overlap: Overlap | None = None
    priority: Priority | None = None
    is_withdrawn: Annotated[bool | None, Field(strict=True)] = None


class TaskQuery(PageQuery):
    """judged_since: tasks with a judgment that came in since. updated_since: those that are new or changed since."""

    state: Literal["open", "done", "withdrawn"] | None = None
    kind: Task.Kind | None = None
    prompt: Id | None = None
    created_since: Moment | None = None
    judged_since: Moment | None = None
    updated_since: Moment | None = None


@router.get(
    "/projects/{slug}/tasks", response=Page[TaskOut], auth=READ, operation_id="list_tasks", summary="List tasks"
)
def list_tasks(request: TokenRequest, slug: str, query: Query[TaskQuery]) -> object:
    rows = project_for(request, slug, role=Role.REVIEWER).tasks.all()
    if query.state is not None:
        rows = {"open": rows.open, "done": rows.done, "withdrawn": rows.withdrawn}[query.state]()
    if query.kind is not None:
        rows = rows.filter(kind=query.kind)
    if query.prompt is not None:
        rows = rows.filter(prompt=query.prompt)
    if query.created_since is not None:
        rows = rows.filter(created_at__gte=query.created_since)
    if query.judged_since is not None:
        judged = Judgment.objects.since(query.judged_since).filter(task=OuterRef("pk"))
        rows = rows.filter(Exists(judged))
    if query.updated_since is not None:
        rows = rows.filter(updated_at__gte=query.updated_since)
    found = page_of(rows, query)
    return found.page([task_out(task) for task in found.rows])


@router.post(
    "/projects/{slug}/tasks", response=CreatedTasks, auth=WRITE, operation_id="create_tasks", summary="Make tasks"
)
def create_tasks(
    request: TokenRequest,
    slug: str,
    body: Annotated[TasksByPairing | TasksOfPairs | TasksOfRatings, Field(discriminator="by")],
) -> CreatedTasks:
    """From the answers that are there. A pair or an answer that was asked about before is left out."""
    project = project_for(request, slug, role=Role.ADMIN)
    how: dict[str, Any] = {"overlap": body.overlap, "priority": body.priority}
    with refused(), transaction.atomic():
        if isinstance(body, TasksByPairing):
            return made(project, body, by=request.user)
        if isinstance(body, TasksOfPairs):
            rows = responses_of(project, [pk for pair in body.pairs for pk in pair], path="body.pairs")
            created = add_comparisons(project, [(rows[first], rows[second]) for first, second in body.pairs], **how)
        else:
            created = add_ratings(project, rated(project, body), **how)
        if created:
            AuditEntry.objects.record(
                Verb.TASKS_CREATED, by=request.user, project=project, subject=body.by, tasks=len(created)
            )
    return CreatedTasks(num_created=len(created), ids=[task.pk for task in created[:MOST_AT_ONCE]])


@router.get(
    "/projects/{slug}/tasks/{task_id}", response=TaskOut, auth=READ, operation_id="read_task", summary="Read a task"
)
def read_task(request: TokenRequest, slug: str, task_id: Id) -> TaskOut:
    return task_out(task_for(project_for(request, slug, role=Role.REVIEWER), task_id))


@router.patch(
    "/projects/{slug}/tasks/{task_id}",
    response=TaskOut,
    auth=WRITE,
    operation_id="change_task",
    summary="Change or withdraw a task",
)
def change_task(request: TokenRequest, slug: str, task_id: Id, body: TaskChange) -> TaskOut:
    """A withdrawn task is lent to nobody any more; what was judged of it stays."""
    task = task_for(project_for(request, slug, role=Role.ADMIN), task_id)
    with refused():
        actions.change_task(task, by=request.user, **body.model_dump(exclude_none=True))
    return task_out(task_for(task.project, task_id))


def made(project: Project, body: TasksByPairing, *, by: User) -> CreatedTasks:
    asked = Asked(
        pairing=body.pairing,
        source=body.source,
        against=body.against,
        among=tuple(body.among),
        num_ranked=body.num_ranked,
    )
    overlap = project.overlap if body.overlap is None else body.overlap
    making = make_tasks(project, asked, by=by, overlap=overlap, priority=body.priority)
    if making is None:
        return CreatedTasks(num_created=0, ids=[])
    ids = making.tasks.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE]
    return CreatedTasks(num_created=making.num_tasks, ids=list(ids))


def rated(project: Project, body: TasksOfRatings) -> list[Response]:
    if not project.criteria.exists():
        raise ValueError(_("This project has no criteria to rate by: add one first."))
    if body.responses:
        rows = responses_of(project, body.responses, path="body.responses")
        return [rows[pk] for pk in body.responses]
    rows_of_all = answers(project)
    return list(rows_of_all.filter(source=body.source) if body.source else rows_of_all)


def responses_of(project: Project, pks: list[int], *, path: str) -> dict[int, Response]:
    found = answers(project).in_bulk(list(set(pks)))
    if missing := sorted(set(pks) - found.keys()):
        sentence = _("This project has no answers with these ids: %(ids)s.")
        sentence %= {"ids": ", ".join(map(str, missing[:20]))}
        raise Problem(422, sentence, errors=[(path, sentence)])
    return found


def task_for(project: Project, pk: int) -> Task:
    task = project.tasks.filter(pk=pk).first()
    if task is None:
        raise not_found()
    return task


def task_out(task: Task) -> TaskOut:
    pair = [pk for pk in (task.response_a_id, task.response_b_id) if pk is not None]
    return TaskOut(
        id=task.pk,
        kind=task.kind,
        prompt=task.prompt_id,
        responses=task.candidate_ids or pair,
        overlap=task.overlap,
        priority=task.priority,
        num_judged=task.num_judged,
        num_leased=task.num_leased,
        is_withdrawn=task.is_withdrawn,
        control=task.control,
        created_at=task.created_at,
        updated_at=task.updated_at,
    )
