"""What people may send to the labelling pages, checked: `task` for annotators, `project` and `tasks` for admins."""

from annotation.forms.kinds import form_for
from annotation.forms.project import GuidelinesForm, MemberForm, ProjectForm
from annotation.forms.quality import VoidForm
from annotation.forms.ranking import RankingForm
from annotation.forms.task import JudgmentForm, SkipForm
from annotation.forms.tasks import (
    ControlsForm,
    GoldForm,
    GoldPairForm,
    NewTasksForm,
    RepeatsForm,
    TaskChangeForm,
    TaskFilterForm,
)
from annotation.forms.verdict import VerdictForm

__all__ = [
    "ControlsForm",
    "GoldForm",
    "GoldPairForm",
    "GuidelinesForm",
    "JudgmentForm",
    "MemberForm",
    "NewTasksForm",
    "ProjectForm",
    "RankingForm",
    "RepeatsForm",
    "SkipForm",
    "TaskChangeForm",
    "TaskFilterForm",
    "VerdictForm",
    "VoidForm",
    "form_for",
]
