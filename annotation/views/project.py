"""/projects/<slug>/ : how a project stands. Annotators see their own part only; reviewers and admins see it whole."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, NamedTuple

from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_safe

from annotation import actions
from annotation.forms import ProjectForm
from annotation.models import Assignment, Judgment, Project, Role, Task, User
from annotation.views.access import PersonRequest, person_required, project_for

NUM_DAYS = 14
BAR_HEIGHT = 60


class Bar(NamedTuple):
    """One day of the chart, in units of its viewBox: people's labels below, simulated ones on top of them."""

    day: datetime.date
    num: int
    num_simulated: int
    x: int
    y: float
    height: float
    y_simulated: float
    height_simulated: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overview:
    num_labels: int
    num_simulated: int
    num_today: int
    num_simulated_today: int
    num_people: int
    num_at_work: int
    num_tasks: int
    num_open: int
    num_done: int
    num_skipped: int
    bars: list[Bar]


@person_required
@require_safe
def project(request: PersonRequest, slug: str) -> HttpResponse:
    found = project_for(request, slug)
    role = found.role_of(request.user)
    own = Judgment.objects.counted().of(request.user).in_project(found)
    context: dict[str, Any] = {
        "project": found,
        "role": role,
        "guidelines": found.current_guidelines,
        "num_waiting": Task.objects.waiting_for(request.user).filter(project=found).count(),
        "num_own": own.count(),
        "num_own_today": own.since(start_of_day(0)).count(),
    }
    if role is not None and role >= Role.REVIEWER:
        context["overview"] = overview_of(found)
        context["has_prompts"] = found.prompts.exists()
    return render(request, "annotation/project.html", context)


def start_of_day(days_ago: int) -> datetime.datetime:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - datetime.timedelta(days=days_ago)


def overview_of(found: Project) -> Overview:
    """Four queries."""
    hour_ago = timezone.now() - datetime.timedelta(hours=1)
    counted = Judgment.objects.counted().in_project(found)
    by_program, is_today = Q(annotator__is_simulated=True), Q(created_at__gte=start_of_day(0))
    labels = counted.aggregate(
        num=Count("pk"),
        simulated=Count("pk", filter=by_program),
        today=Count("pk", filter=is_today),
        simulated_today=Count("pk", filter=is_today & by_program),
        people=Count("annotator", filter=~by_program, distinct=True),
        at_work=Count("annotator", filter=Q(created_at__gte=hour_ago) & ~by_program, distinct=True),
    )
    tasks = found.tasks.counts()
    return Overview(
        num_labels=labels["num"],
        num_simulated=labels["simulated"],
        num_today=labels["today"],
        num_simulated_today=labels["simulated_today"],
        num_people=labels["people"],
        num_at_work=labels["at_work"],
        num_tasks=tasks["all"],
        num_open=tasks["open"],
        num_done=tasks["done"],
        num_skipped=Assignment.objects.in_project(found).filter(status=Assignment.Status.SKIPPED).count(),
        bars=bars_of(found),
    )


def bars_of(found: Project) -> list[Bar]:
    rows = (
        Judgment.objects.counted()
        .in_project(found)
        .since(start_of_day(NUM_DAYS - 1))
        .order_by()
        .values_list(TruncDate("created_at"))
        .annotate(num=Count("pk"), simulated=Count("pk", filter=Q(annotator__is_simulated=True)))
    )
    by_day = {day: (num, simulated) for day, num, simulated in rows}
    most = max((num for num, _simulated in by_day.values()), default=0) or 1
    bars = []
    for index in range(NUM_DAYS):
        day = start_of_day(NUM_DAYS - 1 - index).date()
        num, simulated = by_day.get(day, (0, 0))
        height, height_simulated = ((num - simulated) * BAR_HEIGHT / most, simulated * BAR_HEIGHT / most)
        y = BAR_HEIGHT - height
        bars.append(Bar(day, num, simulated, index * 10, y, height, y - height_simulated, height_simulated))
    return bars


@person_required
@permission_required("annotation.add_project", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def project_new(request: PersonRequest) -> HttpResponse:
    form = ProjectForm(request.POST or None)
    if form.is_valid():
        try:
            created = create(form, by=request.user)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            return redirect("annotation:project", created.slug)
    return render(request, "annotation/project_new.html", {"form": form}, status=422 if form.errors else 200)


@transaction.atomic
def create(form: ProjectForm, *, by: User) -> Project:
    values = dict(form.cleaned_data)
    criteria = values.pop("criteria")
    created = actions.create_project(values.pop("name"), by=by, **values)
    for number, (name, low, high) in enumerate(criteria, start=1):
        key = slugify(name)[:50] or f"criterion-{number}"
        actions.add_criterion(created, key=key, name=name, low_anchor=low, high_anchor=high)
    return created
