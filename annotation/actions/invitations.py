"""Invitations: an admin makes a link, somebody follows it and is a member, and the admin can take it back."""

from __future__ import annotations

import datetime
import secrets
from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.actions.members import add_member
from annotation.models import AuditEntry, Invitation, Membership, Project, Role, User, Verb


class Invited(NamedTuple):
    """`token` is the secret part of the link; it is told here and nowhere else."""

    invitation: Invitation
    token: str


@transaction.atomic
def invite(
    project: Project, *, by: User, role: Role = Role.ANNOTATOR, email: str = "", days: int = 7, max_uses: int = 1
) -> Invited:
    """A link that makes up to `max_uses` people members for the next `days` days. Raises ValueError for odd numbers."""
    if not 1 <= days <= 365:
        raise ValueError(_("An invitation is open for 1 to 365 days."))
    if not 1 <= max_uses <= 1000:
        raise ValueError(_("An invitation is for 1 to 1000 people."))
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        project=project,
        role=role,
        email=email,
        digest=Invitation.digest_of(token),
        max_uses=max_uses,
        expires_at=timezone.now() + datetime.timedelta(days=days),
        created_by=by,
    )
    AuditEntry.objects.record(
        Verb.INVITATION_MADE, by=by, project=project, subject=invitation, role=int(role), days=days, people=max_uses
    )
    return Invited(invitation, token)


@transaction.atomic
def revoke_invitation(invitation: Invitation, *, by: User) -> None:
    """From now on nobody can follow it; who has is still a member. Twice is once."""
    if Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=timezone.now()):
        AuditEntry.objects.record(Verb.INVITATION_REVOKED, by=by, project=invitation.project, subject=invitation)


@transaction.atomic
def accept_invitation(token: str, *, by: User) -> Membership:
    """Make `by` a member with the invitation's role. A role they have already is never lowered, a pause never ended.

    Raises ValueError with a sentence when the link is used up, expired, taken back or unknown, or for a paused member.
    """
    invitation = Invitation.objects.usable().of_token(token).select_related("project").first()
    if invitation is None:
        raise ValueError(_("This invitation cannot be used any more. Ask an admin of the project for a new one."))
    project = invitation.project
    Project.objects.select_for_update(no_key=True).values_list("pk").get(pk=project.pk)
    own = project.memberships.filter(user=by).first()
    if own is not None and own.is_paused:
        sentence = _("An admin has paused you in %(project)s: ask them to let you go on.")
        raise ValueError(sentence % {"project": project})
    if own is not None and own.role >= invitation.role:
        return own
    # Two people at once over the last place: the count of this statement says who has it.
    if not Invitation.objects.usable().filter(pk=invitation.pk).update(num_uses=F("num_uses") + 1):
        raise ValueError(_("This invitation cannot be used any more. Ask an admin of the project for a new one."))
    AuditEntry.objects.record(Verb.INVITATION_ACCEPTED, by=by, project=project, subject=invitation)
    return add_member(project, user=by, role=Role(invitation.role), by=by)
