"""What happened, written down for each webhook that wants to be told, in the transaction in which it happened.

Messages are thin: ids, names and numbers, never a prompt, an answer or a rationale. Who wants those asks the API, with
a token whose rights are checked at that moment.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation.models import TEST_EVENT, Event, Judgment, Project, Task, User, Webhook, WebhookDelivery


def announce(project: Project, event: Event, **data: Any) -> None:
    """Tell the project's webhooks. Without one that wants the event, this costs no query.

    data: what JSON can hold. The caller is in the transaction of what it tells.
    """
    if event not in project.webhook_events:
        return
    _write(project.webhooks.filter(is_active=True, events__contains=[event]), project, event, data)


def announce_judgment(event: Event, judgment: Judgment, *, task: Task, by: User) -> None:
    """A judgment that came in, was revised or undone; and the task's completion, when it was the last one.

    Judgments on gold tasks and repeats are not told: what people are measured by is not for every channel.
    """
    project = task.project
    if not project.webhook_events or task.control:
        return
    announce(
        project,
        event,
        judgment=judgment.pk,
        task=task.pk,
        kind=task.kind,
        annotator=by.username,
        judged_at=judgment.created_at.isoformat(),
    )
    if event == Event.JUDGMENT_CREATED and Event.TASK_COMPLETED in project.webhook_events:
        counts = Task.objects.questions().done().filter(pk=task.pk).values_list("num_judged", flat=True)
        if num_judged := counts.first():
            announce(project, Event.TASK_COMPLETED, task=task.pk, kind=task.kind, num_judged=num_judged)


@transaction.atomic
def announce_test(webhook: Webhook) -> WebhookDelivery:
    """A message that says nothing, to see whether the address takes it."""
    webhooks = Webhook.objects.filter(pk=webhook.pk)
    return _write(webhooks, webhook.project, TEST_EVENT, {"webhook": webhook.pk})[0]


def _write(webhooks: Any, project: Project, event: str, data: dict[str, Any]) -> list[WebhookDelivery]:
    now = timezone.now()
    message = {"type": event, "timestamp": now.isoformat(), "data": {"project": project.slug, **data}}
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    message_id = f"msg_{uuid.uuid4().hex}"
    return WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            webhook=webhook, message_id=message_id, event=event, body=body, next_attempt_at=now, created_at=now
        )
        for webhook in webhooks
    )


def remember_events(project: Project) -> None:
    """Write down what the project's active webhooks want. The caller holds the project's row lock."""
    wanted = {event for events in project.webhooks.filter(is_active=True).values_list("events", flat=True)
              for event in events}  # fmt: skip
    project.webhook_events = sorted(wanted)
    project.save(update_fields=["webhook_events"])
