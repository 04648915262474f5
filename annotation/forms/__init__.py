"""What people may send to the labelling pages, checked: `task` for annotators, `project` for admins."""

from annotation.forms.project import GuidelinesForm, MemberForm, NewTasksForm, ProjectForm, TaskFilterForm
from annotation.forms.quality import VoidForm
from annotation.forms.task import JudgmentForm, SkipForm, form_for

__all__ = [
    "GuidelinesForm",
    "JudgmentForm",
    "MemberForm",
    "NewTasksForm",
    "ProjectForm",
    "SkipForm",
    "TaskFilterForm",
    "VoidForm",
    "form_for",
]
