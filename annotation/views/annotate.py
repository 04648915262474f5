"""The task page: show a task, and take what the person says of it. Thin over queue.claim and the verbs.

Every answer is the next task: as a fragment that htmx puts in place of the one before, or, without JavaScript, after
a redirect. What the person typed comes back with the sentence whenever something is wrong with it.
"""

from __future__ import annotations

import dataclasses

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation import actions, queue
from annotation.forms import JudgmentForm, SkipForm, form_for
from annotation.models import Assignment, Guidelines, Judgment, Project
from annotation.views.access import PersonRequest, person_required, project_for, refuse_paused

JUDGED_BEFORE = gettext_lazy(
    "You had judged that task already, perhaps in another tab, and that judgment stands. To change it, undo it first."
)


@dataclasses.dataclass(kw_only=True)
class TaskPage:
    project: Project
    assignment: Assignment | None
    num_today: int
    can_undo: bool
    guidelines: Guidelines | None
    new_guidelines: Guidelines | None = None
    """The current version, when the person's last judgment here was made under another."""
    form: JudgmentForm | None = None
    skip_form: SkipForm | None = None
    sentences: list[str] = dataclasses.field(default_factory=list)
    """What the person must know before they go on."""
    said: str = ""
    """What just happened, for screen readers."""

    @property
    def announcement(self) -> str:
        if self.assignment is None:
            return " ".join([self.said, _("Nothing waits for you here.")]).strip()
        kind = self.assignment.task.get_kind_display()
        number = self.num_today + 1
        return " ".join(
            [self.said, _("Task %(number)d of today: %(kind)s.") % {"number": number, "kind": kind}]
        ).strip()


@person_required
@require_safe
@never_cache
def annotate(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    return show(request, next_page(request, project))


@person_required
@require_POST
def judge(request: PersonRequest, pk: int) -> HttpResponse:
    assignment = assignment_for(request, pk)
    form = form_for(assignment, request.POST)
    if form.is_valid():
        try:
            judged = actions.judge(assignment, by=request.user, **form.verdict()._asdict())
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            notice = judged.notice or ("" if judged.is_new or form.repeats(judged.judgment) else str(JUDGED_BEFORE))
            return go_on(request, assignment.task.project, said=_("Saved."), notice=notice)
    return show(request, page_for(request, assignment, form=form), status=422)


@person_required
@require_POST
def skip(request: PersonRequest, pk: int) -> HttpResponse:
    assignment = assignment_for(request, pk)
    form = SkipForm(request.POST)
    if form.is_valid():
        try:
            actions.skip(assignment, by=request.user, **form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            return go_on(request, assignment.task.project, said=_("Skipped."))
    page = page_for(request, assignment, skip_form=form)
    page.sentences += [str(error) for errors in form.errors.values() for error in errors]
    return show(request, page, status=422)


@person_required
@require_POST
def undo(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    if undone := actions.undo(request.user, project=project):
        if request.htmx:
            return show(request, page_for(request, undone.assignment, said=_("Undone.")))
        return redirect("annotation:annotate", slug)
    return go_on(request, project, notice=_("There is nothing left to undo."))


def assignment_for(request: PersonRequest, pk: int) -> Assignment:
    """The person's own, in a project they are still in; 403 with a sentence while they are paused there, else 404."""
    own = Assignment.objects.of(request.user).with_content()
    found = own.filter(pk=pk, task__project__in=Project.objects.visible_to(request.user)).first()
    if found is None:
        refuse_paused(request.user, Project.objects.filter(tasks__assignments__in=own.filter(pk=pk)))
        raise Http404
    return found


def go_on(request: PersonRequest, project: Project, *, said: str = "", notice: str = "") -> HttpResponse:
    if request.htmx:
        page = next_page(request, project)
        page.said, page.sentences = said, [notice] if notice else []
        return show(request, page)
    if notice:
        messages.warning(request, notice)
    return redirect("annotation:annotate", project.slug)


def next_page(request: PersonRequest, project: Project) -> TaskPage:
    assignment = queue.claim(request.user, project=project)
    if assignment is not None:
        return page_for(request, assignment)
    return empty_page(request, project)


def empty_page(request: PersonRequest, project: Project) -> TaskPage:
    own = Judgment.objects.counted().of(request.user).in_project(project)
    last = own.order_by("-created_at", "-id").first()
    guidelines = project.current_guidelines
    return TaskPage(
        project=project,
        assignment=None,
        num_today=own.since(timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)).count(),
        can_undo=last is not None,
        guidelines=guidelines,
        new_guidelines=guidelines if guidelines and last and last.guidelines_id != guidelines.pk else None,
    )


def page_for(
    request: PersonRequest,
    assignment: Assignment,
    *,
    form: JudgmentForm | None = None,
    skip_form: SkipForm | None = None,
    said: str = "",
) -> TaskPage:
    page = empty_page(request, assignment.task.project)
    page.assignment, page.said = assignment, said
    page.form = form or form_for(assignment)
    page.skip_form = skip_form or SkipForm()
    return page


def show(request: PersonRequest, page: TaskPage, *, status: int = 200) -> HttpResponse:
    template = "annotation/annotate.html"
    if request.htmx:
        template += "#task"
    return render(request, template, {"page": page}, status=status)
