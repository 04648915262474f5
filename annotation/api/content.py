"""Prompts and the answers to them: listed, read, added in bulk.

What is added comes in once, however often it is sent: the same messages are the same prompt of a project, and a
source's same answer to it the same answer. So a request that got no reply may be sent again as it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Annotated, Any, Literal

from django.db import transaction
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema
from pydantic import Field

from annotation.api.access import READ, WRITE, TokenRequest, project_for
from annotation.api.paging import Page, PageQuery, page_of
from annotation.api.problems import Problem, not_found
from annotation.api.values import MOST_AT_ONCE, Body, Id, Label, Moment, Text
from annotation.intake import NewResponse
from annotation.intake.content import Answer, NewPrompt, add_answers, add_answers_of, add_prompts, lock
from annotation.intake.conversations import read_messages
from annotation.models import AuditEntry, Project, Prompt, Response, Role, User, Verb

router = Router(tags=["content"])


class Message(Body):
    role: Literal["system", "user", "assistant"]
    content: Text


class NewAnswer(Body):
    """source: who wrote it, such as a model's name; annotators never see it."""

    text: Text
    source: Label
    metadata: dict[str, Any] = {}


class NewPromptIn(Body):
    """messages: the conversation so far, which ends with the user's turn. external_id: its id where it comes from."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    external_id: Annotated[Text, Field(max_length=200)] = ""
    metadata: dict[str, Any] = {}
    responses: Annotated[list[NewAnswer], Field(max_length=50)] = []


class NewPrompts(Body):
    prompts: Annotated[list[NewPromptIn], Field(min_length=1, max_length=MOST_AT_ONCE)]


class NewAnswers(Body):
    responses: Annotated[list[NewAnswer], Field(min_length=1, max_length=MOST_AT_ONCE)]


class AddedResponse(Schema):
    id: int
    is_new: bool


class AddedPrompt(Schema):
    """In the order sent."""

    id: int
    is_new: bool
    responses: list[AddedResponse]


class ResponseOut(Schema):
    """corrects: the answer that this one corrects, if it is an annotator's correction."""

    id: int
    prompt: int
    text: str
    source: str
    corrects: int | None
    metadata: dict[str, Any]
    created_at: datetime.datetime


class PromptOut(Schema):
    id: int
    external_id: str
    messages: list[Message]
    metadata: dict[str, Any]
    created_at: datetime.datetime


class PromptDetailOut(PromptOut):
    responses: list[ResponseOut]


class PromptQuery(PageQuery):
    created_since: Moment | None = None
    external_id: Text | None = None


class ResponseQuery(PageQuery):
    created_since: Moment | None = None
    source: Text | None = None
    prompt: Id | None = None


@router.get(
    "/projects/{slug}/prompts", response=Page[PromptOut], auth=READ, operation_id="list_prompts", summary="List prompts"
)
def list_prompts(request: TokenRequest, slug: str, query: Query[PromptQuery]) -> object:
    rows = project_for(request, slug, role=Role.REVIEWER).prompts.all()
    if query.created_since is not None:
        rows = rows.filter(created_at__gte=query.created_since)
    if query.external_id is not None:
        rows = rows.filter(external_id=query.external_id)
    found = page_of(rows, query)
    return found.page([PromptOut.model_validate(prompt) for prompt in found.rows])


@router.post(
    "/projects/{slug}/prompts",
    response=list[AddedPrompt],
    auth=WRITE,
    operation_id="create_prompts",
    summary="Add prompts, with or without answers",
)
def create_prompts(request: TokenRequest, slug: str, body: NewPrompts) -> object:
    """All of them, or none if one will not do. What is there already is returned with is_new false."""
    project = project_for(request, slug, role=Role.ADMIN)
    prompts = [NewPrompt(messages, new.external_id, new.metadata) for messages, new in checked(body)]
    answers = [[new_response(answer) for answer in new.responses] for new in body.prompts]
    with transaction.atomic():
        lock(project)
        added = add_prompts(project, prompts)
        responses, created = add_answers_of(added, answers)
        _record(project, by=request.user, prompts=len(added.created), responses=len(created))
    return [
        AddedPrompt(id=prompt_id, is_new=prompt_id in added.created, responses=told(of, created))
        for prompt_id, of in zip(added.ids, responses, strict=True)
    ]


