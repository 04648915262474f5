"""What the scheduler sends is what a worker knows: a task renamed would otherwise never run, and nobody be told."""

from django.conf import settings

from config.celery import app


def test_every_scheduled_task_is_known_to_workers() -> None:
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {
        "config.tasks.deliver_webhooks",
        "config.tasks.prune_uploads",
        "config.tasks.top_up_repeats",
        "training.tasks.sweep_chats",
        "training.tasks.sweep_stale_runs",
    } <= scheduled
    assert scheduled <= set(app.tasks)
