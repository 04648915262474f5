"""A project's data as files: the same lines as the command export_data writes (docs/formats.md)."""

from __future__ import annotations

from typing import Annotated

from django.db import transaction
from django.http import StreamingHttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from annotation.api.access import READ, TokenRequest, project_for
from annotation.api.problems import refused
from annotation.consensus import Consensus
from annotation.export import (
    CONTENT_TYPES,
    FileFormat,
    FileType,
    Grading,
    Layout,
    at_one_moment,
    check_type,
    encoded,
    lines,
)
from annotation.models import AuditEntry, Role, Verb

router = Router(tags=["exports"])
PACKED = "application/gzip"


class ExportQuery(Schema):
    """grading, kappa, consensus: how several judgments become the target of a preference. layout, margin: how a
    preference is written (docs/formats.md). gzip: packed."""

    format: FileFormat = "judgments"
    file_type: FileType = "jsonl"
    gzip: bool = False
    grading: Grading = "choice"
    kappa: Annotated[float, Field(gt=0, le=100)] = 1.0
    consensus: Consensus = "votes"
    layout: Layout = "conversational"
    margin: bool = False
    include_simulated: bool = True


@router.get(
    "/projects/{slug}/export",
    auth=READ,
    operation_id="export_project",
    summary="Export as a file",
    openapi_extra={
        "responses": {
            200: {
                "description": "The file: of JSONL, one object a line.",
                "content": {kind: {"schema": {}} for kind in (*CONTENT_TYPES.values(), PACKED)},
            }
        }
    },
)
def export_project(request: TokenRequest, slug: str, query: Query[ExportQuery]) -> StreamingHttpResponse:
    """Streamed, however large. Only what counts leaves: the newest version of each judgment that was not undone."""
    project = project_for(request, slug, role=Role.ADMIN)
    chosen = query.model_dump(exclude={"file_type", "gzip"})
    with refused("query"):
        check_type(query.format, query.file_type)
        rows = lines(project, **chosen)
    with transaction.atomic():
        AuditEntry.objects.record(
            Verb.EXPORTED, by=request.user, project=project, subject=query.format, file_type=query.file_type
        )
    # Begun by the server that writes it, after this request's own transactions are over: it holds one of its own.
    pieces = encoded(at_one_moment(rows), format=query.format, file_type=query.file_type, packed=query.gzip)
    response = StreamingHttpResponse(pieces, content_type=PACKED if query.gzip else CONTENT_TYPES[query.file_type])
    name = f"{project.slug}-{query.format}.{query.file_type}{'.gz' if query.gzip else ''}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
