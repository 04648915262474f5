"""A person's API tokens: made, shown once, revoked."""

from __future__ import annotations

import datetime
import hashlib
import secrets
from collections.abc import Collection
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import ApiToken, AuditEntry, Project, User, Verb

PREFIX = "plb_"
"""Lets secret scanners find a token that was published by mistake."""


class NewToken(NamedTuple):
    """The row, and the only sight of the token itself."""

    row: ApiToken
    token: str


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def create_token(
    user: User,
    *,
    name: str,
    scopes: Collection[str],
    project: Project | None = None,
    expires_at: datetime.datetime | None = None,
) -> NewToken:
    """A token of 256 random bits. project: the only one it reaches; None: all of the user's.

    Raises ValueError with a sentence when the name, the scopes, the project or the expiry will not do.
    """
    name = name.strip()
    if not name:
        raise ValueError(_("Give the token a name that says what uses it."))
    if not scopes or any(scope not in ApiToken.Scope.values for scope in scopes):
        raise ValueError(_("Choose what the token may do."))
    if project is not None and project.role_of(user) is None:
        raise ValueError(_("You are not in that project: choose one of yours."))
    if expires_at is not None and expires_at <= timezone.now():
        raise ValueError(_("The token would have expired already: choose a later day."))
    token = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user,
        name=name,
        digest=digest_of(token),
        hint=token[: len(PREFIX) + 4],
        scopes=[scope for scope in ApiToken.Scope.values if scope in scopes],
        project=project,
        expires_at=expires_at,
    )
    AuditEntry.objects.record(
        Verb.TOKEN_MADE, by=user, project=project, about=user, subject=f"token {row.pk}", scopes=row.scopes
    )
    return NewToken(row, token)


@transaction.atomic
def revoke_token(token: ApiToken, *, by: User) -> bool:
    """From the next request on it is refused; False when it was revoked before."""
    if not ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        return False
    AuditEntry.objects.record(
        Verb.TOKEN_REVOKED, by=by, project=token.project, about=token.user, subject=f"token {token.pk}"
    )
    return True
