"""Messages against a real server on loopback: signed, retried, given up, sent again."""

from __future__ import annotations

import datetime
import socket
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from django.test import Client
from django.utils import timezone, translation
from standardwebhooks.webhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError
from urllib3.exceptions import HTTPError

from annotation import actions, webhooks
from annotation.models import Project, User, Webhook, WebhookAttempt, WebhookDelivery
from annotation.webhooks import delivery, sending
from annotation.webhooks.addresses import Target, target_of
from tests.annotation.webhooks.conftest import ALL, judge_one
from tests.annotation.webhooks.listener import Listener, come_due, reply


def test_the_signature_is_what_receivers_expect(webhook: Webhook, listener: Listener) -> None:
    actions.send_test(webhook)
    webhooks.deliver_due()
    ((headers, body),) = listener.got
    assert Receiver(webhook.secret).verify(body, headers)["type"] == "webhook.test"
    with pytest.raises(WebhookVerificationError):
        Receiver(webhook.secret).verify(body.replace(b"test", b"tset"), headers)
    with pytest.raises(WebhookVerificationError):
        Receiver(webhooks.new_secret()).verify(body, headers)


def test_both_secrets_sign_while_one_is_changed(webhook: Webhook, listener: Listener) -> None:
    old = webhook.secret
    new = actions.change_secret(webhook, by=None).secret
    actions.send_test(webhook)
    webhooks.deliver_due()
    Webhook.objects.update(old_secret_until=timezone.now())
    actions.send_test(webhook)
    webhooks.deliver_due()
    (first, body), (second, later) = listener.got
    for secret in (old, new):
        Receiver(secret).verify(body, first)
    Receiver(new).verify(later, second)
    with pytest.raises(WebhookVerificationError):
        Receiver(old).verify(later, second)


def test_a_failure_is_tried_again_with_the_same_id(webhook: Webhook, listener: Listener) -> None:
    listener.answers = [500, 200]
    sent = actions.send_test(webhook)
    assert webhooks.deliver_due() == 1
    sent.refresh_from_db()
    assert sent.status == "waiting"
    pause = sent.next_attempt_at - timezone.now()
    assert datetime.timedelta(seconds=2) < pause < datetime.timedelta(seconds=7)
    assert webhooks.deliver_due() == 0, "not before its time"
    come_due(webhook)
    assert webhooks.deliver_due() == 1
    sent.refresh_from_db()
    assert sent.status == "delivered"
    assert listener.ids == [sent.message_id] * 2
    first, second = sent.attempts.all()
    assert (first.status_code, first.error_in_words) == (500, "It answered with status 500.")
    assert first.excerpt == ("answered " * 1000)[: sending.EXCERPT]
    assert (second.status_code, second.error) == (200, "")
    webhook.refresh_from_db()
    assert (webhook.num_failures, webhook.failing_since) == (0, None)


def test_pauses_grow_and_end(webhook: Webhook, listener: Listener) -> None:
    listener.answers = [503]
    sent = actions.send_test(webhook)
    pauses = []
    for _ in range(len(delivery.SCHEDULE) + 1):
        webhooks.deliver_due()
        sent.refresh_from_db()
        pauses.append(sent.next_attempt_at - timezone.now())
        come_due(webhook)
    assert sent.status == "given_up"
    for pause, planned in zip(pauses[:-1], delivery.SCHEDULE, strict=True):
        assert 0.7 * planned < pause < 1.3 * planned
    assert webhooks.deliver_due() == 0
    actions.send_again(sent)
    listener.answers = [200]
    assert webhooks.deliver_due() == 1
    assert sent.attempts.count() == len(delivery.SCHEDULE) + 2


def test_a_redirect_is_not_followed(webhook: Webhook, listener: Listener) -> None:
    listener.answers = [lambda handler: reply(handler, 302, b"", Location=listener.url), 200]
    sent = actions.send_test(webhook)
    webhooks.deliver_due()
    assert len(listener.got) == 1
    attempt = sent.attempts.get()
    assert attempt.status_code == 302
    assert "redirect" in attempt.error


def test_a_server_that_never_answers_costs_so_long_and_no_longer(listener: Listener) -> None:
    over = threading.Event()
    listener.answers = [lambda handler: over.wait(30) and None]
    outcome = sending.send(listener.url, body=b"{}", headers={}, total_seconds=0.5)
    over.set()
    assert (outcome.status_code, str(outcome.error)) == (None, "No answer within 0 seconds.")


def test_a_server_that_drips_costs_so_long_and_no_longer(listener: Listener) -> None:
    """Each byte comes in time for the socket's own timeout; the deadline is for the whole."""
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            while not over.wait(0.05):
                handler.wfile.write(b"x")
                handler.wfile.flush()
        except OSError:
            pass  # cut off, as it should be

    listener.answers = [drip]
    outcome = sending.send(listener.url, body=b"{}", headers={}, total_seconds=0.5)
    over.set()
    assert not outcome.is_delivered
    assert outcome.error.text


