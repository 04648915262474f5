"""What the task page shows, and how it is answered: whole, or as the fragment its script asks for.

A page holds the task in front and the next one. So an answer brings how far the person is today, sentences about what
they sent, and, where the page asked for it, one more task beside those it holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from functools import cached_property

from django.contrib import messages
from django.forms.boundfield import BoundWidget
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from annotation import keys, queue
from annotation.forms import JudgmentForm, RankingForm, SkipForm, form_for
from annotation.forms.ranking import RankedAnswer
from annotation.models import Assignment, Guidelines, Judgment, Project, Revision, User
from annotation.models.work import JudgmentQuerySet
from annotation.standing import Standing, locked_standing, standing_of
from annotation.statements import joining
from annotation.views.access import PersonRequest
from annotation.wording import Block, changes

CHOICES = [f"choice_{number}" for number in range(1, 8)]
"""The actions that choose the first to the seventh of a list."""


@dataclasses.dataclass(kw_only=True)
class TaskPage:
    project: Project
    person: User
    held: Collection[int] = ()
    """Assignments the page holds already: what is rendered here is shown after those."""
    assignment: Assignment | None = None
    form: JudgmentForm | None = None
    skip_form: SkipForm | None = None
    """What was said to skip it, where that would not do."""
    skips: bool = True
    """Whether this page lets it be skipped."""
    action: str = ""
    """Where the judgment is sent."""
    brings_task: bool = True
    """Whether a task, or the sentence that there is none, was asked for."""
    said: str = ""
    """What became of what was sent, for screen readers."""
    notice: str = ""
    """What the person must know about what they sent."""
    sentences: list[str] = dataclasses.field(default_factory=list)
    """What is wrong with what they said of this task."""

    @cached_property
    def standing(self) -> Standing | None:
        return standing_of(self.person, self.project)

    @property
    def num_today(self) -> int:
        return self.standing.num_today if self.standing else 0

    @cached_property
    def can_undo(self) -> bool:
        """Also when a task that will be judged before this one comes to the front is still in the person's hands."""
        if self.project.revision == Revision.NEVER:
            return False
        return bool(self.held) or self.num_today > 0 or self._own().exists()

    @cached_property
    def guidelines(self) -> Guidelines | None:
        return self.project.current_guidelines

    @cached_property
    def keys(self) -> dict[str, str]:
        return keys.keys_of(self.person)

    @cached_property
    def caps(self) -> dict[str, str]:
        return keys.shown(self.keys)

    @property
    def key_list(self) -> list[tuple[str, str]]:
        """(key cap, what the key does) of each but the choices, which one line stands for."""
        return [
            (self.caps[action], str(words)) for action, (_usual, words) in keys.ACTIONS.items() if action not in CHOICES
        ]

    @property
    def steps(self) -> list[tuple[BoundWidget, str]]:
        """The scale of a comparison: each step with its key cap."""
        assert self.form is not None
        names = [*CHOICES, "both_bad"]
        return [(step, self.caps[name]) for step, name in zip(self.form["choice"], names, strict=True)]

    @property
    def ranked(self) -> list[tuple[RankedAnswer, str]]:
        """The answers of a ranking, each with its key cap."""
        assert isinstance(self.form, RankingForm)
        return [(answer, self.caps[name]) for answer, name in zip(self.form.ranked(), CHOICES, strict=False)]

    @cached_property
    def skipping(self) -> SkipForm:
        return self.skip_form or SkipForm()

    @property
    def skip_reasons(self) -> list[tuple[BoundWidget, str]]:
        return [(reason, self.caps[name]) for reason, name in zip(self.skipping["reason"], CHOICES, strict=False)]

    @cached_property
    def new_guidelines(self) -> Guidelines | None:
        """The current version, when the person has read another."""
        known = self.standing.known_guidelines if self.standing else None
        return self.guidelines if self.standing and known and known != self.standing.guidelines else None

    @cached_property
    def seen_guidelines(self) -> Guidelines | None:
        known = self.standing.known_guidelines if self.standing else None
        return self.project.guidelines.filter(pk=known).first() if known else None

    @property
    def changes(self) -> list[Block]:
        """What the current guidelines say that the version the person knows did not."""
        new, seen = self.new_guidelines, self.seen_guidelines
        return changes(seen.text, new.text) if new and seen else []

    @cached_property
    def alike(self) -> str:
        """Names all that the task's part of the page depends on, but for what is fresh in it.

        Empty as soon as something is entered or wrong, and where there is no task.
        """
        if self.form is None or not self.form.is_untouched or self.skip_form is not None or self.sentences:
            return ""
        return repr([self.project.pk, self.can_undo, self.skips, self.person.key_bindings, self.form.looks])

    @property
    def title(self) -> str:
        if self.assignment is None:
            return _("The guidelines changed") if self.new_guidelines else _("Nothing waits for you here")
        return _("Task: %(kind)s") % {"kind": self.assignment.task.get_kind_display()}

    def _own(self) -> JudgmentQuerySet:
        return Judgment.objects.counted().of(self.person).in_project(self.project)


def held_by_page(values: QueryDict) -> set[int]:
    """The assignments that the asking page says it holds; what is no id is none."""
    return {int(value) for value in values.getlist("held") if value.isascii() and value.isdecimal() and len(value) < 19}


@joining
def next_page(
    request: PersonRequest, project: Project, *, held: Collection[int] = (), standing: Standing | None = None
) -> TaskPage:
    """The next task; before it, where the guidelines changed since the person read them, that change.

    standing: the person's, where the caller holds its lock already.
    """
    standing = standing or locked_standing(request.user, project)
    page = TaskPage(project=project, person=request.user, held=held)
    page.standing = standing
    # From the first page on they know this version: it stands behind a key.
    if standing.known_guidelines is None and standing.guidelines is not None:
        project.memberships.filter(pk=standing.membership).update(seen_guidelines=standing.guidelines)
    if page.new_guidelines:
        return page
    assignment = queue.claim(request.user, project=project, beside=held, standing=standing)
    if assignment is None:
        return page
    found = page_for(request, assignment, held=held)
    found.standing = standing
    return found


def page_for(
    request: PersonRequest,
    assignment: Assignment,
    *,
    held: Collection[int] = (),
    form: JudgmentForm | None = None,
    skip_form: SkipForm | None = None,
    is_revision: bool = False,
) -> TaskPage:
    """is_revision: what is sent replaces the judgment that is there."""
    return TaskPage(
        project=assignment.task.project,
        person=request.user,
        held=held,
        assignment=assignment,
        form=form or form_for(assignment),
        skip_form=skip_form,
        action=reverse("annotation:revise" if is_revision else "annotation:judge", args=[assignment.pk]),
    )


def go_on(
    request: PersonRequest, project: Project, *, said: str = "", notice: str = "", standing: Standing | None = None
) -> HttpResponse:
    """After something was kept: the next task for a script that has room for one, a redirect for a plain form.

    standing: the person's, where the caller holds its lock.
    """
    if not request.htmx:
        if notice:
            messages.warning(request, notice)
        return redirect("annotation:annotate", project.slug)
    if "ahead" in request.POST:
        page = next_page(request, project, held=held_by_page(request.POST), standing=standing)
    else:
        page = TaskPage(project=project, person=request.user, brings_task=False)
        if standing:
            page.standing = standing
    page.said, page.notice = said, notice
    return show(request, page)


def show(request: PersonRequest, page: TaskPage, *, status: int = 200) -> HttpResponse:
    template = "annotation/annotate.html"
    if request.htmx:
        template += "#answer"
    return TemplateResponse(request, template, {"page": page}, status=status)  # rendered once the view is done
