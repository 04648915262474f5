"""What people may send to the labelling pages, checked: `task` for annotators, `project` for admins."""

from annotation.forms.kinds import form_for
from annotation.forms.project import GuidelinesForm, MemberForm, NewTasksForm, ProjectForm, TaskFilterForm
from annotation.forms.quality import VoidForm
from annotation.forms.ranking import RankingForm
from annotation.forms.task import JudgmentForm, SkipForm
from annotation.forms.verdict import VerdictForm

__all__ = [
    "GuidelinesForm",
    "JudgmentForm",
    "MemberForm",
    "NewTasksForm",
    "ProjectForm",
    "RankingForm",
    "SkipForm",
    "TaskFilterForm",
    "VerdictForm",
    "VoidForm",
    "form_for",
]