def test_a_handshake_that_drips_is_cut_too() -> None:
    """TLS shakes hands before the request; a record that comes byte by byte never lets the socket's own timeout end."""
    was_cut = threading.Event()

    def drip(server: socket.socket) -> None:
        taken, _address = server.accept()
        with taken:
            taken.recv(4096)
            taken.sendall(b"\x16\x03\x03\x40\x00")
            for _ in range(200):
                if was_cut.wait(0.05):
                    return
                try:
                    taken.sendall(b"\x02")
                except OSError:
                    was_cut.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = threading.Thread(target=drip, args=[server])
        dripping.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        outcome = sending.send(url, body=b"{}", headers={}, total_seconds=0.5)
        dripping.join()
    assert was_cut.is_set()
    assert (outcome.status_code, str(outcome.error)) == (None, "No answer within 0 seconds.")


def test_so_many_addresses_are_tried_and_no_more() -> None:
    with socket.create_server(("127.0.0.9", 0)) as server:
        port = server.getsockname()[1]
        deaf = [f"127.0.0.{n}" for n in range(2, 2 + sending.MOST_ADDRESSES)]
        for addresses, is_reached in ((deaf[1:], True), (deaf, False)):
            target = Target("http", "example.org", port, "/", [*addresses, "127.0.0.9"])
            with sending._Deadline(5) as deadline:
                if is_reached:
                    sending._connected(target, deadline).close()
                else:
                    with pytest.raises(HTTPError, match="refused"):
                        sending._connected(target, deadline)


def test_no_address_is_tried_when_the_time_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target("http", "example.org", server.getsockname()[1], "/", ["127.0.0.1"])
        with sending._Deadline(0) as deadline, pytest.raises(TimeoutError):
            sending._connected(target, deadline)


def test_nobody_listens(project: Project) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hook = actions.add_webhook(project, url=f"http://127.0.0.1:{port}/", events=ALL, by=None)
    sent = actions.send_test(hook)
    webhooks.deliver_due()
    attempt = sent.attempts.get()
    assert attempt.status_code is None
    assert "connection failed" in attempt.error


def test_gone_switches_it_off(project: Project, webhook: Webhook, listener: Listener) -> None:
    listener.answers = [410]
    actions.send_test(webhook)
    webhooks.deliver_due()
    webhook.refresh_from_db()
    project.refresh_from_db()
    assert (webhook.is_active, project.webhook_events) == (False, [])
    assert "410" in webhook.disabled_reason
    with pytest.raises(ValueError, match="switched off"):
        actions.send_test(webhook)


def test_days_of_failure_switch_it_off_and_switching_on_sends_what_waits(webhook: Webhook, listener: Listener) -> None:
    listener.answers = [500, 500, 200]
    actions.send_test(webhook)
    webhooks.deliver_due()
    Webhook.objects.update(failing_since=timezone.now() - delivery.DISABLE_AFTER)
    come_due(webhook)
    webhooks.deliver_due()
    webhook.refresh_from_db()
    assert not webhook.is_active
    assert "5 days" in webhook.disabled_in_words
    come_due(webhook)
    assert webhooks.deliver_due() == 0
    actions.change_webhook(webhook, url=webhook.url, events=ALL, is_active=True, by=None)
    assert webhooks.deliver_due() == 1
    assert webhook.deliveries.get().status == "delivered"


def test_a_dead_address_does_not_hold_up_the_others(project: Project, listener: Listener, alice: User) -> None:
    dead = actions.add_webhook(project, url="http://127.0.0.1:9/", events=ALL, by=None)
    actions.add_webhook(project, url=listener.url, events=ALL, by=None)
    judge_one(project, alice, 5)
    webhooks.deliver_due()
    assert len(listener.got) == 10
    assert dead.deliveries.filter(num_attempts=1).count() == 1, "it rests as a whole after one failure"


def test_what_was_finished_long_ago_is_forgotten(webhook: Webhook, listener: Listener) -> None:
    actions.send_test(webhook)
    webhooks.deliver_due()
    waiting = actions.send_test(webhook)
    WebhookDelivery.objects.update(created_at=timezone.now() - delivery.KEEP_FOR)
    webhooks.prune()
    assert list(webhook.deliveries.all()) == [waiting]


def test_what_went_wrong_is_read_in_the_readers_language(
    webhook: Webhook, project: Project, listener: Listener, carol: User, client: Client
) -> None:
    """Whatever the sender's language is."""
    listener.answers = [500]
    actions.send_test(webhook)
    with translation.override("zh-hans"):
        webhooks.deliver_due()
    attempt = WebhookAttempt.objects.get()
    assert attempt.error_in_words == "It answered with status 500."
    carol.language = "zh-hans"
    carol.save()
    client.force_login(carol)
    with translation.override("zh-hans"):  # the page leaves its language behind
        page = client.get(f"/projects/{project.slug}/webhooks/{webhook.pk}/").content.decode()
        assert attempt.error_in_words in page
        assert attempt.error_in_words != "It answered with status 500."


def test_a_refused_address_is_told_in_words() -> None:
    with pytest.raises(ValueError, match=r"host “x\.invalid” is not known") as refused:
        target_of("https://x.invalid/")
    with translation.override("zh-hans"):
        assert "x.invalid" in str(refused.value)
        assert "is not known" not in str(refused.value)
