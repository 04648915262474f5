"""Where things come from and where they went: a snapshot's judgments, an answer's origin, the uses of a task."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotation.models import Judgment, Project, Response, Role, Task
from annotation.models.work import JudgmentQuerySet
from training import lineage
from training.models import Generation, Snapshot
from training.views.requests import PersonRequest, asked_number

PAGE_SIZE = 50


@login_required
@require_safe
def snapshot(request: PersonRequest, pk: int) -> HttpResponse:
    """Every judgment that it used, of one prompt or one person where the address names them; what came of it."""
    snapshots = Snapshot.objects.filter(project__in=Project.objects.visible_to(request.user)).with_changes()
    found = get_object_or_404(snapshots.select_related("project", "created_by"), pk=pk)
    found.project.require(request.user, Role.REVIEWER)
    judgments = lineage.judgments_in(found)
    chosen = {name: asked_number(request.GET, name) for name in ("prompt", "person")}
    listed = judgments
    if chosen["prompt"]:
        listed = listed.filter(task__prompt=chosen["prompt"])
    if chosen["person"]:
        listed = listed.filter(annotator=chosen["person"])
    context = {
        "snapshot": found,
        "uses": lineage.uses_of(judgments, project=found.project, of=found),
        "people": lineage.people_of(judgments),
        "is_chosen": any(chosen.values()),
        **_listed(request, listed),
    }
    return render(request, "training/snapshot.html", context)


@login_required
@require_safe
def answer(request: PersonRequest, pk: int) -> HttpResponse:
    """Who or what wrote it, what that had learned from, and what people said of it since."""
    answers = Response.objects.filter(prompt__project__in=Project.objects.visible_to(request.user))
    found = get_object_or_404(answers.select_related("prompt__project", "author"), pk=pk)
    project = found.prompt.project
    project.require(request.user, Role.REVIEWER)
    written = Generation.objects.filter(response=found).select_related("version__project", "run__reward_model").first()
    in_chat = found.in_chats.select_related("version__project", "turn__chat").first()
    judgments = lineage.about(found)
    writer = written or in_chat
    context = {
        "answer": found,
        "project": project,
        "written": written,
        "in_chat": in_chat,
        "runs": lineage.runs_behind(writer.version) if writer else [],
        "uses": lineage.uses_of(judgments, project=project),
        **_listed(request, judgments),
    }
    return render(request, "training/answer.html", context)


@login_required
@require_safe
def task_uses(request: PersonRequest, pk: int) -> HttpResponse:
    """What people said of a task, and the snapshots, runs and versions that learned from it."""
    tasks = Task.objects.filter(project__in=Project.objects.visible_to(request.user))
    found = get_object_or_404(tasks.select_related("project", "prompt"), pk=pk)
    found.project.require(request.user, Role.REVIEWER)
    judgments = lineage.shown(Judgment.objects.filter(task=found))
    context = {
        "task": found,
        "answers": Response.objects.filter(pk__in=found.candidate_ids or [found.response_a_id, found.response_b_id]),
        "rounds": found.in_rounds.select_related("round"),
        "uses": lineage.uses_of(judgments, project=found.project),
        **_listed(request, judgments),
    }
    return render(request, "training/task_uses.html", context)


def _listed(request: PersonRequest, judgments: JudgmentQuerySet) -> dict[str, Any]:
    """A page of judgments, each with what was rated where it is a rating."""
    page = Paginator(judgments, PAGE_SIZE).get_page(request.GET.get("page"))
    ratings = lineage.ratings_of(page.object_list)
    return {"page": page, "judgments": [(each, ratings.get(each.pk, [])) for each in page.object_list]}
