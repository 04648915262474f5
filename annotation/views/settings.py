"""/projects/<slug>/settings/ : what an admin may change of a project while people are at work."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotation.forms.settings import SettingsForm
from annotation.models import AuditEntry, Project, Role, User, Verb
from annotation.views.access import PersonRequest, person_required, project_for


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = SettingsForm(request.POST or None, instance=project)
    if form.is_valid():
        keep(form, project, by=request.user)
        messages.success(request, _("The settings are kept."))
        return redirect("annotation:settings", slug)
    context = {"project": project, "role": Role.ADMIN, "form": form}
    return render(request, "annotation/settings.html", context, status=422 if form.errors else 200)


@transaction.atomic
def keep(form: SettingsForm, project: Project, *, by: User) -> None:
    if form.changed_data:
        project.save(update_fields=form.changed_data)
        AuditEntry.objects.record(Verb.PROJECT_CHANGED, by=by, project=project, changed=form.changed_data)
