"""Curves of several runs over one another: any that a person chooses, or the seeds of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from annotation.models import Project, Role
from training import charts, curves, sweeps
from training.models import Run, Sweep
from training.views.looking import Looking
from training.views.requests import LONGEST_NUMBER, PersonRequest

MOST_RUNS = 8
"""Colours that can still be told apart."""


@csp_update(settings.CHART_PAGE_CSP)
@login_required
@require_safe
def overlay(request: PersonRequest) -> HttpResponse:
    """The runs that the address names: up to eight of one kind, of projects that the person may review."""
    asked = chosen_numbers(request.GET)
    visible = Run.objects.visible_to(request.user).select_related("project", "model", "version")
    runs = sorted(visible.filter(pk__in=asked), key=lambda run: run.pk)
    sentence = ""
    if len(runs) < 2:
        sentence = _("Choose two runs or more on the page of all runs, to see their curves over one another.")
    elif len(runs) > MOST_RUNS:
        sentence = _("Choose at most %(most)s runs: more colours cannot be told apart.") % {"most": MOST_RUNS}
    elif len({run.kind for run in runs}) > 1:
        sentence = _("Choose runs of one kind: different kinds have different curves.")
    if sentence:
        return render(request, "training/overlay.html", {"sentence": sentence})
    return render(request, "training/overlay.html", drawn(runs, Looking.asked(request.GET)) | {"run_ids": asked})


@csp_update(settings.CHART_PAGE_CSP)
@login_required
@require_safe
def sweep(request: PersonRequest, pk: int) -> HttpResponse:
    found = find_sweep(request, pk)
    return render(
        request,
        "training/overlay.html",
        drawn(runs_of(found), Looking.asked(request.GET), has_band=True) | {"sweep": found},
    )


@login_required
@require_safe
def sweep_curves(request: PersonRequest, pk: int) -> JsonResponse:
    """The mean and the band of a sweep's seeds, whole each time: {"lines", "is_whole", "after", "is_finished"}."""
    runs = runs_of(find_sweep(request, pk))
    is_finished = all(run.is_finished for run in runs)
    lines = sweeps.band(runs, shared_charts(runs), view=Looking.asked(request.GET).view)
    return JsonResponse({"lines": lines, "is_whole": True, "after": -1, "is_finished": is_finished})


def find_sweep(request: PersonRequest, pk: int) -> Sweep:
    """404 for strangers; 403 for a member of the project below reviewer."""
    visible = Sweep.objects.filter(project__in=Project.objects.visible_to(request.user))
    found = get_object_or_404(visible.select_related("project"), pk=pk)
    found.project.require(request.user, Role.REVIEWER)
    return found


def runs_of(sweep: Sweep) -> list[Run]:
    return list(sweep.runs.select_related("project", "model", "version").order_by("pk"))


def chosen_numbers(query: QueryDict) -> list[int]:
    texts = query.getlist("run")
    return sorted({int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER})


def shared_charts(runs: Sequence[Run]) -> list[curves.Chart]:
    """Those that any of the runs has."""
    return [chart for chart in curves.CHARTS[runs[0].kind] if any(chart.is_for(run.chart_settings) for run in runs)]


def drawn(runs: list[Run], look: Looking, *, has_band: bool = False) -> dict[str, Any]:
    names = [str(run.pk) for run in runs] + ([charts.BAND] if has_band else [])
    shown = shared_charts(runs)
    items = charts.items(shown, look.charts(names))
    return {
        "runs": runs,
        "results": sweeps.results(runs),
        "differing": sweeps.differing(runs),
        "has_band": has_band,
        "look": look,
        "charts": list(zip(shown, items, strict=True)),
        "kind_label": runs[0].get_kind_display(),
    }
