"""/projects/<slug>/tasks/ : every question of a project, and new ones from the answers that are there. For admins."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from annotation.forms import NewTasksForm, TaskFilterForm
from annotation.intake import add_comparisons, add_ratings
from annotation.models import AuditEntry, Project, Role, Task, User, Verb
from annotation.pairing import Pairing, answers, pairs
from annotation.views.access import PersonRequest, person_required, project_for

PAGE_SIZE = 50


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def tasks(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = NewTasksForm(request.POST or None, project=project)
    if form.is_valid():
        try:
            num = create_tasks(project, form, by=request.user)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            say_created(request, num)
            return redirect("annotation:tasks", slug)
    filters = TaskFilterForm(request.GET)
    page = Paginator(listed(project, filters), PAGE_SIZE).get_page(request.GET.get("page"))
    template = "annotation/tasks.html"
    if request.htmx and request.method != "POST":
        template += "#list"
    context = {"project": project, "role": Role.ADMIN, "form": form, "filters": filters, "page": page}
    return render(request, template, context, status=422 if form.errors else 200)


def listed(project: Project, filters: TaskFilterForm) -> QuerySet[Task]:
    """The tasks the filters let through; a filter that makes no sense is left out."""
    filters.is_valid()
    chosen = filters.cleaned_data
    rows = project.tasks.select_related("prompt", "response_a", "response_b").order_by("-priority", "id")
    if chosen.get("state"):
        rows = {"open": rows.open, "done": rows.done, "withdrawn": rows.withdrawn}[chosen["state"]]()
    if chosen.get("kind"):
        rows = rows.filter(kind=chosen["kind"])
    if chosen.get("search"):
        rows = rows.annotate(asked=Cast("prompt__messages", TextField())).filter(asked__icontains=chosen["search"])
    return rows


@transaction.atomic
def create_tasks(project: Project, form: NewTasksForm, *, by: User) -> int:
    num = made(project, form)
    if num:
        what = form.cleaned_data["what"]
        AuditEntry.objects.record(Verb.TASKS_CREATED, by=by, project=project, subject=what, tasks=num)
    return num


def made(project: Project, form: NewTasksForm) -> int:
    values = form.cleaned_data
    how = {"overlap": values["overlap"], "priority": values["priority"]}
    if values["what"] == NewTasksForm.RATINGS:
        rated = answers(project)
        return len(add_ratings(project, rated.filter(source=values["source"]) if values["source"] else rated, **how))
    chosen = pairs(project, pairing=Pairing(values["what"]), source=values["source"], against=values["against"])
    return len(add_comparisons(project, chosen, **how))


def say_created(request: PersonRequest, num: int) -> None:
    if num:
        messages.success(request, ngettext("%(num)d task is new.", "%(num)d tasks are new.", num) % {"num": num})
    else:
        messages.warning(request, _("Nothing new: every such pair was asked already, or there are no such answers."))
