"""A webhook to a listener on loopback, told everything."""

import uuid
from collections.abc import Iterator

import pytest

from annotation import actions, queue
from annotation.models import Event, Project, User, Webhook
from tests.annotation.conftest import make_tasks
from tests.annotation.webhooks.listener import Listener

ALL = list(Event.values)


def judge_one(project: Project, by: User, num: int = 1) -> None:
    project.refresh_from_db()
    make_tasks(project, num)
    for _ in range(num):
        lent = queue.claim(by, project=project)
        assert lent
        actions.judge(lent, by=by, submission_key=uuid.uuid4(), strength=0)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def webhook(project: Project, listener: Listener) -> Webhook:
    return actions.add_webhook(project, url=listener.url, events=ALL, by=None)
