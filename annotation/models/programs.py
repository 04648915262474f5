"""How programs reach a project, and how it reaches them: API tokens, webhooks and the outbox of what they are told."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.models.people import Project, User


def in_words(text: str, values: Mapping[str, Any]) -> str:
    """A sentence that was kept as it stands in the source code, in the language of now. Without values it has no places
    for any: so are kept those that were once put together before they were kept.
    """
    if not text:
        return ""
    return gettext(text) % values if values else gettext(text)


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def valid(self) -> ApiTokenQuerySet:
        """Neither revoked nor expired, and of an account that is still active."""
        not_expired = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
        return self.filter(not_expired, revoked_at__isnull=True, user__is_active=True)


class ApiToken(models.Model):
    """A program's key to the API, with at most its user's rights.

    Only the SHA-256 digest is kept. A password needs a slow hash because people choose guessable ones; a token is 256
    random bits, which no one guesses at any speed, and a fast digest can be looked up by an index.
    """

    class Scope(models.TextChoices):
        READ = "read", _("read: projects, prompts, answers, tasks, judgments, exports")
        WRITE = "write", _("write: add prompts, answers and tasks, change tasks")
        ANNOTATE = "annotate", _("annotate: take tasks and judge them as you")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False, help_text="How it begins, so that people recognise it.")
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope.choices))
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="api_tokens",
        help_text=_("The only project it reaches; empty: all of its user's."),
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__len__gte=1) & Q(scopes__contained_by=["read", "write", "annotate"]),
                name="a_token_has_a_known_scope",
            )
        ]

    def __str__(self) -> str:
        return f"{self.hint}… ({self.name})"

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class ApiUse(models.Model):
    """How often a token was used in the current minute: what the rate limit counts.

    The table is UNLOGGED (its migration says so): a count is worth nothing after a crash, and so costs no disk write.
    """

    token = models.OneToOneField(ApiToken, primary_key=True, on_delete=models.CASCADE, related_name="use")
    minute = models.DateTimeField()
    num_requests = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.num_requests} by {self.token} in {self.minute}"


class Event(models.TextChoices):
    """What a webhook can be told. The names are part of the public interface and never change."""

    JUDGMENT_CREATED = "judgment.created", _("a judgment came in")
    JUDGMENT_REVISED = "judgment.revised", _("a judgment was revised")
    JUDGMENT_UNDONE = "judgment.undone", _("a judgment was undone")
    JUDGMENTS_VOIDED = "judgments.voided", _("labels were taken out of the count")
    JUDGMENTS_RESTORED = "judgments.restored", _("labels count again")
    TASK_COMPLETED = "task.completed", _("a task has all its judgments")
    IMPORT_FINISHED = "import.finished", _("an import finished")
    GUIDELINES_PUBLISHED = "project.guidelines_published", _("new guidelines were published")
    RUN_SUCCEEDED = "run.succeeded", _("a run succeeded")
    RUN_FAILED = "run.failed", _("a run failed")


TEST_EVENT = "webhook.test"


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def due(self, now: datetime.datetime) -> WebhookQuerySet:
        """Those with something to send, that nobody is sending to and that do not rest after a failure."""
        waiting = WebhookDelivery.objects.due(now).filter(webhook=models.OuterRef("pk"))
        return self.filter(models.Exists(waiting), is_active=True, busy_until__lte=now, rests_until__lte=now)


class Webhook(models.Model):
    """An address that is told what happens in a project, signed as Standard Webhooks describes."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=500)
    events = ArrayField(models.CharField(max_length=40, choices=Event.choices))
    # Kept as it is, unlike a token: signing needs it.
    secret = models.CharField(max_length=100, editable=False)
    old_secret = models.CharField(max_length=100, blank=True, editable=False)
    old_secret_until = models.DateTimeField(
        null=True, editable=False, help_text="Until then messages are signed with both, so that receivers can change."
    )
    is_active = models.BooleanField(default=True)
    disabled_reason = models.TextField(
        blank=True,
        editable=False,
        help_text="Why it was switched off by itself: as in the source code, see in_words().",
    )
    disabled_values = models.JSONField(default=dict, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    num_failures = models.PositiveIntegerField(default=0, editable=False, help_text="In a row.")
    busy_until = models.DateTimeField(default=timezone.now, editable=False, help_text="A sender's lease.")
    rests_until = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.url

    @property
    def event_labels(self) -> list[str]:
        return [str(Event(event).label) for event in self.events]

    @property
    def disabled_in_words(self) -> str:
        return in_words(self.disabled_reason, self.disabled_values)


class DeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def waiting(self) -> DeliveryQuerySet:
        return self.filter(status=WebhookDelivery.Status.WAITING)

    def due(self, now: datetime.datetime) -> DeliveryQuerySet:
        return self.waiting().filter(next_attempt_at__lte=now)


class WebhookDelivery(models.Model):
    """One message to one webhook: written in the transaction of what it tells, sent later."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        GIVEN_UP = "given_up", _("given up")

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    message_id = models.CharField(max_length=60, help_text="The same however often it is sent.")
    event = models.CharField(max_length=40)
    body = models.TextField(help_text="The JSON text that is signed and sent, to the byte.")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.WAITING)
    num_attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [models.UniqueConstraint(fields=["webhook", "message_id"], name="a_webhook_has_a_message_once")]
        indexes = [
            models.Index(
                fields=["webhook", "next_attempt_at"], condition=Q(status="waiting"), name="deliveries_that_wait"
            ),
            models.Index(fields=["webhook", "-id"], name="deliveries_of_a_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"


class WebhookAttempt(models.Model):
    """One try to deliver a message, and what came of it."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="attempts")
    started_at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True, help_text="Empty: no answer came.")
    excerpt = models.TextField(blank=True, help_text="How the answer begins.")
    error = models.TextField(
        blank=True, help_text="A sentence, when it did not work: as in the source code, see in_words()."
    )
    error_values = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.status_code or self.error}"

    @property
    def error_in_words(self) -> str:
        return in_words(self.error, self.error_values)
