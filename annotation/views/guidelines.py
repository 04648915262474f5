"""The guidelines of a project: everybody in it reads them, an admin publishes the next version."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotation import actions
from annotation.forms import GuidelinesForm
from annotation.models import Role
from annotation.views.access import PersonRequest, person_required, project_for


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
