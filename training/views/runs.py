"""All runs, and the form that starts one."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from annotation.models import Project, Role
from training import actions
from training.durations import expected
from training.forms import RunForm
from training.loop import Loop
from training.models import Run, RunMail, Sweep
from training.run_memory import memory_of
from training.tasks import execute_run
from training.views.requests import (
    PersonRequest,
    asked_number,
    asked_text,
    find_project,
    find_run,
    poll,
)

PAGE_SIZE = 50


@login_required
@require_safe
def runs(request: PersonRequest) -> HttpResponse:
    found = Run.objects.visible_to(request.user).with_origins().select_related("project", "version", "created_by")
    chosen = {key: asked_text(request.GET, key) for key in ("project", "kind", "status")}
    found = found.filter(**{LOOKUPS[key]: value for key, value in chosen.items() if value})
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    state = "-".join(f"{run.pk}.{run.status}.{run.step}" for run in page if not run.is_finished)
    context: dict[str, Any] = {
        "page": page,
        "chosen": chosen,
        "state": state,
        "is_moving": bool(state),
        "projects": Project.objects.with_role(request.user, Role.REVIEWER),
        "kinds": Run.Kind.choices,
        "statuses": Run.Status.choices,
        "can_start": Project.objects.with_role(request.user, Role.ADMIN).exists(),
    }
    if request.htmx:
        return poll(request, "training/runs.html#list", context, state=state, is_over=not state)
    context |= {"mails": RunMail.When.choices, "mail": RunMail.choice_of(request.user)}
    return render(request, "training/runs.html", context)


LOOKUPS = {"project": "project__slug", "kind": "kind", "status": "status"}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def run_new(request: PersonRequest) -> HttpResponse:
    """Without a project or a kind in the address it asks for them; with `from`, a run is started again with changes.
    The page itself asks how long the settings as they stand may take, and in how much memory.
    """
    number = asked_number(request.GET, "from")
    earlier = None if number is None else find_run(request, number, role=Role.ADMIN)
    slug = earlier.project.slug if earlier else asked_text(request.GET, "project")
    projects = Project.objects.with_role(request.user, Role.ADMIN)
    if not slug and len(projects) == 1:
        slug = projects[0].slug
    kind = earlier.kind if earlier else request.GET.get("kind", "")
    if not slug or kind not in KIND_HELP:
        choices = {"projects": projects, "slug": slug, "kinds": KIND_HELP.items(), "kind": kind}
        return render(request, "training/run_new_choose.html", choices)
    project = find_project(request, slug, role=Role.ADMIN)
    if request.htmx and request.method == "GET":
        asked = RunForm(request.GET, project=project, kind=kind)
        return render(request, "training/run_new.html#needs", needs_of(asked))
    form = RunForm(request.POST or None, project=project, kind=kind, initial=chosen_inputs(request))
    if earlier:
        form.initial_from(earlier)
    if form.is_valid() and (started := _start(request, form)):
        return redirect(started)
    context = {
        "form": form,
        "project": project,
        "kind": kind,
        "kind_label": Run.Kind(kind).label,
        "earlier": earlier,
        "num_new": Loop(project).labels["num_new"],
    }
    return render(request, "training/run_new.html", context, status=422 if form.errors else 200)


KIND_HELP = {
    Run.Kind.REWARD: _("Learns from people's comparisons to give any answer a score."),
    Run.Kind.POLICY: _("Teaches a model, with PPO or its kin, to write answers that a reward model scores high."),
    Run.Kind.DPO: _("Teaches a model from people's comparisons directly, without a reward model."),
    Run.Kind.ILQL: _("Learns from comparisons what each word is worth, and steers a model by it as it writes."),
    Run.Kind.SFT: _("Teaches a model to imitate demonstrations and corrections."),
    Run.Kind.GENERATE: _("Lets a model answer the prompts, for people to judge and for model diffs."),
    Run.Kind.EVALUATE: _("Measures a model on pairs or prompts that no training saw."),
}
"""What the form starts. A run that compares two models is started from their diff, which knows both."""


def chosen_inputs(request: PersonRequest) -> dict[str, int]:
    """What the page that led here already knows: the snapshot, the model, the reward model."""
    numbers = {key: asked_number(request.GET, key) for key in ("snapshot", "model", "reward_model")}
    return {key: number for key, number in numbers.items() if number is not None}


def needs_of(form: RunForm) -> dict[str, Any]:
    """The time and memory of a run started like this; nothing as long as something is wrong with the settings."""
    if not form.is_valid():
        return {}
    run = Run(project=form.project, **asked_for(form))
    return {"expected": expected(run), "memory": memory_of(run)}


def asked_for(form: RunForm) -> dict[str, Any]:
    """What a valid form asks for, by the names that a run has for it."""
    inputs = {key: form.cleaned_data.get(key) for key in ("snapshot", "model", "reward_model", "watcher")}
    return {"kind": form.kind, "config": form.cleaned_data["config"], **inputs}


def _start(request: PersonRequest, form: RunForm) -> Run | Sweep | None:
    """The queued run, or the runs of several seeds; None with the verb's sentence on the form."""
    asked: dict[str, Any] = {**asked_for(form), "by": request.user}
    num_seeds = form.cleaned_data.get("num_seeds") or 1
    try:
        if num_seeds > 1:
            sweep = actions.start_sweep(form.project, num_seeds=num_seeds, **asked)
            for run in sweep.runs.all():
                execute_run.delay_on_commit(run.pk)
            return sweep
        run = actions.start_run(form.project, **asked)
    except ValueError as error:
        form.add_error(None, str(error))
        return None
    execute_run.delay_on_commit(run.pk)
    return run
