"""/projects/<slug>/tasks/new/ : tasks of the answers that are there: first a preview with counts, then the making."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from annotation.actions.tasks import make_tasks
from annotation.forms import NewTasksForm
from annotation.models import Role
from annotation.pairing import count
from annotation.progress import Work, telling
from annotation.views.access import PersonRequest, person_required, project_for


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def tasks_new(request: PersonRequest, slug: str) -> HttpResponse:
    """GET with values is the preview; POST makes what the preview counted."""
    project = project_for(request, slug, role=Role.ADMIN)
    data = request.POST if request.method == "POST" else request.GET
    form = NewTasksForm(data if "what" in data or request.method == "POST" else None, project=project)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        with telling(Work.TASKS, request.user) as told:
            making = make_tasks(
                project, form.asked(), by=request.user, telling=told,
                overlap=values["overlap"], priority=values["priority"],
            )  # fmt: skip
        if making is None:
            form.add_error(None, _("Nothing new: all of this was asked already, or there are no such answers."))
        else:
            sentence = ngettext("%(num)d task is new.", "%(num)d tasks are new.", making.num_tasks)
            messages.success(request, sentence % {"num": making.num_tasks})
            return redirect(f"{reverse('annotation:tasks', args=[slug])}?making={making.pk}")
    counts = count(project, form.asked()) if form.is_bound and form.is_valid() else None
    context = {"project": project, "role": Role.ADMIN, "form": form, "counts": counts}
    template = "annotation/tasks_new.html"
    if request.htmx and request.method != "POST":
        template += "#preview"
    return render(request, template, context, status=422 if request.method == "POST" else 200)
