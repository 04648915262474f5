"""What webhooks are told: written with what happened, or not at all."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import pytest

from annotation import actions, queue, webhooks
from annotation.actions.answers import Answer
from annotation.intake import import_lines
from annotation.models import Assignment, Event, Project, User, Webhook, WebhookDelivery
from tests.annotation.conftest import make_tasks
from tests.annotation.webhooks.conftest import ALL, judge_one
from tests.annotation.webhooks.listener import Listener


def test_a_judgment_and_its_tasks_completion_are_told(
    project: Project, webhook: Webhook, listener: Listener, alice: User
) -> None:
    judge_one(project, alice)
    assert webhooks.deliver_due() == 2
    told = [json.loads(body) for _headers, body in listener.got]
    assert [message["type"] for message in told] == ["judgment.created", "task.completed"]
    judgment = alice.judgments.get()
    assert told[0]["data"] == {
        "project": project.slug,
        "judgment": judgment.pk,
        "task": judgment.task_id,
        "kind": "comparison",
        "annotator": "alice",
        "judged_at": judgment.created_at.isoformat(),
    }
    assert datetime.datetime.fromisoformat(told[0]["timestamp"]).tzinfo is not None
    assert set(webhook.deliveries.values_list("status", flat=True)) == {"delivered"}


def test_every_event_is_told_where_it_happens(project: Project, webhook: Webhook, alice: User, carol: User) -> None:
    judge_one(project, alice)
    revised = Answer.said(strength=0, both_bad=True)
    held = alice.assignments.get()
    actions.revise(held, by=alice, submission_key=uuid.uuid4(), answer=revised)
    voiding = actions.void_judgments(project, annotator=alice, by=carol, reason="A test.")
    actions.restore(voiding, by=carol)
    actions.undo(alice, project=project)
    actions.publish_guidelines(project, text="Look closely.", by=carol)
    import_lines(project, ['{"prompt": "Sky?", "responses": ["Blue."]}'], source="a file", by=carol)
    told = set(webhook.deliveries.values_list("event", flat=True))
    assert told == {event for event in ALL if not event.startswith("run.")}, "of runs: tests/training/test_ending.py"


def test_who_wants_nothing_is_told_nothing_and_costs_nothing(
    project: Project, alice: User, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        webhooks.announce(project, Event.IMPORT_FINISHED, num_lines=1)
    hook = actions.add_webhook(project, url="https://example.org/", events=["import.finished"], by=None)
    judge_one(project, alice)
    assert not WebhookDelivery.objects.exists()
    actions.change_webhook(hook, url=hook.url, events=ALL, is_active=False, by=None)
    judge_one(project, alice, 0)
    assert project.webhook_events == []


def test_a_message_is_written_with_what_it_tells_or_not_at_all(project: Project, webhook: Webhook, alice: User) -> None:
    project.refresh_from_db()
    make_tasks(project, 1)
    lent = queue.claim(alice, project=project)
    assert lent
    with pytest.raises(ValueError, match="no ratings"):
        actions.judge(lent, by=alice, submission_key=uuid.uuid4(), strength=0, ratings={1: 1})
    assert not webhook.deliveries.exists()


def test_judging_costs_no_query_more_for_projects_without_webhooks(
    project: Project, alice: User, django_assert_num_queries: Any
) -> None:
    """What the project's webhooks want has come with the task: asking for it is no query."""
    make_tasks(project, 1)
    lent = queue.claim(alice, project=project)
    assert lent
    with django_assert_num_queries(0):
        assert lent.task.project.webhook_events == []
    held = Assignment.objects.with_content().get(pk=lent.pk)
    with django_assert_num_queries(0):
        assert held.task.project.webhook_events == []
