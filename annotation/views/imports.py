"""/projects/<slug>/import/ : files come in: sent, looked at, taken in step by step. For admins."""

from __future__ import annotations

from typing import Any, cast

from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation.actions.imports import cancel_import, keep_upload, options_of, start_import, take_step
from annotation.export import CONTENT_TYPES, encoded
from annotation.forms.doors import FORMAT_NAMES, ImportForm, UploadForm
from annotation.intake import FileType, Options
from annotation.models import Import, Role
from annotation.previews import SHOWN, columns_of, first_records, shown
from annotation.uploads import TOO_LARGE, path_of, too_large
from annotation.views.access import PersonRequest, person_required, project_for

PAGE_SIZE = 25
PROBLEMS_SHOWN = 50


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def imports(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if request.method == "POST":
        if request.META.get(TOO_LARGE):
            form = UploadForm(request.POST)
            form.errors["file"] = form.error_class([too_large()])
        elif form.is_valid():
            try:
                row = keep_upload(project, form.cleaned_data["file"], by=request.user)
            except ValueError as error:
                form.add_error("file", str(error))
            else:
                return redirect("annotation:import", slug, row.pk)
    page = Paginator(project.imports.select_related("created_by"), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"project": project, "role": Role.ADMIN, "form": form, "page": page}
    status = 422 if request.method == "POST" else 200
    return render(request, "annotation/imports.html", context, status=status)


@person_required
@require_safe
def import_page(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    """One file. Before it runs: how it would be read, by the values of the form in the address."""
    row = import_of(request, slug, pk)
    if row.status != Import.Status.UPLOADED:
        return render(request, "annotation/import.html", {**progress(row), "role": Role.ADMIN})
    context = {**looked_at(row, request.GET), "role": Role.ADMIN}
    return render(request, f"annotation/import.html{'#preview' if request.htmx else ''}", context)


@person_required
@require_POST
def import_start(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    row = import_of(request, slug, pk)
    if row.status == Import.Status.UPLOADED:
        looked = looked_at(row, request.POST, is_sent=True)
        if looked["form"].errors or looked["is_gone"]:
            return render(request, "annotation/import.html", {**looked, "role": Role.ADMIN}, status=422)
        start_import(row.pk, by=request.user, **looked["form"].settings)
    return redirect("annotation:import", slug, pk)


@person_required
@require_POST
def import_step(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    """The next second or two of it; the answer asks for the next step while there is one."""
    row = take_step(import_of(request, slug, pk).pk, by=request.user)
    if not request.htmx:
        return redirect("annotation:import", slug, pk)
    return render(request, "annotation/import.html#progress", {**progress(row), "role": Role.ADMIN})


@person_required
@require_POST
def import_cancel(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    cancel_import(import_of(request, slug, pk).pk, by=request.user)
    return redirect("annotation:import", slug, pk)


@person_required
@require_safe
def import_problems(request: PersonRequest, slug: str, pk: int) -> HttpResponseBase:
    """The lines that were left out, as a file."""
    row = import_of(request, slug, pk)
    file_type: FileType = "csv" if request.GET.get("file_type") == "csv" else "jsonl"
    rows = ({"line": one.line, "sentence": one.sentence} for one in row.problems.iterator(chunk_size=2000))
    response = StreamingHttpResponse(
        encoded(rows, format="problems", file_type=file_type), content_type=CONTENT_TYPES[file_type]
    )
    response["Content-Disposition"] = f'attachment; filename="import-{row.pk}-problems.{file_type}"'
    return response


def looked_at(row: Import, values: QueryDict, *, is_sent: bool = False) -> dict[str, Any]:
    """How a file would be read by these values; by those kept where these make no sense, or say nothing."""
    try:
        with path_of(row.key).open("rb") as file:
            records, is_gone = first_records(file, cast(FileType, row.file_type)), False
    except OSError:
        records, is_gone = [], True
    form = ImportForm(values if is_sent or "format" in values else None, instance=row, columns=columns_of(records))
    options = options_of(row)
    if form.is_bound and form.is_valid():
        options = Options(source=form.cleaned_data["source"] or row.name, format=form.cleaned_data["format"],
                          mapping=form.mapping)  # fmt: skip
    return {
        "project": row.project,
        "import": row,
        "form": form,
        "is_gone": is_gone,
        "rows": [shown(record, options) for record in records[:SHOWN]],
        "format_names": FORMAT_NAMES,
        "is_short": len(records) <= SHOWN,
    }


def progress(row: Import) -> dict[str, Any]:
    return {
        "project": row.project,
        "import": row,
        "is_running": row.status == Import.Status.RUNNING,
        "problems": row.problems.all()[:PROBLEMS_SHOWN] if row.num_problems else [],
        "num_hidden": max(0, row.num_problems - PROBLEMS_SHOWN),
    }


def import_of(request: PersonRequest, slug: str, pk: int) -> Import:
    project = project_for(request, slug, role=Role.ADMIN)
    return get_object_or_404(project.imports.select_related("project"), pk=pk)
