"""A project's data as files: the same lines as the command export_data writes (docs/formats.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from django.db import transaction
from django.http import StreamingHttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from annotation.api.access import READ, TokenRequest, project_for
from annotation.export import FORMATS, FileFormat, lines
from annotation.models import AuditEntry, Project, Role, Verb

router = Router(tags=["exports"])
MEDIA_TYPE = "application/jsonl"
CHUNK = 64 * 1024
"""Bytes sent at a time: a chunk for every line would cost more than the line."""


class ExportQuery(Schema):
    """grading, kappa: how several judgments become the target of a preference (docs/formats.md)."""

    format: FileFormat = "judgments"
    grading: Literal["choice", "graded"] = "choice"
    kappa: Annotated[float, Field(gt=0, le=100)] = 1.0
    include_simulated: bool = True


@router.get(
    "/projects/{slug}/export",
    auth=READ,
    operation_id="export_project",
    summary="Export as JSONL",
    openapi_extra={
        "responses": {200: {"description": "One JSON object a line.", "content": {MEDIA_TYPE: {"schema": {}}}}}
    },
)
def export_project(request: TokenRequest, slug: str, query: Query[ExportQuery]) -> StreamingHttpResponse:
    """Streamed, however large. Only what counts leaves: the newest version of each judgment that was not undone."""
    project = project_for(request, slug, role=Role.ADMIN)
    with transaction.atomic():
        AuditEntry.objects.record(Verb.EXPORTED, by=request.user, project=project, format=query.format)
    response = StreamingHttpResponse(written(project, query), content_type=MEDIA_TYPE)
    response["Content-Disposition"] = f'attachment; filename="{project.slug}-{query.format}.jsonl"'
    return response


def written(project: Project, query: ExportQuery) -> Iterator[bytes]:
    assert query.format in FORMATS
    buffer = bytearray()
    for line in lines(
        project,
        format=query.format,
        grading=query.grading,
        kappa=query.kappa,
        include_simulated=query.include_simulated,
    ):
        buffer += written_line(line)
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def written_line(line: Any) -> bytes:
    return (json.dumps(line, ensure_ascii=False, default=str) + "\n").encode()
