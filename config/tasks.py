"""Celery's door to what the labelling side does by the clock: annotation itself knows nothing of Celery."""

from celery import shared_task

from annotation import webhooks
from annotation.actions import imports, tasks


@shared_task(name="config.tasks.deliver_webhooks")
def deliver_webhooks() -> None:
    webhooks.deliver_due()


@shared_task(name="config.tasks.prune_webhooks")
def prune_webhooks() -> None:
    webhooks.prune()


@shared_task(name="config.tasks.prune_uploads")
def prune_uploads() -> None:
    imports.prune_uploads()


@shared_task(name="config.tasks.top_up_repeats")
def top_up_repeats() -> None:
    tasks.top_up_repeats()
