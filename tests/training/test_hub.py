"""A version sent to a model hub, with the library's real client, to a hub of a few lines on this machine."""

import base64
import datetime
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from annotation.models import AuditEntry, User
from training import actions, artifacts, pushes
from training.models import HubPush, ModelVersion
from training.tasks import push_version


class Hub(ThreadingHTTPServer):
    """Takes commits as a hub does that wants all files inline; refuses every token but one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        if self.headers["Authorization"] != "Bearer right":
            self.answer({"error": "Invalid username or password."}, status=401)
        elif self.path == "/api/repos/create":
            self.answer({"url": f"{self.server.address}/team/kind"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif self.path == "/api/models/team/kind/preupload/main":
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        else:
            assert self.path == "/api/models/team/kind/commit/main"
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(
                {"commitUrl": f"{self.server.address}/team/kind/commit/abc", "commitOid": "abc", "success": True}
            )

    def answer(self, content: dict[str, Any], *, status: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def hub(settings: Any) -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.HUB_ENDPOINT, settings.HUB_TOKEN = server.address, "right"
        yield server
        server.shutdown()


def sent(version: ModelVersion, by: User, repo_id: str = "team/kind") -> HubPush:
    push = actions.push_to_hub(version, repo_id=repo_id, is_private=True, by=by)
    push_version(push.pk)
    push.refresh_from_db()
    return push


def test_the_files_and_the_card_arrive_in_one_commit(hub: Hub, base: ModelVersion, dana: User) -> None:
    push = sent(base, dana)
    assert (push.status, push.error, push.address) == ("succeeded", "", f"{hub.address}/team/kind/commit/abc")
    own = {path.name: path.read_bytes() for path in base.folder.iterdir()}
    assert {name: content for name, content in hub.files.items() if name != "README.md"} == own
    assert b"# starter" in hub.files["README.md"]
    assert AuditEntry.objects.get(verb="model.pushed").details == {"repo_id": "team/kind", "is_private": True}
    asked = len(hub.asked)
    push_version(push.pk)
    assert len(hub.asked) == asked, "a second delivery does nothing"


def test_what_the_hub_says_reaches_the_person(
    hub: Hub, base: ModelVersion, dana: User, settings: Any, client: Client
) -> None:
    settings.HUB_TOKEN = "wrong"
    push = sent(base, dana)
    assert push.status == "failed" and "The hub refused it (401)" in push.error
    client.force_login(dana)
    assert "The hub refused it (401)" in client.get(f"/models/{base.pk}/").content.decode()


def test_changed_files_are_not_sent(hub: Hub, base: ModelVersion, dana: User) -> None:
    (base.folder / "config.json").write_text("{}")
    assert artifacts.checksum(base.folder) != base.checksum
    push = sent(base, dana)
    assert push.status == "failed" and "their checksum differs" in push.error
    assert hub.asked == []


def test_a_hub_that_is_not_there(base: ModelVersion, dana: User, settings: Any) -> None:
    settings.HUB_ENDPOINT, settings.HUB_TOKEN = "http://127.0.0.1:9", "right"
    push = sent(base, dana)
    assert push.status == "failed" and "could not be reached" in push.error


def test_without_a_token_or_a_name_it_says_so(base: ModelVersion, dana: User, settings: Any, client: Client) -> None:
    client.force_login(dana)
    settings.HUB_TOKEN = ""
    text = client.post(f"/models/{base.pk}/push/", {"repo_id": "team/kind"}, follow=True).content.decode()
    assert "set HF_TOKEN" in text
    settings.HUB_TOKEN = "right"
    for repo_id in ("kind", "a/b/c", "../x", "team/with space"):
        text = client.post(f"/models/{base.pk}/push/", {"repo_id": repo_id}, follow=True).content.decode()
        assert "is no name for a repository" in text, repo_id
    assert "Name the repository" in client.post(f"/models/{base.pk}/push/", {}, follow=True).content.decode()
    assert not HubPush.objects.exists()


def last_heard(push: HubPush, *, seconds_ago: int) -> None:
    HubPush.objects.filter(pk=push.pk).update(alive_at=timezone.now() - datetime.timedelta(seconds=seconds_ago))


@pytest.fixture
def running(hub: Hub, base: ModelVersion, dana: User) -> HubPush:
    push = actions.push_to_hub(base, repo_id="team/kind", is_private=False, by=dana)
    push.move(HubPush.Status.QUEUED, HubPush.Status.RUNNING)
    return push


def test_a_push_whose_worker_died_fails_with_a_sentence_and_one_button_sends_it_again(
    running: HubPush, client: Client, dana: User
) -> None:
    assert pushes.sweep() == []
    running.refresh_from_db()
    assert running.status == "running", "its worker was heard of a moment ago"
    last_heard(running, seconds_ago=61)
    assert pushes.sweep() == []
    running.refresh_from_db()
    assert (running.status, running.error) == ("failed", pushes.LOST)
    client.force_login(dana)
    address = f"/models/{running.version_id}/"
    page = client.get(address).content.decode()
    assert pushes.LOST in page and "Send again" in page and 'hx-select="#pushes"' not in page
    client.post(f"{address}push/", {"repo_id": "team/kind"})
    again = HubPush.objects.get(status="queued")
    assert (again.repo_id, again.is_private) == ("team/kind", False)
    assert 'hx-select="#pushes"' in client.get(address).content.decode(), "the page follows it"


def test_a_push_that_was_swept_while_its_worker_slept_has_still_been_sent(
    hub: Hub, base: ModelVersion, dana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeper comes between the hub's answer and the worker's word of it."""
    real = pushes.hub.push

    def slow(version: ModelVersion, **options: Any) -> str:
        address = real(version, **options)
        last_heard(HubPush.objects.get(), seconds_ago=61)
        pushes.sweep()
        assert HubPush.objects.get().status == "failed"
        return address

    monkeypatch.setattr(pushes.hub, "push", slow)
    push = sent(base, dana)
    assert (push.status, push.error) == ("succeeded", "") and push.address


def test_a_lost_message_is_sent_again_and_not_every_time(hub: Hub, base: ModelVersion, dana: User) -> None:
    push = actions.push_to_hub(base, repo_id="team/kind", is_private=True, by=dana)
    assert pushes.sweep() == []
    last_heard(push, seconds_ago=301)
    assert pushes.sweep() == [push]
    assert pushes.sweep() == []


@pytest.mark.django_db(transaction=True)
def test_the_heart_beats_while_it_is_sent(running: HubPush, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "BEAT_SECONDS", 0.01)
    last_heard(running, seconds_ago=1000)
    end = time.monotonic() + 30
    with pushes.heart(running):
        while HubPush.objects.stale(timezone.now()).exists():
            assert time.monotonic() < end
    assert pushes.sweep() == []
