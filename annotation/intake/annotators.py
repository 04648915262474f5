"""Who a file's annotators are: members of the project by name, else users made for the import, who cannot log in."""

from __future__ import annotations

import itertools

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils.text import slugify

from annotation.models import AuditEntry, Project, User, Verb

AnnotatorName = tuple[str, bool]
"""Name in the file (empty: the import itself), is_simulated."""


def annotators_of(project: Project, names: set[AnnotatorName], *, source: str) -> dict[AnnotatorName, User]:
    members = set(project.memberships.values_list("user_id", flat=True))
    return {
        (name, is_simulated): _annotator(
            project, name or f"import-{slugify(source) or 'file'}", is_simulated=is_simulated, members=members
        )
        for name, is_simulated in sorted(names)
    }


def _annotator(project: Project, name: str, *, is_simulated: bool, members: set[int]) -> User:
    """A member with this name, else an import's user of this name; never a person who is not in the project."""
    others = (f"{name[:130]} (imported {number})" for number in itertools.count(1))
    for username in itertools.chain([name], others):
        user, created = User.objects.get_or_create(
            username=username,
            defaults={"is_active": False, "is_simulated": is_simulated, "password": make_password(None)},
        )
        if created:
            with transaction.atomic():  # a part of the import's
                AuditEntry.objects.record(Verb.ACCOUNT_CREATED, by=None, project=project, about=user, origin="import")
        is_of_an_import = not user.is_active and not user.has_usable_password()
        if created or (user.is_simulated == is_simulated and (user.pk in members or is_of_an_import)):
            return user
    raise AssertionError("the numbers have ended")
