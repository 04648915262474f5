"""My judgments: what a person said in a project, newest first; one with all its versions, to look at and revise."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotation import actions
from annotation.forms import JudgmentForm, form_for
from annotation.forms.ranking import LETTERS
from annotation.forms.task import BOTH_BAD, SCALE
from annotation.models import Assignment, Judgment, Project, Task, User
from annotation.models.work import JudgmentQuerySet
from annotation.views.access import PersonRequest, person_required, project_for
from annotation.views.annotate import assignment_for
from annotation.views.task_page import TaskPage, go_on, page_for, show

PAGE = 25


class Version(NamedTuple):
    """One thing a person said, in words."""

    judgment: Judgment
    said: str


@dataclasses.dataclass(kw_only=True)
class RevisePage(TaskPage):
    versions: list[Version]
    """Newest first."""
    is_revisable: bool

    @property
    def why_locked(self) -> str:
        return actions.locked_sentence(self.versions[0].judgment)


@person_required
@require_safe
def judgments(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    kind = request.GET.get("kind", "")
    kind = kind if kind in Task.Kind.values else ""
    found = own_judgments(request.user, project, kind=kind)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "role": project.role_of(request.user),
        "page": page,
        "versions": [Version(judgment, said_in_words(judgment)) for judgment in page],
        "kind": kind,
        "kinds": Task.Kind.choices,
    }
    return render(request, "annotation/judgments.html", context)


@person_required
@require_http_methods(["GET", "HEAD", "POST"])
def revise(request: PersonRequest, pk: int) -> HttpResponse:
    assignment = assignment_for(request, pk)
    project = assignment.task.project
    said = versions_of(assignment)
    if not said or assignment.status != Assignment.Status.JUDGED:
        return redirect("annotation:annotate", project.slug)
    if request.method != "POST":
        return show_versions(request, assignment, form_for(assignment, version=said[0].judgment), said)
    form = form_for(assignment, request.POST, version=said[0].judgment)
    if form.is_valid():
        verdict = form.verdict()._asdict()
        key = verdict.pop("submission_key")
        try:
            actions.revise(assignment, by=request.user, submission_key=key, answer=actions.Answer.said(**verdict))
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            if request.htmx:
                return go_on(request, project, said=_("Saved."))
            messages.success(request, _("Saved. What you said before is kept as an earlier version."))
            return redirect("annotation:judgments", project.slug)
    if request.htmx:
        return show(request, page_for(request, assignment, form=form, is_revision=True), status=422)
    return show_versions(request, assignment, form, said, status=422)


def own_judgments(user: User, project: Project, *, kind: str) -> JudgmentQuerySet:
    """The newest version of each task that the person judged."""
    newer = Judgment.objects.filter(assignment=OuterRef("assignment"), pk__gt=OuterRef("pk"))
    found = Judgment.objects.of(user).in_project(project).filter(~Exists(newer))
    if kind:
        found = found.filter(task__kind=kind)
    return with_words(found.filter(assignment__status=Assignment.Status.JUDGED))


def versions_of(assignment: Assignment) -> list[Version]:
    found = with_words(Judgment.objects.filter(assignment=assignment))
    return [Version(judgment, said_in_words(judgment)) for judgment in found]


def with_words(found: JudgmentQuerySet) -> JudgmentQuerySet:
    """Newest first, with everything that their words are made of."""
    rows = found.select_related("task__prompt", "assignment__task", "guidelines", "voiding")
    return rows.prefetch_related("ratings__criterion", "ranks", "corrections").order_by("-created_at", "-pk")


def show_versions(
    request: PersonRequest, assignment: Assignment, form: JudgmentForm, versions: list[Version], *, status: int = 200
) -> HttpResponse:
    usual = page_for(request, assignment, form=form, is_revision=True)
    fields = {field.name: getattr(usual, field.name) for field in dataclasses.fields(usual)}
    own = Judgment.objects.filter(assignment=assignment)
    is_revisable = own.revisable(assignment.task.project).exists()
    page = RevisePage(**fields, versions=versions, is_revisable=is_revisable)
    page.skips, page.can_undo = False, False
    return render(request, "annotation/revise.html", {"page": page}, status=status)


def said_in_words(judgment: Judgment) -> str:
    """The verdict of a judgment as its maker saw it, in one line."""
    task = judgment.task
    if task.kind == task.Kind.RATING:
        return ", ".join(f"{rating.criterion.name}: {rating.value}" for rating in judgment.ratings.all())
    if task.kind == task.Kind.RANKING:
        letters = dict(zip(judgment.assignment.order, LETTERS, strict=False))
        places: dict[int, list[str]] = {}
        for rank in judgment.ranks.all():
            places.setdefault(rank.rank, []).append(letters[rank.response_id])
        return " > ".join(" = ".join(sorted(places[place])) for place in sorted(places))
    if judgment.both_bad:
        return str(dict(SCALE)[BOTH_BAD])
    side = -1 if judgment.preferred_id == left_id(judgment) else 1
    return str(dict(SCALE)[str(side * (judgment.strength or 0))])


def left_id(judgment: Judgment) -> int | None:
    task = judgment.task
    return task.response_b_id if judgment.assignment.is_swapped else task.response_a_id
