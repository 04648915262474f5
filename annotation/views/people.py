"""/projects/<slug>/people/ : who works here, in which role, and how much they did. For admins."""

from django.contrib import messages
from django.db.models import Count, Max, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotation import actions
from annotation.forms import MemberForm
from annotation.models import Membership, Project, Role
from annotation.views.access import PersonRequest, person_required, project_for
from annotation.views.person import members_with, work_of


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def people(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = MemberForm(request.POST or None, project=project)
    if form.is_valid():
        user, role = form.cleaned_data["username"], form.cleaned_data["role"]
        try:
            actions.add_member(project, user=user, role=role, by=request.user)
        except ValueError as error:
            form.add_error("role", str(error))
        else:
            messages.success(request, _("%(name)s is %(role)s here now.") % {"name": user, "role": Role(role).label})
            return redirect("annotation:people", slug)
    work, waits = work_of(project).on(request)
    context = {
        "project": project,
        "role": Role.ADMIN,
        "members": members_of(project),
        "waits": waits,
        "quality": members_with(project, work) if work is not None else [],
        "form": form,
        "roles": Role.choices,
    }
    return render(request, "annotation/people.html", context, status=422 if form.errors else 200)


@person_required
@require_POST
def member_pause(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    """Pause a member, or let them go on: a paused one sees nothing of the project."""
    project = project_for(request, slug, role=Role.ADMIN)
    membership = get_object_or_404(project.memberships.select_related("user"), pk=pk)
    if membership.user == request.user:
        messages.error(request, _("You cannot pause yourself: another admin can."))
    else:
        is_paused = request.POST.get("pause") == "1"
        if is_paused:
            actions.pause_member(membership, by=request.user)
        else:
            actions.add_member(project, user=membership.user, role=Role(membership.role), by=request.user)
        sentence = _("%(name)s is paused.") if is_paused else _("%(name)s may go on.")
        messages.success(request, sentence % {"name": membership.user})
    return redirect("annotation:people", slug)


@person_required
@require_POST
def member_remove(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    """An admin takes somebody out; everybody may leave by themself."""
    project = project_for(request, slug)
    membership = get_object_or_404(project.memberships.select_related("user", "project"), pk=pk)
    is_leaving = membership.user == request.user
    if not is_leaving:
        project.require(request.user, Role.ADMIN)
    try:
        actions.remove_member(membership, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("annotation:people", slug)
    sentence = _("You have left %(project)s.") if is_leaving else _("%(name)s is no longer a member of %(project)s.")
    messages.success(request, sentence % {"name": membership.user, "project": project})
    return redirect("annotation:home") if is_leaving else redirect("annotation:people", slug)


def members_of(project: Project) -> list[Membership]:
    """With how many of their judgments count here, and when the newest came."""
    counted = Q(user__judgments__task__project=project, user__judgments__is_current=True)
    rows = project.memberships.select_related("user").annotate(
        num_judged=Count("user__judgments", filter=counted),
        last_judged=Max("user__judgments__created_at", filter=counted),
    )
    return list(rows.order_by("-role", "user__username"))
