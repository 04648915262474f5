"""Freeze a project's labels into a snapshot to train on."""

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from annotation.models import Judgment, Project, Role
from annotation.progress import Work, telling
from training import snapshots
from training.forms import FreezeForm
from training.models import Run
from training.views.requests import PersonRequest, find_project


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def freeze(request: PersonRequest, slug: str) -> HttpResponse:
    project = find_project(request, slug, role=Role.ADMIN)
    form = FreezeForm(request.POST or None)
    if form.is_valid():
        try:
            with telling(Work.FREEZE, request.user) as told:
                snapshot = snapshots.freeze(project, by=request.user, telling=told, **form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            query = {"project": project.slug, "kind": Run.Kind.REWARD.value, "snapshot": str(snapshot.pk)}
            return redirect(f"{reverse('training:run_new')}?{urlencode(query)}")
    context = {
        "project": project,
        "form": form,
        "counts": counts(project),
        "snapshots": project.snapshots.with_changes().select_related("created_by")[:5],
    }
    return render(request, "training/freeze.html", context, status=422 if form.errors else 200)


def counts(project: Project) -> dict[str, int]:
    """What there is to freeze: labels, simulated ones among them, people, prompts in all and labelled ones."""
    labels = Judgment.objects.counted().filter(task__project=project)
    found = labels.aggregate(
        num_labels=Count("pk"),
        num_simulated=Count("pk", filter=Q(annotator__is_simulated=True)),
        num_annotators=Count("annotator", distinct=True),
        num_labelled=Count("task__prompt", distinct=True),
    )
    return {**found, "num_prompts": project.prompts.count()}
