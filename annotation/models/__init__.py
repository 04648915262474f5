"""The rows of the labelling side: who (people), what is judged (content), the judging (work), its quality (quality),
and who changed what (record).
"""

from annotation.models.content import Prompt, Response
from annotation.models.making import Making
from annotation.models.marks import Rank, Rating
from annotation.models.people import Criterion, Guidelines, Membership, Project, Revision, Role, User
from annotation.models.quality import Gold, Verdict, Voiding
from annotation.models.record import AuditEntry, Verb, asked_from
from annotation.models.work import Assignment, Candidate, Draft, Judgment, Task

__all__ = [
    "Assignment",
    "AuditEntry",
    "Candidate",
    "Criterion",
    "Draft",
    "Gold",
    "Guidelines",
    "Judgment",
    "Making",
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
    "Verb",
    "Verdict",
    "Voiding",
    "asked_from",
]
