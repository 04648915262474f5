"""Several senders at once: never two to one webhook, nothing twice, nothing lost when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from annotation import actions, webhooks
from annotation.models import Project, Webhook, WebhookDelivery
from tests.annotation.webhooks.listener import Listener, reply


@pytest.mark.django_db(transaction=True)
def test_several_senders_never_send_to_one_webhook_at_once_and_nothing_twice(
    project: Project, webhook: Webhook, listener: Listener
) -> None:
    for _ in range(20):
        actions.send_test(webhook)

    def deliver() -> None:
        try:
            webhooks.deliver_due()
        finally:
            connection.close()

    senders = [threading.Thread(target=deliver) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert sorted(listener.ids) == sorted(webhook.deliveries.values_list("message_id", flat=True))
    assert listener.most_at_once == 1


SENDER = "import django; django.setup(); from annotation import webhooks; webhooks.deliver_due()"


@pytest.mark.django_db(transaction=True)
def test_what_a_killed_sender_held_is_sent_again(project: Project, webhook: Webhook, listener: Listener) -> None:
    """A process of its own is killed with -9 while the receiver thinks; the lease runs out, another one sends."""
    thinks, over = threading.Event(), threading.Event()

    def think(handler: BaseHTTPRequestHandler) -> None:
        thinks.set()
        over.wait(60)

    listener.answers = [think, 200]
    sent = actions.send_test(webhook)
    name = connection.settings_dict["NAME"]
    given = os.environ.get("DATABASE_URL")
    url = f"{given.rpartition('/')[0]}/{name}" if given else django_settings.POSTGRES.url(name)
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url}
    sender = subprocess.Popen([sys.executable, "-c", SENDER], cwd=django_settings.BASE_DIR, env=env)
    try:
        assert thinks.wait(60)
    finally:
        sender.send_signal(signal.SIGKILL)
        sender.wait()
        over.set()
    assert webhooks.deliver_due() == 0, "the lease of the dead one still holds"
    Webhook.objects.update(busy_until=timezone.now())
    time.sleep(0.01)
    assert webhooks.deliver_due() == 1
    assert listener.ids == [sent.message_id] * 2
    sent.refresh_from_db()
    assert sent.status == "delivered"


@pytest.mark.django_db(transaction=True)
def test_a_webhook_removed_while_it_is_sent_to(project: Project, webhook: Webhook, listener: Listener) -> None:
    def remove(handler: BaseHTTPRequestHandler) -> None:
        try:
            actions.remove_webhook(Webhook.objects.get(), by=None)
        finally:
            connection.close()
        reply(handler, 200, b"")

    listener.answers = [remove]
    actions.send_test(webhook)
    assert webhooks.deliver_due() == 1
    assert not WebhookDelivery.objects.exists()
