"""/projects/<slug>/gold/ : tasks whose right answer is known, how people do on them, and repeats. For admins."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation.actions.tasks import ask_again, make_gold_pair, set_controls, set_gold, unset_gold
from annotation.agreement.shares import Share, share
from annotation.controls import is_right
from annotation.forms import ControlsForm, GoldForm, GoldPairForm, RepeatsForm
from annotation.models import Gold, Judgment, Project, Role, Task
from annotation.progress import Work, telling
from annotation.views.access import PersonRequest, person_required, project_for

PAGE_SIZE = 50
SUSPICIOUS = 3
"""From so many answers on, a gold task that most people miss is marked: its right answer may be wrong."""


class GoldRow(NamedTuple):
    gold: Gold
    right: Share

    @property
    def is_suspicious(self) -> bool:
        return self.right.num >= SUSPICIOUS and self.right.right * 2 < self.right.num


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def gold(request: PersonRequest, slug: str) -> HttpResponse:
    """POST sets how often gold tasks and repeats are mixed in, and how much is asked again."""
    project = project_for(request, slug, role=Role.ADMIN)
    if request.method != "POST":
        return show(request, project)
    form = ControlsForm(request.POST)
    if form.is_valid():
        percents = form.cleaned_data
        set_controls(
            project, control_share=percents["percent"] / 100, repeat_share=percents["repeats"] / 100, by=request.user
        )
        messages.success(request, _("Saved."))
        return redirect("annotation:gold", slug)
    return show(request, project, share_form=form)


@person_required
@require_POST
def gold_new(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = GoldPairForm(request.POST)
    if form.is_valid():
        make_gold_pair(project, **form.cleaned_data, by=request.user)
        messages.success(request, _("The gold task is made."))
        return redirect("annotation:gold", slug)
    return show(request, project, pair_form=form)


@person_required
@require_POST
def repeats(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    form = RepeatsForm(request.POST)
    if form.is_valid():
        try:
            with telling(Work.TASKS, request.user) as told:
                share = form.cleaned_data["percent"] / 100
                making = ask_again(project, by=request.user, share=share, telling=told)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            num = making.num_tasks
            sentence = ngettext("%(num)d judgment is asked again.", "%(num)d judgments are asked again.", num)
            messages.success(request, sentence % {"num": num})
            return redirect("annotation:gold", slug)
    return show(request, project, repeats_form=form)


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def gold_task(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    """Set or correct the right answer of one task."""
    project = project_for(request, slug, role=Role.ADMIN)
    task = get_object_or_404(project.tasks.select_related("prompt", "project", "response_a", "response_b"), pk=pk)
    known = Gold.objects.filter(task=task).first()
    form = GoldForm(request.POST if request.method == "POST" else None, task=task, gold=known)
    if request.method == "POST" and form.is_valid():
        set_gold(task, form.gold(), by=request.user)
        messages.success(request, _("The right answer is set."))
        return redirect("annotation:gold", slug)
    responses = [task.response_a] + ([task.response_b] if task.response_b else [])
    if task.kind == Task.Kind.RANKING:
        responses = [row.response for row in task.candidates.select_related("response")]
    context = {
        "project": project,
        "role": Role.ADMIN,
        "task": task,
        "known": known,
        "form": form,
        "answers": list(zip("ABCDEF", responses, strict=False)),
    }
    return render(request, "annotation/gold_task.html", context, status=422 if form.errors else 200)


@person_required
@require_POST
def gold_unset(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project = project_for(request, slug, role=Role.ADMIN)
    task = get_object_or_404(project.tasks.filter(control=Task.Control.GOLD), pk=pk)
    unset_gold(task, by=request.user)
    messages.success(request, _("The task is a question like any other again."))
    return redirect("annotation:gold", slug)


def show(
    request: PersonRequest,
    project: Project,
    *,
    share_form: ControlsForm | None = None,
    pair_form: GoldPairForm | None = None,
    repeats_form: RepeatsForm | None = None,
) -> HttpResponse:
    golds = Gold.objects.filter(task__project=project).select_related("task__prompt", "preferred").order_by("-id")
    page = Paginator(golds, PAGE_SIZE).get_page(request.GET.get("page"))
    repeated = project.tasks.filter(control=Task.Control.REPEAT)
    forms = [
        share_form or ControlsForm.of(project),
        pair_form or GoldPairForm(),
        repeats_form or RepeatsForm(),
    ]
    context = {
        "project": project,
        "role": Role.ADMIN,
        "page": page,
        "rows": rows_of(list(page.object_list)),
        "share_form": forms[0],
        "pair_form": forms[1],
        "repeats_form": forms[2],
        "num_repeats": repeated.count(),
        "num_repeats_done": repeated.filter(num_judged__gt=0).count(),
    }
    is_wrong = any(form.errors for form in forms)
    return render(request, "annotation/gold.html", context, status=422 if is_wrong else 200)


def rows_of(golds: list[Gold]) -> list[GoldRow]:
    """Each gold task with the share of people who got it right; three queries, however many tasks."""
    by_task = {gold.task_id: gold for gold in golds}
    judgments = (
        Judgment.objects.counted().filter(task__in=by_task).prefetch_related("ratings__criterion", "ranks").order_by()
    )
    right: dict[int, list[bool]] = defaultdict(list)
    for judgment in judgments:
        ratings = {rating.criterion.key: rating.value for rating in judgment.ratings.all()}
        best = [rank.response_id for rank in judgment.ranks.all() if rank.rank == 1]
        is_hit = is_right(by_task[judgment.task_id], preferred=judgment.preferred_id, ratings=ratings, best=best)
        right[judgment.task_id].append(is_hit)
    return [GoldRow(gold, share(sum(right[gold.task_id]), len(right[gold.task_id]))) for gold in golds]
