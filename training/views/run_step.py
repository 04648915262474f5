"""One step of a run: what a point of its curves stands for, and where it comes from."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from training import reports, spreads
from training.models import Metric, Snapshot
from training.views.requests import PersonRequest, find_run


@login_required
@require_safe
def run_step(request: PersonRequest, pk: int, step: int) -> HttpResponse:
    """All it measured, the answers to the fixed prompts as they were then, and the snapshots behind it."""
    run = find_run(request, pk)
    rows = Metric.objects.filter(run=run)
    point = rows.filter(step=step).first()
    if point is None:
        raise Http404(_("This run measured nothing at this step."))
    samples = run.samples.filter(step__lte=step)
    sampled_at = samples.order_by("-step").values_list("step", flat=True).first()
    counted = (point.spreads or {}).get(spreads.REWARD)
    context = {
        "run": run,
        "point": point,
        "figures": reports.measured(point.values),
        "rewards": spreads.over_common_bins([([step], [counted])]) if counted else [],
        "samples": samples.filter(step=sampled_at).order_by("prompt_id") if sampled_at is not None else [],
        "sampled_at": sampled_at,
        "before": rows.filter(step__lt=step).order_by("-step").values_list("step", flat=True).first(),
        "after": rows.filter(step__gt=step).order_by("step").values_list("step", flat=True).first(),
        "snapshots": Snapshot.objects.behind(run),
    }
    return render(request, "training/run_step.html", context)
