"""manage.py createsuperuser: Django's own, with an entry in the audit log."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.db import transaction

from annotation.models import AuditEntry, User, Verb


class Command(createsuperuser.Command):
    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        newest = User.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        super().handle(*args, **options)
        for user in User.objects.filter(pk__gt=newest, is_superuser=True):
            AuditEntry.objects.record(Verb.ACCOUNT_CREATED, by=None, about=user, command="createsuperuser")
