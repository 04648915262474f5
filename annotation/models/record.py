"""The audit log: who changed what, when and from where. Rows are only ever added; the database refuses the rest.

An entry names people by their row and never by name or address, here and in `details`: so erasing a person's account
takes their name out of the log without touching it. The one part of an entry that says something of a person is the
network address, and emptying it is the one change that the database lets through.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotation.models.people import Project, Role, User

_asked_from: ContextVar[str | None] = ContextVar("asked_from", default=None)


@contextmanager
def asked_from(address: str | None) -> Iterator[None]:
    """What is recorded inside came from this network address. Each request is wrapped in it: annotation/origin.py."""
    token = _asked_from.set(address)
    try:
        yield
    finally:
        _asked_from.reset(token)


class Verb(models.TextChoices):
    """What can be recorded. A word once used is never renamed: the entries that hold it stay."""

    PROJECT_CREATED = "project.created", _("created the project")
    PROJECT_CHANGED = "project.changed", _("changed the project's settings")
    CRITERION_ADDED = "criterion.added", _("added a criterion")
    CRITERION_CHANGED = "criterion.changed", _("changed a criterion")
    CRITERION_REMOVED = "criterion.removed", _("removed a criterion")
    GUIDELINES_PUBLISHED = "guidelines.published", _("published guidelines")

    MEMBER_ADDED = "member.added", _("added a member")
    MEMBER_ROLE_CHANGED = "member.role_changed", _("changed a member's role")
    MEMBER_PAUSED = "member.paused", _("paused a member")
    MEMBER_RESUMED = "member.resumed", _("ended a member's pause")
    MEMBER_REMOVED = "member.removed", _("removed a member")
    INVITATION_MADE = "invitation.made", _("made an invitation")
    INVITATION_ACCEPTED = "invitation.accepted", _("accepted an invitation")
    INVITATION_REVOKED = "invitation.revoked", _("revoked an invitation")

    TASKS_CREATED = "tasks.created", _("created tasks")
    TASKS_CHANGED = "tasks.changed", _("changed tasks")
    TASKS_WITHDRAWN = "tasks.withdrawn", _("withdrew tasks")
    TASKS_RESTORED = "tasks.restored", _("brought tasks back")
    GOLD_SET = "gold.set", _("set a right answer")
    GOLD_RETIRED = "gold.retired", _("retired a gold task")
    VERDICT_GIVEN = "verdict.given", _("gave a verdict")
    VERDICT_WITHDRAWN = "verdict.withdrawn", _("withdrew a verdict")
    LABELS_VOIDED = "labels.voided", _("took labels out of the count")
    LABELS_RESTORED = "labels.restored", _("brought labels back into the count")
    IMPORTED = "data.imported", _("imported data")
    IMPORT_CANCELLED = "data.import_cancelled", _("stopped an import")
    EXPORTED = "data.exported", _("exported data")

    TOKEN_MADE = "token.made", _("made an access token")
    TOKEN_REVOKED = "token.revoked", _("revoked an access token")
    WEBHOOK_MADE = "webhook.made", _("made a webhook")
    WEBHOOK_CHANGED = "webhook.changed", _("changed a webhook")
    WEBHOOK_REMOVED = "webhook.removed", _("removed a webhook")

    SNAPSHOT_FROZEN = "snapshot.frozen", _("froze the labels")
    RUN_STARTED = "run.started", _("started a run")
    RUN_CANCELLED = "run.cancelled", _("stopped a run")
    RUN_RESUMED = "run.resumed", _("resumed a run")
    MODEL_REGISTERED = "model.registered", _("registered a model version")
    MODEL_PROMOTED = "model.promoted", _("moved a model version to a stage")
    MODEL_DOWNLOADED = "model.downloaded", _("downloaded a model version")
    MODEL_PUSHED = "model.pushed", _("sent a model version to a hub")
    MODEL_DELETED = "model.deleted", _("deleted a model version")
    REVIEW_OPENED = "review.opened", _("opened a review of two versions")
    REVIEW_VOTED = "review.voted", _("voted on a pair in a review")
    REVIEW_COMMENTED = "review.commented", _("commented on a review")
    REVIEW_CLOSED = "review.closed", _("approved or rejected a version in a review")

    CHAT_STARTED = "chat.started", _("started a chat with a model version")
    CHAT_READ = "chat.read", _("read somebody else's chat")
    CHAT_DELETED = "chat.deleted", _("deleted a chat with a model version")

    ACCOUNT_CREATED = "account.created", _("created an account")
    ACCOUNT_CHANGED = "account.changed", _("changed an account")
    ACCOUNT_EXPORTED = "account.exported", _("exported an account's data")
    ACCOUNT_ERASED = "account.erased", _("erased an account")


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def newest_first(self) -> AuditEntryQuerySet:
        return self.order_by("-at", "-id")

    def with_people(self) -> AuditEntryQuerySet:
        return self.select_related("actor", "about", "project")

    def before(self, entry: AuditEntry) -> AuditEntryQuerySet:
        """Those that stand below this one in the list."""
        return self.filter(models.Q(at__lt=entry.at) | models.Q(at=entry.at, id__lt=entry.pk))

    def between(self, first: datetime.datetime | None, end: datetime.datetime | None) -> AuditEntryQuerySet:
        """first: the earliest moment that is in; end: the first that is not."""
        rows = self if first is None else self.filter(at__gte=first)
        return rows if end is None else rows.filter(at__lt=end)

    def record(
        self,
        verb: Verb,
        *,
        by: User | None,
        project: Project | None = None,
        about: User | None = None,
        subject: object = "",
        **details: Any,
    ) -> AuditEntry:
        """Keep that `by` did this (None: a program did), inside the transaction of the change itself.

        about: the person it was done to. subject: what it was done to, in a word or two ("run 7", a slug).
        details: plain values; of a change [before, after]. Never a person's name, address or free text about one:
        these must go when the person's account is erased, and the log stays.
        Raises TransactionManagementError outside a transaction: the change could stay and its entry be lost.
        """
        if not transaction.get_connection(self.db).in_atomic_block:
            raise transaction.TransactionManagementError("record() belongs into the transaction of the change.")
        return self.create(
            verb=verb,
            actor=by,
            project=project,
            about=about,
            subject=str(subject)[:200],
            details=details,
            address=_asked_from.get(),
        )


class AuditEntry(models.Model):
    """One change. People and project are pointed at without a constraint: the log outlives what it speaks of."""

    at = models.DateTimeField(default=timezone.now)
    verb = models.CharField(max_length=40)  # no choices: a new word needs no migration
    actor = models.ForeignKey(
        User, null=True, db_constraint=False, db_index=False, on_delete=models.DO_NOTHING, related_name="+",
        help_text=_("Empty: a program did it, started from the command line or by itself."),
    )  # fmt: skip
    project = models.ForeignKey(
        Project, null=True, db_constraint=False, db_index=False, on_delete=models.DO_NOTHING, related_name="+"
    )
    about = models.ForeignKey(User, null=True, db_constraint=False, on_delete=models.DO_NOTHING, related_name="+")
    subject = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    address = models.GenericIPAddressField(null=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["project", "-at", "-id"], name="audit_of_a_project"),
            models.Index(fields=["project", "verb", "-at", "-id"], name="audit_of_a_verb"),
            models.Index(fields=["project", "actor", "-at", "-id"], name="audit_of_a_person"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.verb}"

    @property
    def label(self) -> str:
        """The verb in the reader's language; one that is no longer known as it was written."""
        return str(Verb(self.verb).label) if self.verb in Verb.values else self.verb

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The details as a reader wants them: (what, how it is, or how it was → how it is)."""
        return [(key, _in_words(key, value)) for key, value in self.details.items()]


LISTS = {"events", "fields", "scopes", "versions"}
"""Details of which there may be several; any other list is a change: [before, after]."""


def _in_words(key: str, value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    return (", " if key in LISTS else " → ").join(_shown(key, part) for part in parts)


def _shown(key: str, value: Any) -> str:
    return str(Role(value).label) if key == "role" and value in Role.values else str(value)
