"""Who is asking, and with which rights: what every page of this side begins with."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails

from annotation.models import Project, Role, User


class PersonRequest(HttpRequest):
    """A request of somebody who is logged in."""

    user: User
    htmx: HtmxDetails


View = Callable[..., HttpResponse]


def person_required(view: View) -> View:
    """Send strangers to the login page, but never as the answer to a fragment: it would replace what they typed."""
    page = login_required(view)

    @wraps(view)
    def guarded(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.htmx and not request.user.is_authenticated:
            return HttpResponse(_("You are logged out. Log in again in another tab."), status=401)
        return page(request, *args, **kwargs)

    return guarded


def project_for(request: PersonRequest, slug: str, *, role: Role = Role.ANNOTATOR) -> Project:
    """404 for who is not in the project, 403 for a member without that role."""
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    if role > Role.ANNOTATOR:
        project.require(request.user, role)
    return project
