"""The curves of runs over one another in numbers: each chart as a table, and all steps as CSV."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from training import curves, overlaid
from training.models import Run
from training.views.overlay import Overlaid, chosen_runs, find_sweep, runs_of, shared_charts
from training.views.requests import PersonRequest


@login_required
@require_safe
def overlay_table(request: PersonRequest, chart: str) -> HttpResponse:
    """One chart of the runs in numbers, for whoever does not see it."""
    return in_numbers(request, Overlaid(runs_or_404(request)), chart)


@login_required
@require_safe
def overlay_csv(request: PersonRequest) -> StreamingHttpResponse:
    """Every value that the runs wrote, one line a step; with ?chart= only those of its lines, where there are any."""
    return in_a_file(request, Overlaid(runs_or_404(request)))


@login_required
@require_safe
def sweep_table(request: PersonRequest, pk: int, chart: str) -> HttpResponse:
    """One chart of the seeds in numbers, with their mean, lowest and highest."""
    found = find_sweep(request, pk)
    return in_numbers(request, Overlaid(runs_of(found), found), chart)


@login_required
@require_safe
def sweep_csv(request: PersonRequest, pk: int) -> StreamingHttpResponse:
    """Every value that the seeds wrote, and their mean, lowest and highest; ?chart= as above."""
    found = find_sweep(request, pk)
    return in_a_file(request, Overlaid(runs_of(found), found))


def in_numbers(request: PersonRequest, several: Overlaid, key: str) -> HttpResponse:
    chart, has_band = chart_of(several, key), several.sweep is not None
    context = {
        "overlaid": several,
        "chart": chart,
        "groups": overlaid.groups(several.runs, chart, has_band=has_band),
        "rows": overlaid.table(several.runs, chart, has_band=has_band),
    }
    return render(request, "training/overlay_table.html" + ("#table" if request.htmx else ""), context)


def in_a_file(request: PersonRequest, several: Overlaid) -> StreamingHttpResponse:
    chart = chart_of(several, request.GET["chart"]) if "chart" in request.GET else None
    metrics = overlaid.metrics_of(several.runs, chart)
    lines = overlaid.csv_lines(several.runs, metrics, has_band=several.sweep is not None)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    name = f"sweep-{several.sweep.pk}" if several.sweep else "-".join(["runs", *(str(run.pk) for run in several.runs)])
    name += f"-{chart.key}" if chart else ""
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def chart_of(several: Overlaid, key: str) -> curves.Chart:
    found = next((each for each in shared_charts(several.runs) if each.key == key), None)
    if found is None:
        raise Http404(key)
    return found


def runs_or_404(request: PersonRequest) -> list[Run]:
    runs, sentence = chosen_runs(request)
    if sentence:
        raise Http404(sentence)
    return runs