@router.get(
    "/projects/{slug}/prompts/{prompt_id}",
    response=PromptDetailOut,
    auth=READ,
    operation_id="read_prompt",
    summary="Read a prompt and its answers",
)
def read_prompt(request: TokenRequest, slug: str, prompt_id: Id) -> PromptDetailOut:
    prompt = prompt_for(project_for(request, slug, role=Role.REVIEWER), prompt_id)
    return PromptDetailOut(
        **PromptOut.model_validate(prompt).model_dump(),
        responses=[response_out(response) for response in prompt.responses.order_by("pk")],
    )


@router.post(
    "/projects/{slug}/prompts/{prompt_id}/responses",
    response=list[AddedResponse],
    auth=WRITE,
    operation_id="create_responses",
    summary="Add answers to a prompt",
)
def create_responses(request: TokenRequest, slug: str, prompt_id: Id, body: NewAnswers) -> object:
    project = project_for(request, slug, role=Role.ADMIN)
    prompt = prompt_for(project, prompt_id)
    with transaction.atomic():
        lock(project)
        answers, created = add_answers([(prompt.pk, new_response(answer)) for answer in body.responses])
        _record(project, by=request.user, responses=len(created))
    return told(answers, created)


@router.get(
    "/projects/{slug}/responses",
    response=Page[ResponseOut],
    auth=READ,
    operation_id="list_responses",
    summary="List answers",
)
def list_responses(request: TokenRequest, slug: str, query: Query[ResponseQuery]) -> object:
    """Corrections by annotators included: `corrects` tells them."""
    rows = Response.objects.filter(prompt__project=project_for(request, slug, role=Role.REVIEWER))
    if query.created_since is not None:
        rows = rows.filter(created_at__gte=query.created_since)
    if query.source is not None:
        rows = rows.filter(source=query.source)
    if query.prompt is not None:
        rows = rows.filter(prompt=query.prompt)
    found = page_of(rows, query)
    return found.page([response_out(response) for response in found.rows])


@router.get(
    "/projects/{slug}/responses/{response_id}",
    response=ResponseOut,
    auth=READ,
    operation_id="read_response",
    summary="Read an answer",
)
def read_response(request: TokenRequest, slug: str, response_id: Id) -> ResponseOut:
    project = project_for(request, slug, role=Role.REVIEWER)
    response = Response.objects.filter(prompt__project=project, pk=response_id).first()
    if response is None:
        raise not_found()
    return response_out(response)


def _record(project: Project, *, by: User, **num: Any) -> None:
    if any(num.values()):
        AuditEntry.objects.record(Verb.IMPORTED, by=by, project=project, subject="API", **num)


def checked(body: NewPrompts) -> list[tuple[list[dict[str, str]], NewPromptIn]]:
    """(messages, the prompt they are of); all that will not do is told at once, each with its place."""
    read, errors = [], []
    for number, new in enumerate(body.prompts):
        try:
            read.append((read_messages([turn.model_dump() for turn in new.messages], name="messages"), new))
        except ValueError as error:
            errors.append((f"body.prompts[{number}].messages", str(error)))
    if errors:
        raise Problem(422, _("Some values will not do: see “errors”."), errors=errors)
    return read


def new_response(answer: NewAnswer) -> NewResponse:
    return NewResponse(answer.text, answer.source, answer.metadata)


def told(answers: list[Answer], created: Collection[int]) -> list[AddedResponse]:
    return [AddedResponse(id=answer.id, is_new=answer.id in created) for answer in answers]


def prompt_for(project: Project, pk: int) -> Prompt:
    prompt = project.prompts.filter(pk=pk).first()
    if prompt is None:
        raise not_found()
    return prompt


def response_out(response: Response) -> ResponseOut:
    return ResponseOut(
        id=response.pk,
        prompt=response.prompt_id,
        text=response.text,
        source=response.source,
        corrects=response.parent_id,
        metadata=response.metadata,
        created_at=response.created_at,
    )
