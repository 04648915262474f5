"""Who is asking, and with which rights: what every page of this side begins with."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails

from annotation.models import Project, Role, User


class PersonRequest(HttpRequest):
    """A request of somebody who is logged in."""

    user: User
    htmx: HtmxDetails


View = Callable[..., HttpResponseBase]


def person_required(view: View) -> View:
    """Send strangers to the login page, but never as the answer to a fragment: it would replace what they typed."""
    page = login_required(view)

    @wraps(view)
    def guarded(request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.htmx and not request.user.is_authenticated:
            return HttpResponse(_("You are logged out. Log in again in another tab."), status=401)
        # A page stays open while somebody else logs in in another tab: what the first person sent is not the second's.
        sender = request.headers.get("Plumbline-Person")
        if sender is not None and sender != str(request.user.pk):
            return HttpResponse(_("Somebody else is logged in here. Log in again in another tab."), status=409)
        return page(request, *args, **kwargs)

    return guarded


def project_for(request: PersonRequest, slug: str, *, role: Role = Role.ANNOTATOR) -> Project:
    """404 for who is not in the project, 403 for a member without that role, or who is paused."""
    project = Project.objects.visible_to(request.user).filter(slug=slug).first()
    if project is None:
        refuse_paused(request.user, Project.objects.filter(slug=slug))
        raise Http404
    if role > Role.ANNOTATOR:
        project.require(request.user, role)
    return project


def refuse_paused(user: User, projects: QuerySet[Project]) -> None:
    """403 with a sentence for who is paused in one of these projects: they know it, and an open tab must say why."""
    paused = projects.filter(memberships__user=user, memberships__is_paused=True).first()
    if paused is not None:
        raise PermissionDenied(
            _("You are paused in %(project)s. Ask one of its admins. What you judged so far still counts.")
            % {"project": paused.name}
        )
