"""The outbox is emptied: webhooks with something due are claimed one by one, their messages sent in order.

A claim is a lease on the webhook's row, taken under FOR UPDATE SKIP LOCKED, so two senders never send to one webhook at
once; when a sender dies, its lease runs out and the message is sent again, with the same id. No transaction is open
while a request is under way.
"""

from __future__ import annotations

import datetime
import logging
import random
import time

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from annotation.models import Project, Webhook, WebhookAttempt, WebhookDelivery
from annotation.webhooks.outbox import remember_events
from annotation.webhooks.sending import TOTAL_SECONDS, Outcome, send
from annotation.webhooks.sentences import Sentence
from annotation.webhooks.signing import signature

logger = logging.getLogger(__name__)

SECOND, MINUTE, HOUR = (datetime.timedelta(seconds=seconds) for seconds in (1, 60, 3600))
SCHEDULE = [
    *(5 * SECOND, 5 * MINUTE, 30 * MINUTE),
    *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24)),
]
"""How long after a failed attempt the next one comes: the specification's table, ten attempts in about three days."""
JITTER = 0.2
"""So that messages that failed together do not come back together."""
LONGEST_REST = 5 * MINUTE
"""A webhook that failed rests as a whole, so that its other messages do not wait for one timeout after the other."""
LEASE = datetime.timedelta(seconds=TOTAL_SECONDS * 4)
"""Renewed before each attempt: looking up the host, connecting and the answer fit in well."""
DISABLE_AFTER = datetime.timedelta(days=5)
KEEP_FOR = datetime.timedelta(days=30)
AT_ONCE = 50
"""Messages to one webhook before the next webhook has its turn."""


def deliver_due(*, seconds: float = 20.0) -> int:
    """Send what is due until nothing is, or the time is up; returns the number of attempts."""
    num, until = 0, time.monotonic() + seconds
    while time.monotonic() < until and (webhook := _claim()) is not None:
        num += _empty(webhook, until=until)
    return num


def prune() -> int:
    """Forget what was delivered or given up long ago; returns the number of messages."""
    finished = WebhookDelivery.objects.exclude(status=WebhookDelivery.Status.WAITING)
    return finished.filter(created_at__lt=timezone.now() - KEEP_FOR).delete()[0]


@transaction.atomic
def _claim() -> Webhook | None:
    now = timezone.now()
    unclaimed = Webhook.objects.due(now).select_for_update(skip_locked=True, no_key=True)
    webhook = unclaimed.order_by("busy_until", "id").first()
    if webhook is not None:
        webhook.busy_until = now + LEASE
        webhook.save(update_fields=["busy_until"])
    return webhook


def _empty(webhook: Webhook, *, until: float) -> int:
    """Send its due messages, oldest first, until one fails."""
    num = 0
    while num < AT_ONCE and time.monotonic() < until:
        due = webhook.deliveries.due(timezone.now()).order_by("next_attempt_at", "id").first()
        if due is None or not _renew(webhook):
            break
        num += 1
        if not _attempt(webhook, due):
            break
    Webhook.objects.filter(pk=webhook.pk, busy_until=webhook.busy_until).update(busy_until=timezone.now())
    return num


def _renew(webhook: Webhook) -> bool:
    """False when another sender has it meanwhile, or an admin switched it off."""
    busy_until = timezone.now() + LEASE
    held = Webhook.objects.filter(pk=webhook.pk, busy_until=webhook.busy_until, is_active=True)
    if not held.update(busy_until=busy_until):
        return False
    webhook.refresh_from_db()
    return True


def _attempt(webhook: Webhook, delivery: WebhookDelivery) -> bool:
    started_at = timezone.now()
    body = delivery.body.encode()
    timestamp = int(started_at.timestamp())
    outcome = send(
        webhook.url,
        body=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "Plumbline-Webhooks/1",
            "webhook-id": delivery.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(
                _keys(webhook, started_at), message_id=delivery.message_id, timestamp=timestamp, body=body
            ),
        },
    )
    if (reason := _record(webhook, delivery, outcome, started_at=started_at)).text:
        disable(webhook, reason=reason)
    return outcome.is_delivered


def _keys(webhook: Webhook, now: datetime.datetime) -> list[str]:
    is_old_known = webhook.old_secret and webhook.old_secret_until and webhook.old_secret_until > now
    return [webhook.secret, webhook.old_secret] if is_old_known else [webhook.secret]


@transaction.atomic
def _record(
    sent_to: Webhook, delivery: WebhookDelivery, outcome: Outcome, *, started_at: datetime.datetime
) -> Sentence:
    """Returns why the webhook is to be switched off, if it is."""
    # Read anew: an admin may have changed it, or removed it with its messages, while the request was under way.
    webhook = Webhook.objects.select_for_update(no_key=True).filter(pk=sent_to.pk).first()
    if webhook is None:
        return Sentence()
    WebhookAttempt.objects.create(
        delivery=delivery,
        started_at=started_at,
        milliseconds=outcome.milliseconds,
        status_code=outcome.status_code,
        excerpt=outcome.excerpt,
        error=outcome.error.text,
        error_values=outcome.error.values,
    )
    now = timezone.now()
    delivery.num_attempts += 1
    if outcome.is_delivered:
        delivery.status = WebhookDelivery.Status.DELIVERED
        webhook.num_failures, webhook.failing_since = 0, None
    else:
        _postpone(webhook, delivery, now)
    delivery.save(update_fields=["status", "num_attempts", "next_attempt_at"])
    webhook.save(update_fields=["num_failures", "failing_since", "rests_until"])
    if outcome.status_code == 410:
        return Sentence(_("The address answered with 410: it wants no more messages."))
    if webhook.failing_since is not None and now - webhook.failing_since >= DISABLE_AFTER:
        return Sentence(_("Every attempt failed for %(days)d days."), {"days": DISABLE_AFTER.days})
    return Sentence()


def _postpone(webhook: Webhook, delivery: WebhookDelivery, now: datetime.datetime) -> None:
    webhook.num_failures += 1
    webhook.failing_since = webhook.failing_since or now
    webhook.rests_until = now + min(SCHEDULE[min(webhook.num_failures, len(SCHEDULE)) - 1], LONGEST_REST)
    if delivery.num_attempts > len(SCHEDULE):
        delivery.status = WebhookDelivery.Status.GIVEN_UP
    else:
        delivery.next_attempt_at = now + _jittered(SCHEDULE[delivery.num_attempts - 1])


def _jittered(pause: datetime.timedelta) -> datetime.timedelta:
    return pause * (1 + random.uniform(-JITTER, JITTER))


@transaction.atomic
def disable(webhook: Webhook, *, reason: Sentence) -> None:
    """Switch it off by itself; its page tells the admins why."""
    project = Project.objects.select_for_update(no_key=True).get(pk=webhook.project_id)
    webhook.is_active, webhook.disabled_reason, webhook.disabled_values = False, reason.text, reason.values
    webhook.save(update_fields=["is_active", "disabled_reason", "disabled_values"])
    remember_events(project)
    logger.warning("webhook %s of %s was switched off: %s", webhook.pk, project.slug, reason)
