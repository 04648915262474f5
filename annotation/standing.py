"""How a person stands in a project: what their membership says, with or without its lock, in one statement."""

from __future__ import annotations

from typing import NamedTuple

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import Project, User
from annotation.statements import prepared

# Of the membership. The last is a look into a small index.
STANDING = """
membership.id, membership.is_paused, membership.last_task_id, membership.swap_lead,
CASE WHEN membership.worked_on = %(today)s THEN membership.num_today ELSE 0 END,
membership.seen_guidelines_id,
CASE WHEN membership.seen_guidelines_id IS NULL THEN (
    SELECT said.guidelines_id FROM annotation_judgment said JOIN annotation_task task ON task.id = said.task_id
    WHERE said.annotator_id = membership.user_id AND said.is_current AND task.project_id = membership.project_id
    ORDER BY said.created_at DESC, said.id DESC LIMIT 1
) END,
(SELECT id FROM annotation_guidelines WHERE project_id = membership.project_id ORDER BY version DESC LIMIT 1),
EXISTS (
    SELECT FROM annotation_assignment late JOIN annotation_task lent ON lent.id = late.task_id
    WHERE late.status = 'leased' AND late.expires_at <= %(now)s AND lent.project_id = membership.project_id
)"""

READ = f"""
SELECT {STANDING} FROM annotation_membership membership
WHERE membership.user_id = %(user)s AND membership.project_id = %(project)s
"""
LOCK = f"{READ} FOR NO KEY UPDATE"


class Standing(NamedTuple):
    membership: int
    is_paused: bool
    last_task: int | None
    """What the queue lent them last (id)."""
    swap_lead: int
    num_today: int
    """What they judged since midnight where the server is, and did not undo."""
    read_guidelines: int | None
    """The version (id) they were shown and went on from; None: none yet."""
    judged_under: int | None
    """Where they have read none: the version of their last judgment."""
    guidelines: int | None
    """The current version."""
    has_overdue: bool
    """Whether any lease in the project has run out, anybody's."""

    @property
    def known_guidelines(self) -> int | None:
        return self.read_guidelines or self.judged_under


def moments() -> dict[str, object]:
    """The values that STANDING asks for."""
    now = timezone.now()
    return {"now": now, "today": timezone.localdate(now)}


def standing_of(user: User, project: Project) -> Standing | None:
    """None: they are not in the project."""
    rows = prepared(READ, moments() | {"user": user.pk, "project": project.pk})
    return Standing(*rows[0]) if rows else None


def locked_standing(user: User, project: Project) -> Standing:
    """With the lock of the membership, which every verb of the person's takes first: nothing of theirs happens beside.

    Raises PermissionDenied for who is not in the project, or paused there.
    """
    rows = prepared(LOCK, moments() | {"user": user.pk, "project": project.pk})
    if not rows or (standing := Standing(*rows[0])).is_paused:
        raise PermissionDenied(_("You are not at work in this project. Ask one of its admins to add you."))
    return standing
