"""Which form asks for which kind of task."""

from __future__ import annotations

from typing import Any

from annotation.forms.ranking import RankingForm
from annotation.forms.task import ComparisonForm, JudgmentForm, RatingForm
from annotation.models import Assignment, Judgment, Task

FORMS: dict[str, type[JudgmentForm]] = {
    Task.Kind.COMPARISON: ComparisonForm,
    Task.Kind.RATING: RatingForm,
    Task.Kind.RANKING: RankingForm,
}


def form_for(assignment: Assignment, data: Any = None, *, version: Judgment | None = None) -> JudgmentForm:
    """The form of the assignment's kind of task; to revise `version`, where one is given."""
    return FORMS[assignment.task.kind](data, assignment=assignment, version=version)
