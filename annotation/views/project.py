"""/projects/<slug>/ : how a project stands. Annotators see their own part only; reviewers and admins see it whole."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, NamedTuple

from django.contrib.auth.decorators import permission_required
from django.core.cache import cache
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_safe

from annotation import actions
from annotation.agreement import Estimate, Reason, Share, agreement
from annotation.awaited import Awaited
from annotation.days import start_of_day
from annotation.forms import ProjectForm
from annotation.models import Assignment, Judgment, Project, Role, User
from annotation.progress import Telling
from annotation.quality import Figure, whole_of
from annotation.quality.people import LOOKING
from annotation.views.access import PersonRequest, person_required, project_for
from annotation.votes import Voters, Which, comparisons, fingerprint
from annotation.waiting import waiting

KEPT_SECONDS = 60
"""Of the overview of a large project."""
READING = 80
"""Steps of reading what people said, beside those of looking at each person's trials."""
BY_PERSON = Q(annotator__is_simulated=False)
MANY = 20_000
"""Tasks of a project beyond which its overview is counted once in KEPT_SECONDS; the page says when."""
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


class Quality(NamedTuple):
    """How well a project's people judge, all together."""

    is_simulated: bool
    alpha: Estimate
    """Krippendorff's nominal alpha of the comparisons."""
    shares: dict[Figure, Share]

    @property
    def why_no_interval(self) -> str:
        return str(Reason(self.alpha.reason).label) if self.alpha.reason in Reason.values else ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overview:
    num_labels: int
    num_simulated: int
    num_today: int
    num_simulated_today: int
    num_people: int
    num_at_work: int
    """Who has judged within the hour, or holds a task now."""
    num_tasks: int
    num_open: int
    num_done: int
    num_skipped: int
    bars: list[Bar]
    counted_at: datetime.datetime
    is_kept: bool
    """Whether these may be the figures of a moment ago."""


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
        "waiting": waiting(request.user, [found])[found.pk],
        "own": own.aggregate(
            num=Count("pk"),
            today=Count("pk", filter=Q(created_at__gte=start_of_day())),
            week=Count("pk", filter=Q(created_at__gte=start_of_day(6))),
            seconds=Sum("active_seconds"),
        ),
    }
    if role is not None and role >= Role.REVIEWER:
        context["overview"] = kept_overview(found)
        context["has_prompts"] = found.prompts.exists()
    return render(request, "annotation/project.html", context)


@person_required
@require_safe
def project_quality(request: PersonRequest, slug: str) -> HttpResponse:
    """How well people judge, for the overview, which asks for it when it is there: much of it is computed anew."""
    found = project_for(request, slug, role=Role.REVIEWER)
    mark = fingerprint(found)
    awaited = Awaited(part="quality", key=(found.pk, *mark), count=lambda told: quality_of(found, told), num=mark[0])
    quality, waits = awaited.on(request)
    context = {"project": found, "role": found.role_of(request.user), "quality": quality, "waits": waits}
    return render(request, "annotation/project_quality.html" + ("#figures" if request.htmx else ""), context)


def quality_of(found: Project, told: Telling) -> Quality:
    """Of people, or where none has judged yet, of simulated annotators. Few queries; seconds for 100,000 labels."""
    told.expect(READING + LOOKING)
    people = Judgment.objects.counted().in_project(found).filter(BY_PERSON).exists()
    by = Voters.PEOPLE if people else Voters.SIMULATED
    alpha = agreement(comparisons(found, Which(by=by), told=told, steps=READING)).nominal
    return Quality(not people, alpha, whole_of(found, told)[not people])


def kept_overview(found: Project) -> Overview:
    """Every task and label is looked at, so where there are many, the figures of a moment ago will do."""
    if not found.tasks.order_by()[MANY : MANY + 1].exists():
        return overview_of(found)
    kept: Overview | None = cache.get(key := f"overview-{found.pk}")
    if kept is None:
        kept = overview_of(found, is_kept=True)
        cache.set(key, kept, KEPT_SECONDS)
    return kept


def overview_of(found: Project, *, is_kept: bool = False) -> Overview:
    """Five queries."""
    counted = Judgment.objects.counted().in_project(found)
    by_program, is_today = Q(annotator__is_simulated=True), Q(created_at__gte=start_of_day())
    labels = counted.aggregate(
        num=Count("pk"),
        simulated=Count("pk", filter=by_program),
        today=Count("pk", filter=is_today),
        simulated_today=Count("pk", filter=is_today & by_program),
        people=Count("annotator", filter=~by_program, distinct=True),
    )
    tasks = found.tasks.counts()
    return Overview(
        num_labels=labels["num"],
        num_simulated=labels["simulated"],
        num_today=labels["today"],
        num_simulated_today=labels["simulated_today"],
        num_people=labels["people"],
        num_at_work=at_work_in(found),
        num_tasks=tasks["all"],
        num_open=tasks["open"],
        num_done=tasks["done"],
        num_skipped=Assignment.objects.in_project(found).filter(status=Assignment.Status.SKIPPED).count(),
        bars=bars_of(found),
        counted_at=timezone.now(),
        is_kept=is_kept,
    )


def at_work_in(found: Project) -> int:
    """People who have judged within the hour, or hold a task now."""
    hour_ago = timezone.now() - datetime.timedelta(hours=1)
    judging = Judgment.objects.in_project(found).since(hour_ago).values("annotator")
    holding = Assignment.objects.live().in_project(found).values("annotator")
    members = found.memberships.filter(user__is_simulated=False)
    return members.filter(Q(user__in=judging) | Q(user__in=holding)).count()


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
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("annotation.add_project", raise_exception=True)
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
        actions.add_criterion(created, key=key, name=name, low_anchor=low, high_anchor=high, by=by)
    return created
