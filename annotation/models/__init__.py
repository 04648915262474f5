"""The rows of the labelling side: who (people), what is judged (content), the judging (work), its quality (quality),
who changed what (record), invitations, files on their way in (doors), and the doors for programs (programs).
"""

from annotation.models.among import Among
from annotation.models.content import Prompt, Response
from annotation.models.doors import Import, ImportProblem
from annotation.models.invitations import Invitation
from annotation.models.making import Making
from annotation.models.marks import Rank, Rating
from annotation.models.people import Criterion, Guidelines, Membership, Project, Revision, Role, User
from annotation.models.programs import (
    TEST_EVENT,
    ApiToken,
    ApiUse,
    Event,
    Webhook,
    WebhookAttempt,
    WebhookDelivery,
)
from annotation.models.quality import Gold, Verdict, Voiding
from annotation.models.record import AuditEntry, Verb, asked_from
from annotation.models.work import Assignment, Candidate, Draft, Judgment, Task

__all__ = [
    "TEST_EVENT",
    "Among",
    "ApiToken",
    "ApiUse",
    "Assignment",
    "AuditEntry",
    "Candidate",
    "Criterion",
    "Draft",
    "Event",
    "Gold",
    "Guidelines",
    "Import",
    "ImportProblem",
    "Invitation",
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
    "Webhook",
    "WebhookAttempt",
    "WebhookDelivery",
    "asked_from",
]
