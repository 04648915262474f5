"""Celery's door to what the labelling side does by the clock: annotation itself knows nothing of Celery."""

from celery import shared_task

from annotation import webhooks
from annotation.actions import imports


@shared_task(name="config.tasks.deliver_webhooks")
def deliver_webhooks() -> None:
    webhooks.deliver_due()


@shared_task(name="config.tasks.prune_webhooks")
def prune_webhooks() -> None:
    webhooks.prune()


@shared_task(name="config.tasks.prune_uploads")
def prune_uploads() -> None:
    imports.prune_uploads()
