"""Answers of a small real server on loopback as they grow: told, ended at once, and refused in sentences."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.rlhf.chat_server import Server
from tests.rlhf.nano import user
from training.rlhf.config import GenerateConfig
from training.rlhf.served import Asked, Served
from training.rlhf.streamed import stream

EVENTS = {"Content-Type": "text/event-stream"}
PATIENCE = 60


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


def ask(server: Server, text: str = "hello", *, told: list[str] | None = None, **changes: object) -> Served:
    values = {"backend": "openai", "server": server.address, "server_model": "m", "server_timeout": 30, **changes}
    return stream(
        GenerateConfig(**values), Asked("p", 0, user(text)), tell=(told if told is not None else []).append,
        is_stopped=lambda: False, look_seconds=0.01, backoff_seconds=0.01,
    )  # fmt: skip


def test_it_is_told_letter_by_letter(server: Server) -> None:
    server.letters = threading.Semaphore(1)
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        server.letters.release()  # type: ignore[union-attr]  # the next letter leaves when this one was told

    config = GenerateConfig(backend="openai", server=server.address, server_model="m", max_response_tokens=9)
    text = "hé\u2028好"
    served = stream(config, Asked("p", 0, user(text)), tell=tell, is_stopped=lambda: False, look_seconds=0.01)
    assert told == ["H", "HÉ", "HÉ\u2028", "HÉ\u2028好"]
    assert served == Served("p", 0, "HÉ\u2028好", 4, True)
    (path, _key, body) = server.asked[0]
    assert path == "/v1/chat/completions" and body["stream"] and body["max_tokens"] == 9


def test_a_stop_closes_the_connection(server: Server) -> None:
    """Before the first word, and between two; the server sees it while it has more to say."""
    for num_letters in (0, 2):
        server.letters = threading.Semaphore(num_letters)
        told: list[str] = []

        def is_stopped(told: list[str] = told, num: int = num_letters, asked: int = len(server.asked)) -> bool:
            return len(server.asked) > asked and len("".join(told[-1:])) == num

        config = GenerateConfig(backend="openai", server=server.address, server_model="m")
        served = stream(
            config, Asked("p", 0, user("hello")), tell=told.append, is_stopped=is_stopped, look_seconds=0.01
        )
        assert (served.text, served.ended) == ("HELLO"[:num_letters], False)
        assert server.hung_up.acquire(timeout=PATIENCE)


def test_whoever_asks_may_have_a_loop_that_runs(server: Server) -> None:
    async def asked() -> str:
        return ask(server).text

    assert asyncio.run(asked()) == "HELLO"


def test_cut_at_its_longest_it_has_not_ended(server: Server) -> None:
    assert ask(server, "5 letters").ended is False


def test_a_server_that_does_not_stream_answers_whole(server: Server) -> None:
    server.streams = False
    told: list[str] = []
    assert ask(server, told=told) == Served("p", 0, "HELLO", 3, True)
    assert told == ["HELLO"]


def test_one_that_counts_no_tokens_is_asked_without(server: Server) -> None:
    server.first = [(400, b'{"error": {"message": "unknown field stream_options"}}', {})]
    assert ask(server) == Served("p", 0, "HELLO", 0, True)
    assert ["stream_options" in body for _path, _key, body in server.asked] == [True, False]


def test_a_busy_server_is_asked_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SERVER_KEYS", "127.0.0.1=secret")
    server.first = [(429, b"", {"Retry-After": "0"}), (503, b"", {})]
    assert ask(server).text == "HELLO"
    assert [key for _path, key, _body in server.asked] == ["Bearer secret"] * 3


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, b'{"error": {"message": "no key"}}', {}), r"refuses the key \(401: no key\).*MODEL_SERVER_KEYS"),
        ((429, b'{"error": "tomorrow"}', {"Retry-After": "9999"}), r"\(429: tomorrow\).*have the answer written again"),
        ((302, b"", {"Location": "http://127.0.0.1:1/"}), "points elsewhere"),
        ((200, b"<html>", {}), "no chat completion"),
        ((200, b"data: <html>\n\n", EVENTS), "no chat completion"),
        ((200, b"data: [1]\n\n", EVENTS), "no chat completion"),
        (
            (200, b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', EVENTS),
            r"broke .* off \(the connection ended",
        ),
        ((200, b'data: {"error": {"message": "no memory"}}\n\n', EVENTS), "broke the answer off: no memory"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    server: Server, answer: tuple[int, bytes, dict[str, str]], sentence: str
) -> None:
    server.first = [answer]
    with pytest.raises(ValueError, match=sentence):
        ask(server)
    assert len(server.asked) == 1


def test_what_had_come_before_it_broke_off_is_told(server: Server) -> None:
    pieces = (
        b'data: {"choices": [{"delta": {"content": "hal"}}]}\n\ndata: {"choices": [{"delta": {"content": "f"}}]}\n\n'
    )
    server.first = [(200, pieces, EVENTS)]
    told: list[str] = []
    with pytest.raises(ValueError, match="broke the answer off"):
        ask(server, told=told)
    assert told[-1] == "half"


def test_a_server_that_is_silent_or_not_there_is_a_sentence(server: Server) -> None:
    server.letters = threading.Semaphore(0)
    with pytest.raises(ValueError, match=r"was silent for 1 seconds.*or raise server_timeout"):
        ask(server, server_timeout=1)
    assert server.hung_up.acquire(timeout=PATIENCE)
    server.shutdown()
    server.server_close()
    with pytest.raises(ValueError, match=r"did not answer .*6 times: see that it runs"):
        ask(server)
