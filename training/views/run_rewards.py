"""How the rewards of a run's answers are spread, in numbers: as a table, and as a file of all steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from training import spreads
from training.models import Metric, Run
from training.views.requests import PersonRequest, find_run


@login_required
@require_safe
def run_rewards(request: PersonRequest, pk: int) -> HttpResponse:
    """Answers by reward, for at most twenty steps."""
    run = find_run(request, pk)
    panels = spreads.table(run) or spreads.of_summary(run)
    rows = [
        (bins[0].range, [each.count for each in bins]) for bins in zip(*(panel.bins for panel in panels), strict=True)
    ]
    template = "training/run_rewards.html" + ("#table" if request.htmx else "")
    return render(request, template, {"run": run, "panels": panels, "rows": rows})


@login_required
@require_safe
def run_rewards_csv(request: PersonRequest, pk: int) -> StreamingHttpResponse:
    """A line a step and bin that holds any answer."""
    run = find_run(request, pk)
    response = StreamingHttpResponse(_csv_lines(run), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{run.pk}-rewards.csv"'
    return response


def _csv_lines(run: Run) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(["step", "low", "high", "answers"])
    rows = Metric.objects.filter(run=run, spreads__has_key=spreads.REWARD).order_by("step")
    counted = rows.values_list("step", f"spreads__{spreads.REWARD}").iterator()
    measured = run.summary.get("reward/spread")
    for step, each in [(0, measured)] if measured else counted:
        for place, count in enumerate(each["counts"], start=each["first"]):
            if count:
                writer.writerow([step, place * each["width"], (place + 1) * each["width"], count])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()
