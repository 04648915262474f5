"""Answers written by real processes: kept as they grow, stopped between two tokens, and what is said of lost ones."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections

from annotation.models import Project, User
from tests.rlhf.chat_server import Server
from tests.training.chatting import browser
from tests.training.talkers import ENDLESS, talker, talks
from tests.training.trainers import wait_until
from tests.training.workers import Start, workers_of
from training import actions, writing
from training.models import ChatAnswer, ModelVersion
from training.tasks import write_answer
from training.writers import Writers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def version(project: Project, tmp_path: Path) -> ModelVersion:
    return talker(project, tmp_path / "made", name="talker", seed=3)


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writers]:
    """Those of this test: their processes are gone at its end."""
    own = Writers()
    monkeypatch.setattr(writing, "writers", own)
    yield own
    for each in own._idle:
        each.end()


def asked(version: ModelVersion, by: User, text: str = "Where is it?") -> ChatAnswer:
    return actions.start_chat(version.project, a=version, b=None, by=by, text=text).turns.get().answers.get()


def write_beside(answer: ChatAnswer) -> threading.Thread:
    """In a thread, as a worker does."""

    def write() -> None:
        write_answer(answer.pk)
        connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def has_text(answer: ChatAnswer) -> bool:
    answer.refresh_from_db()
    return bool(answer.text)


def test_a_process_writes_stops_goes_on_and_may_be_lost(version: ModelVersion, writers: Writers, bob: User) -> None:
    def written(answer: ChatAnswer) -> ChatAnswer:
        write_answer(answer.pk)
        answer.refresh_from_db()
        return answer

    first = written(asked(version, bob, "Where is it?"))
    assert (first.status, first.num_tokens, first.has_ended) == ("done", 24, False)
    assert len(first.text) == 24 and first.logprob and first.logprob < 0
    assert written(first).worker == first.worker, "a second delivery changes nothing"

    endless = asked(talks(version, **ENDLESS), bob)
    thread = write_beside(endless)
    wait_until(lambda: has_text(endless))
    assert actions.stop_turn(endless.turn, by=bob) == 1
    endless.refresh_from_db()
    kept = endless.text
    thread.join(timeout=60)
    assert not thread.is_alive(), "the worker saw it"
    endless.refresh_from_db()
    assert (endless.status, endless.text) == ("stopped", kept)
    assert written(asked(talks(version), bob, "And now?")).status == "done"
    (process,) = writers._idle  # one for all of them

    killed = asked(talks(version, **ENDLESS), bob)
    thread = write_beside(killed)
    wait_until(lambda: has_text(killed))
    process.process.kill()
    thread.join(timeout=60)
    killed.refresh_from_db()
    assert killed.status == "failed" and killed.text
    assert "as it does when memory runs out" in killed.error
    assert not writers._idle and not writers._lent

    ChatAnswer.objects.filter(pk=killed.pk).update(settings=first.settings)
    (again,) = actions.write_again(killed.turn, by=bob)
    assert written(again).text == first.text, "the same question, the same settings, the same answer"


def test_what_a_person_can_mend_is_said_so(version: ModelVersion, writers: Writers, bob: User) -> None:
    changed, gone = (asked(version, bob, text) for text in ("one", "two"))
    (version.folder / "note.txt").write_text("changed")
    write_answer(changed.pk)
    changed.refresh_from_db()
    assert changed.status == "failed" and "have changed since it was registered" in changed.error
    ModelVersion.objects.update(revision="served")
    write_answer(gone.pk)
    gone.refresh_from_db()
    assert gone.status == "failed" and "set backend to openai" in gone.error


def test_at_most_so_many_models_are_held(writers: Writers, settings: Any) -> None:
    settings.CHAT_WRITERS = 2
    with writers.lent("one") as one, writers.lent("two") as two:
        assert one.process.pid != two.process.pid
    with writers.lent("two") as again:
        assert again is two
        with writers.lent("three") as three:
            assert not one.is_alive, "it rested longest"
    assert writers._idle == [three, two]


@pytest.fixture
def start_worker(settings: Any, tmp_path: Path) -> Iterator[Start]:
    with workers_of("chat", tmp_path, broker=django_settings.VALKEY) as start:
        yield start


@pytest.fixture
def server(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Named before workers start, which are given the environment as it is then."""
    with Server().running() as running:
        settings.MODEL_SERVERS = [running.address]
        monkeypatch.setenv("MODEL_SERVERS", running.address)
        yield running


def test_a_served_version_talks_on_its_page(project: Project, server: Server, start_worker: Start, bob: User) -> None:
    """Its letters come as the server sends them, through the real worker; a stop on the page ends the server's work."""
    version = actions.register_version(project, path="m", name="served", kind="base", revision="served")
    page = browser(bob)
    server.letters = threading.Semaphore(3)
    start_worker()
    begun = page.post(f"/projects/{project.slug}/chat/", {"a": version.pk, "text": "Where is it?"})
    chat = begun["Location"].partition("#")[0]
    wait_until(lambda: "<p>WHE</p>" in page.get(chat).content.decode())
    page.post(f"{chat}stop/", {"number": 1})
    assert server.hung_up.acquire(timeout=120)
    server.letters = None
    page.post(f"{chat}say/", {"number": 2, "text": "And now?"})
    first, second = ChatAnswer.objects.order_by("pk")
    wait_until(lambda: is_done(second))
    assert "<p>AND NOW?</p>" in page.get(chat).content.decode()
    assert (second.num_tokens, second.has_ended) == (8, True)
    assert (first.status, first.text) == ("stopped", "WHE")
    assert [each["content"] for each in server.asked[1][2]["messages"]] == ["Where is it?", "WHE", "And now?"]


def is_done(answer: ChatAnswer) -> bool:
    answer.refresh_from_db()
    return answer.status == "done"


def test_a_worker_told_to_stop_puts_its_answer_back(version: ModelVersion, start_worker: Start, bob: User) -> None:
    talks(version, **ENDLESS)
    answer = asked(version, bob)
    worker = start_worker()
    write_answer.delay(answer.pk)
    wait_until(lambda: has_text(answer))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=120) == 0
    answer.refresh_from_db()
    assert (answer.status, answer.text, answer.worker) == ("waiting", "", "")
