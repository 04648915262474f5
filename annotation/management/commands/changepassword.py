"""manage.py changepassword: Django's own, with an entry in the audit log."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from annotation.models import AuditEntry, User, Verb


class Command(changepassword.Command):
    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> str | None:
        said = super().handle(*args, **options)
        user = User.objects.get(username=options["username"] or getpass.getuser())
        AuditEntry.objects.record(
            Verb.ACCOUNT_CHANGED, by=None, about=user, fields=["password"], command="changepassword"
        )
        return said
