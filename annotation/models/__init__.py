"""The rows of the labelling side: who (people), what is judged (content), the judging (work), its quality (quality)."""

from annotation.models.content import Prompt, Response
from annotation.models.people import Criterion, Guidelines, Membership, Project, Revision, Role, User
from annotation.models.quality import Gold, Verdict, Voiding
from annotation.models.work import Assignment, Candidate, Draft, Judgment, Rank, Rating, Task

__all__ = [
    "Assignment",
    "Candidate",
    "Criterion",
    "Draft",
    "Gold",
    "Guidelines",
    "Judgment",
    "Membership",
    "Project",
    "Prompt",
    "Rank",
    "Rating",
    "Response",
    "Revision",
    "Role",
    "Task",
    "User",
    "Verdict",
    "Voiding",
]
