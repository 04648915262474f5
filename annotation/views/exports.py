"""/projects/<slug>/export/ : what leaves, in which format; the first lines, and the file as a stream. For admins."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.export import CONTENT_TYPES, at_one_moment, check_type, encoded, lines, num_lines
from annotation.forms.doors import ExportForm, file_name
from annotation.models import AuditEntry, Project, Role, User, Verb
from annotation.progress import Work, telling
from annotation.views.access import PersonRequest, person_required, project_for

SHOWN = 5
LONGEST = 2000
"""Characters of a line that the preview shows."""


@person_required
@require_safe
def export_page(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = ExportForm(request.GET or None)
    problem = ""
    shown: list[str] = []
    try:
        check_type(form.chosen["format"], form.chosen["file_type"])
        shown = first_lines(project, form)
    except ValueError as error:
        problem = str(error)
    context = {
        "project": project,
        "role": Role.ADMIN,
        "form": form if form.is_bound else ExportForm(initial=form.chosen),
        "lines": shown,
        "problem": problem,
        "query": request.GET.urlencode(),
        "name": file_name(project, form.chosen),
    }
    return render(request, f"annotation/export.html{'#preview' if request.htmx else ''}", context)


@person_required
@require_safe
def export_file(request: PersonRequest, slug: str) -> HttpResponseBase:
    """The file, written while it is read: memory holds a piece of it."""
    project = project_for(request, slug, role=Role.ADMIN)
    form = ExportForm(request.GET)
    chosen = form.chosen
    try:
        check_type(chosen["format"], chosen["file_type"])
        first_lines(project, form)  # what cannot be told at all is a sentence, not a broken download
    except ValueError as error:
        return HttpResponse(str(error), status=422, content_type="text/plain; charset=utf-8")
    with transaction.atomic():
        AuditEntry.objects.record(
            Verb.EXPORTED, by=request.user, project=project, subject=chosen["format"], file_type=chosen["file_type"]
        )
    kind = "application/gzip" if chosen["gz"] else CONTENT_TYPES[chosen["file_type"]]
    # Begun by the server that writes it, after this request's own transactions are over: it holds one of its own.
    rows = at_one_moment(lines(project, **form.settings))
    about = num_lines(project, chosen["format"])
    pieces = encoded(
        told(rows, to=request.user, about=about),
        format=chosen["format"],
        file_type=chosen["file_type"],
        packed=chosen["gz"],
    )
    response = StreamingHttpResponse(pieces, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{file_name(project, chosen)}"'
    return response


def told(rows: Iterable[Any], *, to: User, about: int) -> Iterator[Any]:
    """The rows as they are; the page hears how many of about so many there were."""
    with telling(Work.EXPORT, to) as said:
        said.expect(about)
        yield from said.passing(rows)


def first_lines(project: Project, form: ExportForm) -> list[str]:
    """In a transaction: a cursor outside of one would have the database write the whole result down first."""
    with transaction.atomic():
        found = itertools.islice(lines(project, **form.settings), SHOWN)
        texts = [orjson.dumps(line, default=str, option=orjson.OPT_INDENT_2).decode() for line in found]
    return [text if len(text) <= LONGEST else f"{text[:LONGEST]} …" for text in texts]
