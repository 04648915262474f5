"""/projects/<slug>/settings/ : what an admin may change of a project while people are at work, its criteria too."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotation import actions
from annotation.forms.criteria import CriterionForm, NewCriterionForm
from annotation.forms.settings import SettingsForm
from annotation.models import Criterion, Project, Role
from annotation.views.access import PersonRequest, person_required, project_for


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = SettingsForm(request.POST or None, instance=project)
    if form.is_valid():
        actions.change_project(project, by=request.user, **{name: form.cleaned_data[name] for name in form.fields})
        messages.success(request, _("The settings are kept."))
        return redirect("annotation:settings", slug)
    return show(request, project_for(request, slug, role=Role.ADMIN), form=form)


@person_required
@require_POST
def criterion_new(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = NewCriterionForm(request.POST, auto_id="id_criterion_%s")
    if form.is_valid():
        try:
            added = actions.add_criterion(project, by=request.user, **form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("People rate by “%(name)s” from now on.") % {"name": added})
            return redirect("annotation:settings", slug)
    return show(request, project, new_form=form)


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def criterion(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    found = get_object_or_404(project.criteria, pk=pk)
    order = list(project.criteria.values_list("pk", flat=True))
    form = CriterionForm(request.POST or None, instance=found, place=order.index(pk) + 1, places=len(order))
    if form.is_valid():
        try:
            actions.change_criterion(found, by=request.user, **form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The criterion is kept."))
            return redirect("annotation:settings", slug)
    context = {
        "project": project,
        "role": Role.ADMIN,
        "criterion": get_object_or_404(project.criteria, pk=pk),
        "form": form,
        "is_used": actions.is_used(found),
    }
    return render(request, "annotation/criterion.html", context, status=422 if form.errors else 200)


@person_required
@require_POST
def criterion_remove(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    found: Criterion = get_object_or_404(project.criteria, pk=pk)
    try:
        actions.remove_criterion(found, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("“%(name)s” is removed.") % {"name": found})
    return redirect("annotation:settings", slug)


def show(
    request: PersonRequest,
    project: Project,
    *,
    form: SettingsForm | None = None,
    new_form: NewCriterionForm | None = None,
) -> HttpResponse:
    forms = (form or SettingsForm(instance=project), new_form or NewCriterionForm(auto_id="id_criterion_%s"))
    context = {
        "project": project,
        "role": Role.ADMIN,
        "form": forms[0],
        "new_form": forms[1],
        "criteria": project.criteria.all(),
    }
    is_wrong = any(form.errors for form in forms)
    return render(request, "annotation/settings.html", context, status=422 if is_wrong else 200)
