"""/projects/<slug>/adjudicate/ : where people disagree, worst first; a reviewer decides, and says why they did.

Answers are named A and B in the order of their ids, and their sources are not shown: a reviewer decides blind too.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation import actions
from annotation.disagreements import Disagreement, disagreement
from annotation.forms import VerdictForm
from annotation.forms.verdict import LETTERS, in_words
from annotation.keys import keys_of, shown
from annotation.models import Judgment, Project, Response, Role, Task, Verdict
from annotation.views.access import PersonRequest, person_required, project_for

PAGE_SIZE = 50
WITHDRAWN = "withdrawn_verdict"
"""In the session: what the reviewer took back last, so that the form shows it once more."""
LONGEST_PLACE = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """What one person said of the task."""

    judgment: Judgment
    cells: list[str]
    """Under the columns: the choice, or a value a criterion, or a place an answer."""
    is_own: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class DisagreementPage:
    task: Task
    answers: list[tuple[str, Response]]
    columns: list[str]
    said: list[Said]
    form: VerdictForm
    standing: Verdict | None
    found: Disagreement | None
    """Where it stands among the disagreements; None when it was decided, or looked up by its address."""
    keys: dict[str, str]

    @property
    def judged_by_reader(self) -> bool:
        return any(each.is_own for each in self.said)


@person_required
@require_safe
def adjudicate(request: PersonRequest, slug: str) -> HttpResponse:
    """The worst disagreement, or with ?place=N the N-th."""
    project = project_for(request, slug, role=Role.REVIEWER)
    found = disagreement(project, place_of(request))
    if found is None:
        context = {"project": project, "role": project.role_of(request.user), "num_decided": verdicts(project).count()}
        return render(request, "annotation/adjudicate.html", context)
    return show(request, project, task_for(project, found.task_id), found=found)


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    """One task: decide it, or change what was decided."""
    project = project_for(request, slug, role=Role.REVIEWER)
    task = task_for(project, pk)
    if request.method != "POST":
        return show(request, project, task)
    form = form_for(task, request.POST)
    if form.is_valid():
        try:
            actions.adjudicate(task, by=request.user, **form.decision()._asdict())
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            link = reverse("annotation:decide", args=[slug, pk])
            sentence = format_html('{} <a href="{}" data-undo>{}</a>', _("Decided."), link, _("Change it"))
            messages.success(request, sentence)
            return redirect(f"{reverse('annotation:adjudicate', args=[slug])}?place={place_of(request)}")
    return show(request, project, task, form=form)


@person_required
@require_POST
def withdraw(request: PersonRequest, slug: str, pk: int) -> HttpResponse:
    project = project_for(request, slug, role=Role.REVIEWER)
    task = task_for(project, pk)
    try:
        taken = actions.withdraw_verdict(task, by=request.user, seen=request.POST.get("seen", ""))
    except ValueError as error:
        messages.error(request, str(error))
    else:
        if taken is not None:
            form = form_for(task, standing=taken)
            request.session[WITHDRAWN] = {"task": pk, **form.values_of(taken)}
            sentence = _("Withdrawn: people's votes count again. What was decided stands below, unsaved.")
            messages.success(request, sentence)
    return redirect("annotation:decide", slug, pk)


@person_required
@require_safe
def decided(request: PersonRequest, slug: str) -> HttpResponse:
    """What was decided, newest first, by cause."""
    project = project_for(request, slug, role=Role.REVIEWER)
    by_cause = dict(verdicts(project).order_by().values_list("cause").annotate(num=Count("pk")))
    cause = request.GET.get("cause", "")
    rows = verdicts(project).select_related("task__prompt", "task__project", "preferred", "decided_by")
    if cause in Verdict.Cause.values:
        rows = rows.filter(cause=cause)
    page = Paginator(rows.order_by("-decided_at", "-pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "role": project.role_of(request.user),
        "causes": [(value, label, by_cause.get(value, 0)) for value, label in Verdict.Cause.choices],
        "num": sum(by_cause.values()),
        "cause": cause,
        "page": page,
        "rows": [(verdict, verdict_words(verdict)) for verdict in page],
    }
    return render(request, "annotation/decided.html", context)


def verdicts(project: Project) -> QuerySet[Verdict]:
    return Verdict.objects.filter(task__project=project)


def place_of(request: PersonRequest) -> int:
    place = request.GET.get("place", "")
    is_number = place.isascii() and place.isdigit() and len(place) <= LONGEST_PLACE
    return max(1, int(place)) if is_number else 1


def task_for(project: Project, pk: int) -> Task:
    """A question that somebody judged; gold tasks and repeats take no verdict."""
    questions = project.tasks.questions().filter(num_judged__gt=0)
    with_content = questions.select_related("project", "prompt", "response_a", "response_b", "verdict__decided_by")
    return get_object_or_404(with_content, pk=pk)


def answers_of(task: Task) -> list[Response]:
    if task.kind == Task.Kind.RANKING:
        return [candidate.response for candidate in task.candidates.select_related("response")]
    return [task.response_a] if task.response_b is None else [task.response_a, task.response_b]


def standing_of(task: Task) -> Verdict | None:
    return getattr(task, "verdict", None)


def form_for(task: Task, data: Any = None, *, standing: Verdict | None = None) -> VerdictForm:
    now = standing_of(task)
    mark = now.mark if now else ""
    return VerdictForm(data, task=task, answers=answers_of(task), standing=standing or now, mark=mark)


def show(
    request: PersonRequest,
    project: Project,
    task: Task,
    *,
    found: Disagreement | None = None,
    form: VerdictForm | None = None,
) -> HttpResponse:
    form = form or form_for(task)
    if request.session.get(WITHDRAWN, {}).get("task") == task.pk and not form.is_bound:
        form.initial = {**form.initial, **request.session.pop(WITHDRAWN)}
    columns, said = said_of(task, form, reader=request.user.pk)
    page = DisagreementPage(
        task=task,
        answers=list(form.lettered()),
        columns=columns,
        said=said,
        form=form,
        standing=standing_of(task),
        found=found,
        keys=keys_of(request.user),
    )
    context = {
        "project": project,
        "role": project.role_of(request.user),
        "page": page,
        "caps": shown(page.keys),
        "place": place_of(request),
        "num_decided": verdicts(project).count(),
    }
    return render(request, "annotation/adjudicate.html", context, status=422 if form.errors else 200)


def said_of(task: Task, form: VerdictForm, *, reader: int) -> tuple[list[str], list[Said]]:
    """(the columns, a row a person), in the order of the scale where there is one, so that the camps stand apart."""
    judgments = (
        task.judgments.counted()
        .select_related("annotator", "guidelines", "task")
        .prefetch_related("ratings", "ranks", "corrections")
        .order_by("pk")
    )
    columns = [criterion.name for criterion in form.criteria]
    if task.kind == Task.Kind.RANKING:
        columns = [letter for letter, _answer in form.lettered()]
    elif task.kind == Task.Kind.COMPARISON:
        columns = [_("Choice")]
    rows = [
        Said(judgment=judgment, cells=cells_of(judgment, form), is_own=judgment.annotator_id == reader)
        for judgment in judgments
    ]
    return columns, sorted(rows, key=lambda row: -(row.judgment.signed_strength or 0))


def cells_of(judgment: Judgment, form: VerdictForm) -> list[str]:
    if form.task.kind == Task.Kind.RATING:
        values = {rating.criterion_id: rating.value for rating in judgment.ratings.all()}
        return [str(values.get(criterion.pk, "–")) for criterion in form.criteria]
    if form.task.kind == Task.Kind.RANKING:
        places = {rank.response_id: rank.rank for rank in judgment.ranks.all()}
        return [str(places.get(answer.pk, "–")) for _letter, answer in form.lettered()]
    return [in_words(judgment.signed_strength, both_bad=judgment.both_bad)]


def verdict_words(verdict: Verdict) -> str:
    if verdict.ratings:
        return ", ".join(f"{key} {value}" for key, value in verdict.ratings.items())
    if verdict.ranks:
        places = sorted(verdict.ranks.items(), key=lambda item: int(item[0]))
        return ", ".join(f"{letter} {place}" for letter, (_pk, place) in zip(LETTERS, places, strict=False))
    return in_words(verdict.signed_strength, both_bad=verdict.both_bad)
