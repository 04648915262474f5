"""The guidelines of a project: everybody in it reads them, an admin publishes the next version."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation import actions
from annotation.forms import GuidelinesForm
from annotation.models import Membership, Role
from annotation.views.access import PersonRequest, person_required, project_for
from annotation.views.task_page import go_on
from annotation.wording import changes


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def guidelines(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN if request.method == "POST" else Role.ANNOTATOR)
    current = project.current_guidelines
    role = project.role_of(request.user)
    form = None
    if role == Role.ADMIN:
        form = GuidelinesForm(request.POST or None, initial={"text": current.text if current else ""})
        if form.is_valid():
            published = actions.publish_guidelines(project, text=form.cleaned_data["text"], by=request.user)
            messages.success(request, _("Version %(version)d is what people see now.") % {"version": published.version})
            return redirect("annotation:guidelines", slug)
    template = "annotation/_guidelines.html" if request.htmx else "annotation/guidelines.html"
    context = {"project": project, "role": role, "guidelines": current, "form": form}
    return render(request, template, context, status=422 if form and form.errors else 200)


@person_required
@require_safe
def guidelines_versions(request: PersonRequest, slug: str) -> HttpResponse:
    """Any two versions: what the newer one changed, and its text. Without a choice, the last change."""
    project = project_for(request, slug)
    versions = list(project.guidelines.order_by("-version"))
    by_number = {str(each.version): each for each in versions}
    newer = by_number.get(request.GET.get("to", ""), versions[0] if versions else None)
    older = by_number.get(request.GET.get("from", ""), versions[min(1, len(versions) - 1)] if versions else None)
    context = {
        "project": project,
        "role": project.role_of(request.user),
        "versions": versions,
        "newer": newer,
        "older": older,
        "changes": changes(older.text, newer.text) if older and newer else [],
    }
    return render(request, "annotation/guidelines_versions.html", context)


@person_required
@require_POST
def guidelines_seen(request: PersonRequest, slug: str) -> HttpResponse:
    """The person has read that version: the next task comes. What is no version of these guidelines changes nothing."""
    project = project_for(request, slug)
    version = request.POST.get("version", "")
    if read := next((each for each in project.guidelines.all() if str(each.version) == version), None):
        Membership.objects.filter(user=request.user, project=project).update(seen_guidelines=read)
    return go_on(request, project)
