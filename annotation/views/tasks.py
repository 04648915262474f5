"""/projects/<slug>/tasks/ : every question of a project, filtered, and changed many at once. For admins."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from annotation.actions.tasks import change_tasks
from annotation.forms import TaskChangeForm, TaskFilterForm
from annotation.models import Project, Prompt, Role, Task
from annotation.progress import Work, telling
from annotation.views.access import PersonRequest, person_required, project_for

PAGE_SIZE = 50


@person_required
@require_safe
def tasks(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    return show(request, project, TaskChangeForm())


@person_required
@require_POST
def tasks_change(request: PersonRequest, slug: str) -> HttpResponse:
    """The filters are those of the list, in the address; so all that match are those the person saw."""
    project = project_for(request, slug, role=Role.ADMIN)
    form = TaskChangeForm(request.POST)
    if not form.is_valid():
        return show(request, project, form, status=422)
    chosen = listed(project, TaskFilterForm(request.GET, project=project))
    if not form.cleaned_data["all"]:
        chosen = project.tasks.filter(pk__in=form.cleaned_data["task"])
    with telling(Work.TASKS, request.user) as told:
        num = change_tasks(chosen, project=project, by=request.user, telling=told, **form.changes())
    sentence = ngettext("%(num)d task is changed.", "%(num)d tasks are changed.", num) % {"num": num}
    messages.success(request, sentence) if num else messages.warning(request, _("No task was changed."))
    return redirect(f"{reverse('annotation:tasks', args=[slug])}?{request.GET.urlencode()}")


def show(request: PersonRequest, project: Project, form: TaskChangeForm, *, status: int = 200) -> HttpResponse:
    filters = TaskFilterForm(request.GET, project=project)
    page = Paginator(listed(project, filters), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "role": Role.ADMIN,
        "form": form,
        "filters": filters,
        "is_filtering": filters.is_filtering(),
        "page": page,
    }
    template = "annotation/tasks.html"
    if request.htmx:
        template += "#list"
    return render(request, template, context, status=status)


def listed(project: Project, filters: TaskFilterForm) -> QuerySet[Task]:
    """The tasks the filters let through; a filter that makes no sense is left out."""
    filters.is_valid()
    chosen = filters.cleaned_data
    rows = project.tasks.select_related("prompt", "response_a", "response_b", "reserved_for")
    rows = rows.prefetch_related("candidates__response")
    if chosen.get("state"):
        rows = {"open": rows.open, "done": rows.done, "withdrawn": rows.withdrawn}[chosen["state"]]()
    if chosen.get("kind"):
        rows = rows.filter(kind=chosen["kind"])
    if chosen.get("purpose"):
        rows = rows.filter(control="" if chosen["purpose"] == "question" else chosen["purpose"])
    if chosen.get("making"):
        rows = rows.filter(making=chosen["making"])
    if chosen.get("search"):
        asked = Prompt.objects.filter(project=project).annotate(text=Cast("messages", TextField()))
        rows = rows.filter(prompt__in=asked.filter(text__icontains=chosen["search"]).values("pk"))
    return rows.order_by(chosen["order"], "id") if chosen.get("order") else rows.order_by("-priority", "id")
