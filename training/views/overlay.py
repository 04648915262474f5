"""Curves of several runs over one another: any that a person chooses, or the seeds of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from annotation.models import Project, Role
from training import charts, curves, sweeps
from training.models import Run, Sweep
from training.views.looking import Looking
from training.views.requests import LONGEST_NUMBER, PersonRequest

MOST_RUNS = 8
"""Colours that can still be told apart."""


@dataclass(frozen=True)
class Overlaid:
    """Runs over one another, and where their page and their numbers are."""

    runs: list[Run]
    sweep: Sweep | None = None

    @property
    def page(self) -> str:
        return reverse("training:sweep", args=[self.sweep.pk]) if self.sweep else self._of_runs("overlay")

    @property
    def csv(self) -> str:
        return reverse("training:sweep_csv", args=[self.sweep.pk]) if self.sweep else self._of_runs("overlay_csv")

    def table(self, chart: curves.Chart) -> str:
        if self.sweep:
            return reverse("training:sweep_table", args=[self.sweep.pk, chart.key])
        return self._of_runs("overlay_table", chart.key)

    def _of_runs(self, name: str, *parts: str) -> str:
        query = urlencode([("run", run.pk) for run in self.runs])
        return f"{reverse(f'training:{name}', args=parts)}?{query}"


@csp_update(settings.CHART_PAGE_CSP)
@login_required
@require_safe
def overlay(request: PersonRequest) -> HttpResponse:
    """The runs that the address names: up to eight of one kind, of projects that the person may review."""
    runs, sentence = chosen_runs(request)
    if sentence:
        return render(request, "training/overlay.html", {"sentence": sentence})
    context = drawn(Overlaid(runs), Looking.asked(request.GET))
    return render(request, "training/overlay.html", context | {"run_ids": [run.pk for run in runs]})


@csp_update(settings.CHART_PAGE_CSP)
@login_required
@require_safe
def sweep(request: PersonRequest, pk: int) -> HttpResponse:
    found = find_sweep(request, pk)
    return render(request, "training/overlay.html", drawn(Overlaid(runs_of(found), found), Looking.asked(request.GET)))


@login_required
@require_safe
def sweep_curves(request: PersonRequest, pk: int) -> JsonResponse:
    """The mean and the band of a sweep's seeds, whole each time: {"lines", "is_whole", "after", "is_finished"}."""
    runs = runs_of(find_sweep(request, pk))
    is_finished = all(run.is_finished for run in runs)
    lines = sweeps.band(runs, shared_charts(runs), view=Looking.asked(request.GET).view)
    return JsonResponse({"lines": lines, "is_whole": True, "after": -1, "is_finished": is_finished})


def chosen_runs(request: PersonRequest) -> tuple[list[Run], str]:
    """Those that the address names and the person may see; and the sentence that says why they cannot be laid over."""
    visible = Run.objects.visible_to(request.user).select_related("project", "model", "version")
    runs = sorted(visible.filter(pk__in=chosen_numbers(request.GET)), key=lambda run: run.pk)
    if len(runs) < 2:
        return runs, _("Choose two runs or more on the page of all runs, to see their curves over one another.")
    if len(runs) > MOST_RUNS:
        return runs, _("Choose at most %(most)s runs: more colours cannot be told apart.") % {"most": MOST_RUNS}
    if len({run.kind for run in runs}) > 1:
        return runs, _("Choose runs of one kind: different kinds have different curves.")
    return runs, ""


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


def drawn(overlaid: Overlaid, look: Looking) -> dict[str, Any]:
    runs, has_band = overlaid.runs, overlaid.sweep is not None
    names = [str(run.pk) for run in runs] + ([charts.BAND] if has_band else [])
    shown = shared_charts(runs)
    items, tables = charts.items(shown, look.charts(names)), [overlaid.table(chart) for chart in shown]
    return {
        "overlaid": overlaid,
        "sweep": overlaid.sweep,
        "runs": runs,
        "results": sweeps.results(runs),
        "differing": sweeps.differing(runs),
        "has_band": has_band,
        "look": look,
        "charts": list(zip(shown, items, tables, strict=True)),
        "kind_label": runs[0].get_kind_display(),
    }
