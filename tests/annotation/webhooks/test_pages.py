"""/projects/<slug>/webhooks/ : added, changed, tested, read back and removed by an admin."""

from typing import Any

import pytest
from django.urls import reverse

from annotation import actions, webhooks
from annotation.models import AuditEntry, Project, User, Webhook
from tests.annotation.conftest import browser_of, text_of
from tests.annotation.webhooks.conftest import ALL
from tests.annotation.webhooks.listener import Listener


def address(name: str, webhook: Webhook, *more: int) -> str:
    return reverse(f"annotation:{name}", args=[webhook.project.slug, webhook.pk, *more])


def test_a_webhook_is_added(project: Project, carol: User, listener: Listener) -> None:
    path = reverse("annotation:webhooks", args=[project.slug])
    assert "No program is told" in text_of(carol, path)
    response = browser_of(carol).post(path, {"url": listener.url, "events": ["task.completed"]})
    added = Webhook.objects.get()
    assert (response.status_code, response["Location"]) == (302, address("webhook", added))
    assert (added.url, added.events, added.created_by) == (listener.url, ["task.completed"], carol)
    assert listener.url in text_of(carol, path).replace("&amp;", "&")
    project.refresh_from_db()
    assert project.webhook_events == ["task.completed"]
    assert AuditEntry.objects.get(verb="webhook.made").actor == carol


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"url": ""}, "Write the address"),
        ({"url": "ftp://example.org"}, "must begin with https://"),
        ({"events": []}, "Choose what the webhook is told"),
        ({"events": ["all"]}, "all"),
    ],
)
def test_what_will_not_do_comes_back_with_a_sentence(
    project: Project, carol: User, values: dict[str, Any], sentence: str
) -> None:
    path = reverse("annotation:webhooks", args=[project.slug])
    response = browser_of(carol).post(path, {"url": "https://example.org/", "events": ALL, **values})
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not Webhook.objects.exists()


def test_a_webhook_is_changed_and_switched_off(webhook: Webhook, carol: User) -> None:
    values = {"url": "https://example.org/", "events": ["import.finished"]}
    assert browser_of(carol).post(address("webhook", webhook), values).status_code == 302
    webhook.refresh_from_db()
    assert (webhook.url, webhook.events, webhook.is_active) == ("https://example.org/", ["import.finished"], False)
    bad = browser_of(carol).post(address("webhook", webhook), values | {"url": "http://a:b@example.org"})
    assert bad.status_code == 422
    assert "Leave the user name" in bad.content.decode()


def test_the_log_tells_what_came_of_it(webhook: Webhook, carol: User, listener: Listener) -> None:
    listener.answers = [500, 200]
    browser = browser_of(carol)
    browser.post(address("webhook_test", webhook))
    webhooks.deliver_due()
    page = text_of(carol, address("webhook", webhook))
    for told in ("webhook.test", "500", "It answered with status 500.", "answered answered", "msg_", "failing since"):
        assert told in page
    sent = webhook.deliveries.get()
    assert browser.post(address("webhook_again", webhook, sent.pk)).status_code == 302
    webhooks.deliver_due()
    sent.refresh_from_db()
    assert sent.status == "delivered"
    assert listener.ids == [sent.message_id] * 2


def test_the_log_is_a_fragment_for_htmx_and_asks_again_only_while_something_waits(
    webhook: Webhook, carol: User
) -> None:
    actions.send_test(webhook)
    page = browser_of(carol).get(address("webhook", webhook), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert 'hx-trigger="every 2s"' in page
    webhooks.deliver_due()
    assert (
        "hx-trigger"
        not in browser_of(carol).get(address("webhook", webhook), headers={"HX-Request": "true"}).content.decode()
    )


def test_a_disabled_webhook_says_why(webhook: Webhook, carol: User, listener: Listener) -> None:
    listener.answers = [410]
    actions.send_test(webhook)
    webhooks.deliver_due()
    assert "answered with 410" in text_of(carol, address("webhook", webhook))
    refused = browser_of(carol).post(address("webhook_test", webhook), follow=True).content.decode()
    assert "switch it on first" in refused


def test_the_secret_is_changed_and_both_are_said_to_sign(webhook: Webhook, carol: User) -> None:
    assert webhook.secret in text_of(carol, address("webhook", webhook))
    browser_of(carol).post(address("webhook_secret", webhook))
    page = text_of(carol, address("webhook", webhook))
    assert webhook.secret not in page
    assert "signed with the old secret too" in page


def test_a_webhook_is_removed(webhook: Webhook, carol: User) -> None:
    actions.send_test(webhook)
    browser_of(carol).post(address("webhook_remove", webhook))
    assert not Webhook.objects.exists()
    webhook.project.refresh_from_db()
    assert webhook.project.webhook_events == []


def test_another_projects_webhook_is_not_there(webhook: Webhook, carol: User) -> None:
    other = actions.create_project("Another", by=carol)
    elsewhere = reverse("annotation:webhook", args=[other.slug, webhook.pk])
    assert browser_of(carol).get(elsewhere).status_code == 404


def test_the_page_costs_as_many_queries_however_long_the_log(
    webhook: Webhook, carol: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(25):
        actions.send_test(webhook)
    browser = browser_of(carol)
    with django_assert_max_num_queries(10):
        assert browser.get(address("webhook", webhook)).status_code == 200
