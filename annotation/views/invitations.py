"""/projects/<slug>/invitations/ : links into a project, for its admins; /invitations/<token>/ : where one leads."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any

from django.contrib import messages
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import actions
from annotation.accounts import INVITED
from annotation.forms.account import InvitationForm
from annotation.models import Invitation, Role
from annotation.views.access import PersonRequest, person_required, project_for

logger = logging.getLogger(__name__)

SHOWN = 100
"""How many invitations the page lists, the newest first."""


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def invitations(request: PersonRequest, slug: str) -> HttpResponse:
    """The link is in the answer to the form and nowhere else: reloading the list does not show it again."""
    project = project_for(request, slug, role=Role.ADMIN)
    form = InvitationForm(request.POST or None)
    context: dict[str, Any] = {"project": project, "role": Role.ADMIN, "form": form}
    if form.is_valid():
        invited = actions.invite(project, by=request.user, **form.cleaned_data)
        context["link"] = request.build_absolute_uri(reverse("annotation:invitation", args=[invited.token]))
        context["sent_to"] = send(request, invited.invitation, context["link"])
        context["form"] = InvitationForm()
    context["invitations"] = project.invitations.select_related("created_by")[:SHOWN]
    return render(request, "annotation/invitations.html", context, status=422 if form.errors else 200)


def send(request: PersonRequest, invitation: Invitation, link: str) -> str:
    """Mail the link; returns the address it went to, empty when there is none or the mail could not be sent."""
    if not invitation.email:
        return ""
    values = {"project": invitation.project, "role": invitation.get_role_display(), "name": request.user, "link": link}
    subject = _("[Plumbline] You are invited to %(project)s") % values
    text = _(
        "%(name)s invites you to %(project)s as %(role)s. Follow this link to join:\n\n%(link)s\n\n"
        "It works for a while only. If you do not know what this is about, do nothing."
    )
    try:
        send_mail(" ".join(subject.split()), text % values, None, [invitation.email])
    except (OSError, SMTPException):
        logger.exception("an invitation could not be mailed")
        messages.error(request, _("The mail could not be sent: hand the link over yourself."))
        return ""
    return invitation.email


@person_required
@require_POST
def invitation_revoke(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    actions.revoke_invitation(get_object_or_404(project.invitations, pk=pk), by=request.user)
    messages.success(request, _("The invitation is taken back: its link leads nowhere now."))
    return redirect("annotation:invitations", slug)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Who is logged in joins with one button; who is not logs in or signs up first, and comes back here."""
    found = Invitation.objects.usable().of_token(token).select_related("project", "created_by").first()
    if found is None:
        return render(request, "annotation/invitation_gone.html", status=410)
    if not request.user.is_authenticated:
        request.session[INVITED] = token  # opens the sign-up page to this browser
        back = {"next": request.path} | ({"email": found.email} if found.email else {})
        context = {"invitation": found, "query": urlencode(back), "next": urlencode({"next": request.path})}
        return render(request, "annotation/invitation.html", context)
    if request.method == "POST":
        try:
            membership = actions.accept_invitation(token, by=request.user)
        except ValueError as error:
            messages.error(request, str(error))
            return redirect("annotation:home")
        request.session.pop(INVITED, None)
        sentence = _("Welcome: you are %(role)s in %(project)s.")
        messages.success(request, sentence % {"role": membership.get_role_display(), "project": found.project})
        return redirect("annotation:project", found.project.slug)
    return render(request, "annotation/invitation.html", {"invitation": found})
