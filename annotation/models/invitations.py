"""Invitations into a project: a link that makes whoever follows it a member."""

from __future__ import annotations

import hashlib

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from annotation.models.people import Project, Role, User


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def usable(self) -> InvitationQuerySet:
        return self.filter(revoked_at=None, expires_at__gt=timezone.now(), num_uses__lt=F("max_uses"))

    def of_token(self, token: str) -> InvitationQuerySet:
        return self.filter(digest=Invitation.digest_of(token))


class Invitation(models.Model):
    """The link itself is shown once and kept nowhere: who reads the database cannot follow it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invitations")
    role = models.PositiveSmallIntegerField(choices=Role.choices, default=Role.ANNOTATOR)
    email = models.EmailField(blank=True, help_text="Where the link was sent; whoever holds it may follow it.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the link's token.")
    max_uses = models.PositiveIntegerField(default=1)
    num_uses = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(num_uses__lte=F("max_uses")), name="no_invitation_is_used_too_often")
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk}"

    @staticmethod
    def digest_of(token: str) -> str:
        """A token is 256 random bits, which nobody can guess: so a fast hash keeps it as well as a slow one."""
        return hashlib.sha256(token.encode()).hexdigest()

    @property
    def state(self) -> str:
        if self.revoked_at:
            return "revoked"
        if self.num_uses >= self.max_uses:
            return "used"
        return "open" if self.expires_at > timezone.now() else "expired"
