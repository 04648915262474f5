"""A run ends: webhooks are told in the same moment, and whoever started it is mailed, once, in their language."""

import datetime
import json
from smtplib import SMTPException
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from annotation import actions as labelling
from annotation.models import Membership, Project, User, WebhookDelivery
from tests.training import rows
from training.actions import end_run, fail_stale_runs, resume_run
from training.mailing import AGAIN_AFTER, mail_ended_runs
from training.models import ModelVersion, Run, RunMail, Snapshot
from training.tasks import execute_run

SUCCEEDED, FAILED, CANCELLED = Run.Status.SUCCEEDED, Run.Status.FAILED, Run.Status.CANCELLED


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.SITE_ADDRESS = "https://labels.example.org"


@pytest.fixture
def dana(dana: User) -> User:
    dana.email = "dana@example.org"
    dana.save()
    return dana


@pytest.fixture
def running(run: Run) -> Run:
    run.move(Run.Status.QUEUED, Run.Status.RUNNING, worker="w", started_at=timezone.now(), heartbeat_at=timezone.now())
    return run


def told() -> list[dict[str, Any]]:
    return [json.loads(body) for body in WebhookDelivery.objects.order_by("pk").values_list("body", flat=True)]


def test_webhooks_are_told_how_it_ended(running: Run, base: ModelVersion, project: Project, dana: User) -> None:
    labelling.add_webhook(project, url="http://127.0.0.1:9/", events=["run.succeeded", "run.failed"], by=dana)
    made = rows.version(running, "reward")
    assert end_run(running, SUCCEEDED, held_by="w")
    (message,) = told()
    assert message["type"] == "run.succeeded"
    assert message["data"].pop("seconds") >= 0
    assert message["data"] == {
        "project": "support", "run": running.pk, "kind": "reward", "started_by": "dana", "model": made.name
    }  # fmt: skip


def test_a_run_that_cannot_begin_tells_so(run: Run, project: Project, dana: User, mailoutbox: list[Any]) -> None:
    """The whole way: the worker's task finds that the snapshot's files are gone."""
    labelling.add_webhook(project, url="http://127.0.0.1:9/", events=["run.failed"], by=dana)
    execute_run(run.pk)
    (message,) = told()
    assert message["type"] == "run.failed"
    assert "has lost its file" in message["data"]["error"]
    assert mail_ended_runs() == 1
    (mail,) = mailoutbox
    assert mail.to == ["dana@example.org"]
    assert mail.subject == f"[Plumbline] Run {run.pk} of Support replies failed"
    assert "has lost its file" in mail.body
    assert f"https://labels.example.org/runs/{run.pk}/" in mail.body
    assert "https://labels.example.org/runs/\n" in mail.body


def test_a_run_that_is_another_workers_tells_nothing(running: Run, project: Project, dana: User) -> None:
    labelling.add_webhook(project, url="http://127.0.0.1:9/", events=["run.succeeded", "run.failed"], by=dana)
    assert not end_run(running, FAILED, held_by="another")
    assert end_run(running, CANCELLED, held_by="w")
    assert told() == []
    assert mail_ended_runs() == 0, "who stops a run knows that it has ended"


def test_a_run_whose_workers_were_lost_tells_too(running: Run, mailoutbox: list[Any]) -> None:
    long_ago = timezone.now() - datetime.timedelta(hours=1)
    Run.objects.filter(pk=running.pk).update(attempt=3, heartbeat_at=long_ago)
    assert fail_stale_runs() == []
    assert mail_ended_runs() == 1
    assert "was lost 4 times" in mailoutbox[0].body


@pytest.mark.parametrize(
    ("when", "status", "num"),
    [
        ("always", SUCCEEDED, 1),
        ("failed", SUCCEEDED, 0),
        ("failed", FAILED, 1),
        ("never", FAILED, 0),
        (None, FAILED, 1),
    ],
)
def test_the_choice(
    running: Run, dana: User, when: str | None, status: Run.Status, num: int, mailoutbox: list[Any]
) -> None:
    if when:
        RunMail.objects.create(user=dana, when=when)
    end_run(running, status, held_by="w")
    assert (mail_ended_runs(), mail_ended_runs(), len(mailoutbox)) == (num, 0, num)


def test_nobody_is_mailed_about_what_they_may_no_longer_see(running: Run, dana: User, mailoutbox: list[Any]) -> None:
    Membership.objects.filter(user=dana).delete()
    end_run(running, FAILED, held_by="w")
    assert (mail_ended_runs(), mailoutbox) == (0, [])


def test_a_mail_that_cannot_be_sent_is_tried_again(
    running: Run, dana: User, mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    end_run(running, SUCCEEDED, held_by="w")
    with monkeypatch.context() as patched:

        def refuse(*_: Any, **__: Any) -> None:
            raise SMTPException("greylisted")

        patched.setattr(EmailMessage, "send", refuse)
        assert mail_ended_runs() == 0
    assert mail_ended_runs() == 0, "not at once"
    Run.objects.filter(pk=running.pk).update(mail_at=timezone.now() - AGAIN_AFTER)
    assert (mail_ended_runs(), len(mailoutbox)) == (1, 1)


def test_old_news_and_resumed_runs_are_not_mailed(running: Run, dana: User, mailoutbox: list[Any]) -> None:
    end_run(running, FAILED, held_by="w")
    Run.objects.filter(pk=running.pk).update(finished_at=timezone.now() - datetime.timedelta(days=2))
    assert mail_ended_runs() == 0
    Run.objects.filter(pk=running.pk).update(mail_at=timezone.now(), finished_at=timezone.now())
    running.refresh_from_db()
    resume_run(running, by=dana)
    assert (mail_ended_runs(), mailoutbox) == (0, [])


def test_the_language_is_the_persons(running: Run, dana: User, mailoutbox: list[Any]) -> None:
    """The kind's name is translated already, so the mail of who reads 简体中文 cannot hold it in English."""
    User.objects.filter(pk=dana.pk).update(language="zh-hans")
    running.refresh_from_db()
    end_run(running, SUCCEEDED, held_by="w")
    mail_ended_runs()
    assert "Reward model" not in mailoutbox[0].body


def test_one_chooses_on_the_page_of_runs(client: Client, dana: User, base: ModelVersion, snapshot: Snapshot) -> None:
    client.force_login(dana)
    assert 'value="always" selected' in client.get("/runs/").content.decode()
    assert client.post("/runs/mail/", {"when": "failed"})["Location"] == "/runs/"
    text = client.get("/runs/").content.decode()
    assert 'value="failed" selected' in text
    assert "You will be mailed: when a run of mine fails." in text
    client.post("/runs/mail/", {"when": "whenever"})
    assert RunMail.choice_of(dana) == "failed"
