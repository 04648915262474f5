"""A project's webhooks: added, changed, their secret changed, removed; messages sent again."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import AuditEntry, Event, Project, User, Verb, Webhook, WebhookDelivery
from annotation.webhooks import announce_test, check_url, new_secret, remember_events

MOST = 20
"""Webhooks of a project: each costs a row for every event."""
BOTH_SECRETS = datetime.timedelta(hours=24)
"""How long messages are signed with the old secret too, after it was changed."""


@transaction.atomic
def add_webhook(project: Project, *, url: str, events: Collection[str], by: User | None) -> Webhook:
    """Tell this address from now on. Raises ValueError with a sentence when the address or the events will not do."""
    locked = _lock(project)
    if locked.webhooks.count() >= MOST:
        raise ValueError(_("A project has at most %(most)d webhooks: remove one first.") % {"most": MOST})
    webhook = Webhook.objects.create(
        project=project, url=_checked(url), events=_known(events), secret=new_secret(), created_by=by
    )
    remember_events(locked)
    _record(Verb.WEBHOOK_MADE, webhook, by=by, events=webhook.events)
    return webhook


@transaction.atomic
def change_webhook(webhook: Webhook, *, url: str, events: Collection[str], is_active: bool, by: User | None) -> Webhook:
    """Switched on again, it starts anew: what failed before is forgotten, what still waits is sent at once."""
    locked = _lock(webhook.project)
    webhook.url, webhook.events = _checked(url), _known(events)
    if is_active and not webhook.is_active:
        webhook.disabled_reason, webhook.disabled_values = "", {}
        webhook.failing_since, webhook.num_failures = None, 0
        webhook.rests_until = timezone.now()
    webhook.is_active = is_active
    webhook.save(
        update_fields=[
            *("url", "events", "is_active", "disabled_reason", "disabled_values"),
            *("failing_since", "num_failures", "rests_until"),
        ]
    )
    remember_events(locked)
    _record(Verb.WEBHOOK_CHANGED, webhook, by=by, events=webhook.events, is_active=is_active)
    return webhook


@transaction.atomic
def change_secret(webhook: Webhook, *, by: User | None) -> Webhook:
    """A new secret; for a day messages carry a signature of each, so that no message is refused meanwhile."""
    webhook = Webhook.objects.select_for_update(no_key=True).get(pk=webhook.pk)
    webhook.old_secret, webhook.secret = webhook.secret, new_secret()
    webhook.old_secret_until = timezone.now() + BOTH_SECRETS
    webhook.save(update_fields=["secret", "old_secret", "old_secret_until"])
    _record(Verb.WEBHOOK_CHANGED, webhook, by=by, secret="changed")
    return webhook


@transaction.atomic
def remove_webhook(webhook: Webhook, *, by: User | None) -> None:
    """With its log and what still waits to be sent."""
    locked = _lock(webhook.project)
    _record(Verb.WEBHOOK_REMOVED, webhook, by=by)
    webhook.delete()
    remember_events(locked)


@transaction.atomic
def send_test(webhook: Webhook) -> WebhookDelivery:
    """A message of the type webhook.test, at once. Raises ValueError for a webhook that is switched off."""
    _wake(webhook)
    return announce_test(webhook)


@transaction.atomic
def send_again(delivery: WebhookDelivery) -> WebhookDelivery:
    """The same message with the same id, at once. Raises ValueError for a webhook that is switched off."""
    _wake(delivery.webhook)
    delivery.status, delivery.next_attempt_at = WebhookDelivery.Status.WAITING, timezone.now()
    delivery.save(update_fields=["status", "next_attempt_at"])
    return delivery


def _wake(webhook: Webhook) -> None:
    """No rest after a failure: somebody wants to see it now."""
    if not Webhook.objects.filter(pk=webhook.pk, is_active=True).update(rests_until=timezone.now()):
        raise ValueError(_("This webhook is switched off: switch it on first."))


def _record(verb: Verb, webhook: Webhook, *, by: User | None, **details: Any) -> None:
    AuditEntry.objects.record(verb, by=by, project=webhook.project, subject=f"webhook {webhook.pk}", **details)


def _lock(project: Project) -> Project:
    return Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _checked(url: str) -> str:
    url = url.strip()
    if len(url) > 500:
        raise ValueError(_("The address is longer than 500 characters."))
    check_url(url)
    return url


def _known(events: Collection[str]) -> list[str]:
    if not events or any(event not in Event.values for event in events):
        raise ValueError(_("Choose what the webhook is told."))
    return [event for event in Event.values if event in events]
