"""/projects/<slug>/people/<pk>/ : how one person works, and their labels out of the count and back. For admins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from django.contrib import messages
from django.db.models import Count, Sum
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from annotation import actions
from annotation.agreement.shares import Share
from annotation.awaited import Awaited
from annotation.forms import VoidForm
from annotation.models import Assignment, Membership, Project, Role, Voiding
from annotation.progress import Work, telling
from annotation.quality import Closely, Figure, Person, Week, closely, nobody, people_of
from annotation.spreadsheets import csv_file
from annotation.views.access import PersonRequest, person_required, project_for
from annotation.votes import fingerprint

WIDTH, HEIGHT = 100, 60


class FigureRow(NamedTuple):
    """One figure of a person, beside that of everybody of their kind."""

    figure: Figure
    share: Share
    everybody: Share


class Bar(NamedTuple):
    """A week's labels, in units of the drawing."""

    week: Week
    x: float
    y: float
    width: float
    height: float


@person_required
@require_safe
def person(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    membership = member(project, pk)
    return render(request, "annotation/person.html", page_of(request, project, membership, VoidForm()))


@person_required
@require_POST
def void(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    """First asked, it says how many labels it would be; sent again as sure, it takes them out of the count."""
    project = project_for(request, slug, role=Role.ADMIN)
    membership = member(project, pk)
    form = VoidForm(request.POST)
    if not form.is_valid():
        return render(request, "annotation/person.html", page_of(request, project, membership, form), status=422)
    num = actions.voidable(project, annotator=membership.user, **form.period).count()
    if num and not form.cleaned_data["is_sure"]:
        context = {"project": project, "role": Role.ADMIN, "membership": membership, "form": form, "num": num}
        return render(request, "annotation/person_void.html", context)
    try:
        with telling(Work.VOIDING, request.user) as told:
            voiding = actions.void_judgments(
                project, annotator=membership.user, by=request.user, telling=told,
                reason=form.cleaned_data["reason"], **form.period,
            )  # fmt: skip
    except ValueError as error:
        form.add_error(None, str(error))
        return render(request, "annotation/person.html", page_of(request, project, membership, form), status=422)
    num = voiding.judgments.count()
    sentence = ngettext("%(num)d label counts no more.", "%(num)d labels count no more.", num)
    messages.success(request, sentence % {"num": num})
    return redirect("annotation:person", slug, pk)


@person_required
@require_POST
def restore(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    voiding = get_object_or_404(project.voidings.select_related("project", "annotator"), pk=pk)
    with telling(Work.VOIDING, request.user) as told:
        restored = actions.restore(voiding, by=request.user, telling=told)
    sentence = ngettext("%(num)d label counts again.", "%(num)d labels count again.", restored.num_restored)
    messages.success(request, sentence % {"num": restored.num_restored})
    if restored.num_left:
        sentence = ngettext(
            "%(num)d label stays out of the count: others have judged, or hold, its task in the meantime.",
            "%(num)d labels stay out of the count: others have judged, or hold, their tasks in the meantime.",
            restored.num_left,
        )
        messages.warning(request, sentence % {"num": restored.num_left})
    membership = project.memberships.filter(user=voiding.annotator).first()
    if membership is None:
        return redirect("annotation:people", slug)
    return redirect("annotation:person", slug, membership.pk)


@person_required
@require_safe
def people_csv(request: PersonRequest, slug: str) -> StreamingHttpResponse:
    """Every member's figures, each share with its interval and its trials."""
    project = project_for(request, slug, role=Role.ADMIN)
    head = ["name", "role", "simulated", "paused", "labels", "voided", "active_seconds"]
    head += [f"labels_per_active_hour{part}" for part in ("", "_low", "_high")]
    head += ["skips", "flagged", "last_label"]
    head += [f"{figure.value}{part}" for figure in Figure for part in ("", "_low", "_high", "_n")]
    rows = []
    for membership, work in members_with(project, work_of(project).get()):
        values: list[object] = [
            *(membership.user.username, Role(membership.role).name.lower()),
            *(membership.user.is_simulated, membership.is_paused),
            *(work.num_labels, work.num_voided, work.active_seconds, *work.pace[:3], work.num_skips, work.num_flagged),
            work.last_label and work.last_label.isoformat(timespec="seconds"),
        ]
        for share in work.shares.values():
            values += [share.value, share.low, share.high, share.num]
        rows.append(values)
    return csv_file(f"{slug}-people.csv", head, rows)


def work_of(project: Project) -> Awaited[dict[int, Person]]:
    """Everybody's, by user id."""
    mark = (*fingerprint(project), *skip_mark(project))
    count = partial(people_of, project)
    return Awaited(part="work", key=(project.pk, *mark), count=count, num=mark[0])


def skip_mark(project: Project) -> tuple[int, int]:
    """Changes whenever somebody skips a task, or a skip is undone."""
    skipped = Assignment.objects.in_project(project).filter(status=Assignment.Status.SKIPPED)
    found = skipped.aggregate(num=Count("pk"), total=Sum("pk"))
    return found["num"], int(found["total"] or 0)


def members_with(project: Project, found: Mapping[int, Person]) -> list[tuple[Membership, Person]]:
    """Every member with their work: who labels most first."""
    members = project.memberships.select_related("user").order_by("user__username")
    rows = [(membership, found.get(membership.user_id) or nobody()) for membership in members]
    return sorted(rows, key=lambda row: -row[1].num_labels)


def member(project: Project, pk: int) -> Membership:
    return get_object_or_404(project.memberships.select_related("user"), pk=pk)


def page_of(request: PersonRequest, project: Project, membership: Membership, form: VoidForm) -> dict[str, Any]:
    user = membership.user
    mark = (*fingerprint(project), *skip_mark(project))
    count = partial(closely, project, user)
    found, waits = Awaited(part="closely", key=(project.pk, user.pk, *mark), count=count, num=mark[0]).on(request)
    return {
        "project": project,
        "role": Role.ADMIN,
        "membership": membership,
        "waits": waits,
        "work": found and found.work,
        "rows": rows_of(found) if found else [],
        "bars": bars_of(found.weeks) if found else [],
        "skips": skips_of(project, membership),
        "voidings": voidings_of(project, membership),
        "form": form,
    }


def rows_of(found: Closely) -> list[FigureRow]:
    return [FigureRow(figure, found.work.shares[figure], found.everybody[figure]) for figure in Figure]


def skips_of(project: Project, membership: Membership) -> list[tuple[str, int]]:
    """(reason, how often), the most frequent first."""
    skipped = Assignment.objects.in_project(project).of(membership.user).filter(status=Assignment.Status.SKIPPED)
    nums = skipped.values_list("skip_reason").annotate(num=Count("pk")).order_by("-num")
    return [(str(Assignment.SkipReason(reason).label), num) for reason, num in nums]


def voidings_of(project: Project, membership: Membership) -> Iterable[Voiding]:
    """With how many labels each still keeps out of the count."""
    rows = project.voidings.filter(annotator=membership.user).select_related("voided_by")
    return rows.annotate(num_voided=Count("judgments")).order_by("-created_at")


def bars_of(weeks: list[Week]) -> list[Bar]:
    most = max((week.num_labels for week in weeks), default=0) or 1
    step = WIDTH / max(len(weeks), 12)  # a few weeks are no broad blocks
    heights = [HEIGHT * week.num_labels / most for week in weeks]
    return [
        Bar(week, round(number * step, 2), round(HEIGHT - height, 2), round(step * 0.8, 2), round(height, 2))
        for number, (week, height) in enumerate(zip(weeks, heights, strict=True))
    ]
