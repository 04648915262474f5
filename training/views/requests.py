"""What every view of this side knows of a request: who asks, and whether htmx does."""

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django_htmx.middleware import HtmxDetails

from annotation.models import Project, Role, User
from training.models import ModelVersion, Round, Run

LONGEST_NUMBER = 18
"""Digits that always fit into a row's id."""


class PersonRequest(HttpRequest):
    user: User  # every view here is behind login_required
    htmx: HtmxDetails


def asked_text(query: QueryDict, name: str) -> str:
    """What the address says under this name, empty when nothing; without NUL, which the database refuses to look up."""
    return query.get(name, "").replace("\0", "")


def asked_number(query: QueryDict, name: str) -> int | None:
    """The whole number that the address says under this name; None for anything else.

    isdigit() alone would let “²” through, and 5,000 digits, of which int() makes an error.
    """
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else None


def find_run(request: PersonRequest, pk: int, *, role: Role = Role.REVIEWER) -> Run:
    """404 for strangers; 403 for a member of the project below `role`."""
    runs = Run.objects.filter(project__in=Project.objects.visible_to(request.user)).with_origins()
    runs = runs.select_related("project", "version", "created_by")
    run = get_object_or_404(runs, pk=pk)
    run.project.require(request.user, role)
    return run


def find_version(request: PersonRequest, pk: int, *, role: Role = Role.REVIEWER) -> ModelVersion:
    """404 for strangers; 403 for a member of the project below `role`."""
    versions = ModelVersion.objects.filter(project__in=Project.objects.visible_to(request.user)).with_origins()
    versions = versions.select_related("project", "parent", "created_by")
    version = get_object_or_404(versions, pk=pk)
    version.project.require(request.user, role)
    return version


def find_round(request: PersonRequest, pk: int) -> Round:
    """404 for strangers; 403 for a member of the project below a reviewer."""
    rounds = Round.objects.filter(project__in=Project.objects.visible_to(request.user)).with_versions()
    found = get_object_or_404(rounds, pk=pk)
    found.project.require(request.user, Role.REVIEWER)
    return found


def find_project(request: PersonRequest, slug: str, *, role: Role = Role.REVIEWER) -> Project:
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    project.require(request.user, role)
    return project


def poll(request: PersonRequest, template: str, context: dict[str, Any], *, state: str, is_over: bool) -> HttpResponse:
    """The answer to a page that asks every two seconds: the fragment, or nothing (204) while it shows `state` already.

    286 tells htmx that nothing will change any more, and to stop asking.
    """
    if request.GET.get("seen") == state and not is_over:
        return HttpResponse(status=204)
    return render(request, template, {**context, "state": state}, status=286 if is_over else 200)
