"""Which form asks for which kind of task."""

from __future__ import annotations

from typing import Any

from annotation.forms.ranking import RankingForm
from annotation.forms.task import ComparisonForm, JudgmentForm, RatingForm
from annotation.models import Assignment, Task

FORMS: dict[str, type[JudgmentForm]] = {
    Task.Kind.COMPARISON: ComparisonForm,
    Task.Kind.RATING: RatingForm,
    Task.Kind.RANKING: RankingForm,
}


def form_for(assignment: Assignment, data: Any = None) -> JudgmentForm:
    """The form of the assignment's kind of task."""
    return FORMS[assignment.task.kind](data, assignment=assignment)
