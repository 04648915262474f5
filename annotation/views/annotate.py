"""The task page: show a task, and take what the person says of it. Thin over queue.claim and the verbs.

Without JavaScript every answer is a redirect to the next task. The page's script holds the next task already: it asks
for one more with what it sends (annotation.views.task_page). What the person typed comes back with the sentence
whenever something is wrong with it.
"""

from __future__ import annotations

from django.db import transaction
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation import actions, places, queue
from annotation.forms import SkipForm, form_for
from annotation.models import Assignment, Project
from annotation.views.access import PersonRequest, person_required, project_for, refuse_paused
from annotation.views.task_page import go_on, held_by_page, next_page, page_for, show

JUDGED_BEFORE = gettext_lazy(
    "You judged this task already, perhaps in another tab, and that judgment stands. Send this one again to put it in "
    "its place."
)
NOT_DRAFTED = {"csrfmiddlewaretoken", "submission_key", "held", "changed"}


@person_required
@require_safe
@never_cache
def annotate(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    return show(request, next_page(request, project, held=held_by_page(request.GET)))


@person_required
@require_POST
def judge(request: PersonRequest, pk: int) -> HttpResponse:
    # Read, kept and the next one lent in one transaction, with one wait for the disk; the page is rendered after it.
    with transaction.atomic():
        taken = places.take(request.user, pk)
        if taken is None:
            raise why_not_held(request, pk)
        assignment, place = taken
        form = form_for(assignment, request.POST)
        if form.is_valid():
            try:
                judged = actions.judge(assignment, by=request.user, place=place, **form.verdict()._asdict())
            except ValueError as error:  # raised before anything is written
                form.add_error(None, str(error))
            else:
                if judged.is_new or form.repeats(judged.judgment):
                    project, standing = assignment.task.project, place.standing
                    if judged.is_new and judged.judgment.is_current:
                        standing = standing._replace(num_today=standing.num_today + 1)
                    return go_on(request, project, said=_("Saved."), notice=judged.notice, standing=standing)
                form.add_error(None, JUDGED_BEFORE)
                return show(request, page_for(request, assignment, form=form, is_revision=True), status=422)
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
def draft(request: PersonRequest, pk: int) -> JsonResponse:
    """Keep what is typed so far, if anything was; and all that the page holds stays lent, because the person is at it.

    Answered with what is not theirs any more: `lost` because others took it, `done` because they sent it elsewhere.
    """
    assignment = assignment_for(request, pk)
    values = {name: request.POST.getlist(name) for name in request.POST if name not in NOT_DRAFTED}
    if "changed" in request.POST:
        actions.keep_draft(assignment, by=request.user, values=values)
    held = held_by_page(request.POST) | {pk}
    gone = queue.keep_lent(request.user, project=assignment.task.project, held=held)
    own = Assignment.objects.of(request.user).filter(pk__in=gone)
    lost = list(own.filter(status=Assignment.Status.EXPIRED).values_list("pk", flat=True))
    return JsonResponse({"lost": lost, "done": sorted(gone - set(lost))})


@person_required
@require_POST
def undo(request: PersonRequest, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    try:
        undone = actions.undo(request.user, project=project)
    except ValueError as error:
        return go_on(request, project, notice=str(error))
    if undone:
        if not request.htmx:
            return redirect("annotation:annotate", slug)
        page = page_for(request, undone.assignment)
        page.said = _("Undone.")
        return show(request, page)
    return go_on(request, project, notice=_("There is nothing left to undo."))


def assignment_for(request: PersonRequest, pk: int) -> Assignment:
    """The person's own, in a project they are still in; 403 with a sentence while they are paused there, else 404."""
    found = queue.held(request.user, pk)
    if found is None:
        raise why_not_held(request, pk)
    return found


def why_not_held(request: PersonRequest, pk: int) -> Http404:
    """403 with a sentence where the person is paused."""
    own = Assignment.objects.of(request.user).filter(pk=pk)
    refuse_paused(request.user, Project.objects.filter(tasks__assignments__in=own))
    return Http404()
