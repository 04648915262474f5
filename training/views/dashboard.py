"""The loop at a glance: each step with its newest state and its curve, and what to do next."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.models import Project, Role
from training.loop import Loop
from training.views.requests import PersonRequest, asked_text, find_project, poll


@login_required
@require_safe
def dashboard(request: PersonRequest) -> HttpResponse:
    projects = list(Project.objects.with_role(request.user, Role.REVIEWER))
    slug = asked_text(request.GET, "project")
    if not slug and not projects:
        return render(request, "training/dashboard.html", {"projects": []})
    project = find_project(request, slug) if slug else projects[0]
    loop = Loop(project)
    context = {
        "projects": projects,
        "project": project,
        "loop": loop,
        "state": loop.state,
        "can_change": project.role_of(request.user) == Role.ADMIN,
    }
    if request.htmx:
        return poll(request, "training/dashboard.html#loop", context, state=loop.state, is_over=not loop.is_moving)
    return render(request, "training/dashboard.html", context)
