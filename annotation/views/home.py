"""/ : my projects, what waits in each, and how far I am today."""

from typing import Any, NamedTuple

from django.db.models import Count, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from annotation.models import Judgment, Membership, Project, Role, User
from annotation.views.access import PersonRequest, person_required
from annotation.waiting import Waiting, waiting


class ProjectRow(NamedTuple):
    project: Project
    role: Role
    waiting: Waiting
    num_today: int
    num_judged: int


@person_required
@require_safe
def home(request: PersonRequest) -> HttpResponse:
    rows = rows_of(request.user)
    paused = Project.objects.filter(memberships__user=request.user, memberships__is_paused=True).order_by("name")
    may_create = request.user.has_perm("annotation.add_project")
    return render(request, "annotation/home.html", {"rows": rows, "paused": paused, "may_create": may_create})


def rows_of(user: User) -> list[ProjectRow]:
    """Three queries, however many projects. Those with work come first."""
    memberships = Membership.objects.filter(user=user, is_paused=False).select_related("project")
    projects = [membership.project for membership in memberships]
    own = Judgment.objects.counted().of(user)
    waits = waiting(user, projects)
    judged = by_project(own, "task__project")
    today = timezone.localdate()
    rows = [
        ProjectRow(
            membership.project,
            Role(membership.role),
            waits[membership.project_id],
            membership.num_today if membership.worked_on == today else 0,
            judged.get(membership.project_id, 0),
        )
        for membership in memberships
    ]
    return sorted(rows, key=lambda row: (row.waiting.num == 0, row.project.name))


def by_project(rows: QuerySet[Any], field: str) -> dict[int, int]:
    return dict(rows.order_by().values_list(field).annotate(num=Count("pk")))
