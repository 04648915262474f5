"""The rows of the labelling side: who (people), what is judged (content), and the judging itself (work)."""

from annotation.models.content import Prompt, Response
from annotation.models.people import Criterion, Guidelines, Membership, Project, Role, User
from annotation.models.work import Assignment, Judgment, Rating, Task

__all__ = [
    "Assignment",
    "Criterion",
    "Guidelines",
    "Judgment",
    "Membership",
    "Project",
    "Prompt",
    "Rating",
    "Response",
    "Role",
    "Task",
    "User",
]
