"""One run: how it goes, its curves, what it says to the fixed prompts, its log; stop and resume."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import orjson
from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotation.models import Role
from training import actions, charts, curves, over_optimisation, points, reports
from training.models import Metric, Run
from training.tasks import execute_run
from training.views.looking import Looking
from training.views.requests import PersonRequest, asked_number, find_run, poll


@csp_update(settings.CHART_PAGE_CSP)
@login_required
@require_safe
def run(request: PersonRequest, pk: int) -> HttpResponse:
    run = find_run(request, pk)
    page = reports.RunPage(run, can_change=run.project.role_of(request.user) == Role.ADMIN)
    context: dict[str, Any] = {"run": run, "page": page, "state": page.state}
    if request.htmx:
        context["changed"] = page.changed_since(request.GET.get("seen", ""))
        return poll(request, "training/run.html#live", context, state=page.state, is_over=run.is_finished)
    look = Looking.asked(request.GET)
    drawn = curves.of(run.kind, run.chart_settings)
    pairs = list(zip(drawn, charts.items(drawn, look.charts()), strict=True))
    return render(request, "training/run.html", {**context, "look": look, "charts": pairs})


@login_required
@require_safe
def run_curves(request: PersonRequest, pk: int) -> HttpResponse:
    """Points of every line of the run after a step: {"lines": {source: {"x": [], "y": []}}, "after", "is_finished"}."""
    run = find_run(request, pk)
    # −1, before the first step: what a page that has no points yet asks for.
    after = -1 if request.GET.get("after", "-1") == "-1" else asked_number(request.GET, "after")
    if after is None:
        return JsonResponse({"error": _("after must be a whole number: the last step that you have.")}, status=400)
    # Whether it has ended was read before its points: no point written in between is missed.
    found = points.lines(run, curves.CHARTS[run.kind], after=after, view=Looking.asked(request.GET).view)
    lines = {source: {"x": line.x, "y": line.y} for source, line in found.lines.items()}
    answer = {"lines": lines, "after": found.last, "is_finished": run.is_finished}
    return HttpResponse(orjson.dumps(answer), content_type="application/json")


@login_required
@require_safe
def run_fit(request: PersonRequest, pk: int) -> JsonResponse:
    """What lies beside reward against √KL, whole each time: best of n, the fit and its band."""
    run = find_run(request, pk)
    found: dict[str, Any] = {}
    for chart in curves.of(run.kind, run.chart_settings):
        found |= over_optimisation.lines(run, chart) if chart.beside else {}
    return JsonResponse({"lines": found, "is_whole": True, "after": -1, "is_finished": run.is_finished})


@login_required
@require_safe
def run_table(request: PersonRequest, pk: int, chart: str) -> HttpResponse:
    """One chart in numbers, for whoever does not see it."""
    run = find_run(request, pk)
    drawn = chart_of(run, chart)
    template = "training/run_table.html" + ("#table" if request.htmx else "")
    return render(request, template, {"run": run, "chart": drawn, "rows": points.table(run, drawn)})


@login_required
@require_safe
def run_csv(request: PersonRequest, pk: int) -> StreamingHttpResponse:
    """Every value the run wrote, one line a step; with ?chart= only those of its lines, where there are any."""
    run = find_run(request, pk)
    chart = chart_of(run, request.GET["chart"]) if "chart" in request.GET else None
    response = StreamingHttpResponse(_csv_lines(run, chart), content_type="text/csv; charset=utf-8")
    name = f"run-{run.pk}-{chart.key}" if chart else f"run-{run.pk}"
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def chart_of(run: Run, key: str) -> curves.Chart:
    found = next((each for each in curves.CHARTS[run.kind] if each.key == key), None)
    if found is None:
        raise Http404(_("This run has no such chart."))
    return found


def _csv_lines(run: Run, chart: curves.Chart | None) -> Iterator[str]:
    rows = Metric.objects.filter(run=run).order_by("step")
    names: dict[str, None] = {}
    if chart:
        names = dict.fromkeys([*(["kl/sequence"] if chart.is_path else []), *(line.metric for line in chart.lines)])
        rows = rows.filter(values__has_any_keys=list(names))
    else:
        for values in rows.values_list("values", flat=True).iterator():
            names.update(dict.fromkeys(values))
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(["step", "time", *names])
    for step, time, values in rows.values_list("step", "time", "values").iterator():
        writer.writerow([step, time, *(values.get(name, "") for name in names)])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()


@login_required
@require_POST
def run_cancel(request: PersonRequest, pk: int) -> HttpResponse:
    run = find_run(request, pk, role=Role.ADMIN)
    try:
        actions.cancel_run(run, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("training:run", pk=run.pk)


@login_required
@require_POST
def run_resume(request: PersonRequest, pk: int) -> HttpResponse:
    run = find_run(request, pk, role=Role.ADMIN)
    try:
        actions.resume_run(run, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        execute_run.delay_on_commit(run.pk)
    return redirect("training:run", pk=run.pk)
