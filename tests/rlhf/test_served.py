"""Answers from a small real server on loopback: in order, retried, resumed, refused in sentences."""

import json
from collections.abc import Iterator

import pytest

from tests.rlhf.chat_server import Server
from tests.rlhf.nano import events_of, make_run, train, user
from training.rlhf.config import GenerateConfig
from training.rlhf.rundir import Stopped
from training.rlhf.served import Asked, ChatServer, key_of

PROMPTS = [{"id": f"p{index}", "messages": user(f"question {index}"), "split": "train"} for index in range(6)]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


def settings(server: Server, **changes: object) -> dict[str, object]:
    return {"backend": "openai", "server": server.address, "server_model": "m", "server_concurrency": 2} | changes


def ask(server: Server, **changes: object) -> str:
    config = GenerateConfig(**settings(server, **changes))
    return ChatServer(config, backoff_seconds=0.01).ask(Asked("p", 0, user("hello"))).text


def test_every_prompt_is_answered_in_order(server, tmp_path):
    config = settings(server, samples_per_prompt=2, max_response_tokens=9, temperature=0.5)
    run = make_run(tmp_path / "run", "generate", config, prompts=PROMPTS)
    events = train("generate", run)
    lines = [json.loads(line) for line in run.responses.read_text().splitlines()]
    assert [(line["prompt_id"], line["sample"], line["text"]) for line in lines] == [
        (f"p{index}", sample, f"QUESTION {index}") for index in range(6) for sample in range(2)
    ]
    assert [line["ended"] for line in lines] == [True] * 10 + [False] * 2
    assert all(line["num_tokens"] == 3 and line["logprob"] is None for line in lines)
    path, key, body = server.asked[0]
    assert path == "/v1/chat/completions" and key is None
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 9, 0.5)
    seeds = {(body["messages"][-1]["content"], body["seed"]) for _, _, body in server.asked}
    assert len(seeds) == 12  # no two answers with one seed
    assert events[-1]["summary"] == {"num_responses": 12, "response/length": 3.0, "response/ended": 10 / 12}
    assert sorted(path.name for path in run.path.iterdir() if path.name.startswith("served")) == []


def test_a_busy_server_is_asked_again(server):
    server.first = [(429, b"", {"Retry-After": "0"}), (503, b"", {})]
    assert ask(server) == "HELLO"
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, b'{"error": {"message": "no key"}}', {}), r"refuses the key \(401: no key\).*MODEL_SERVER_KEYS"),
        ((404, b'{"error": "unknown"}', {}), r"knows no model 'm' \(404: unknown\)"),
        ((400, b'{"error": {"message": "too\\nlong"}}', {}), r"refuses a request \(400: too long\)"),
        ((302, b"", {"Location": "http://127.0.0.1:1/"}), "points elsewhere"),
        ((200, b"<html>", {}), "no chat completion"),
        ((200, b'{"choices": []}', {}), "no chat completion"),
        ((200, b"[1]", {}), "no chat completion"),
    ],
)
def test_what_it_refuses_is_a_sentence(server, answer, sentence):
    server.first = [answer]
    with pytest.raises(ValueError, match=sentence):
        ask(server)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_a_sentence(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ValueError, match=r"did not answer .*refused.*see that it runs"):
        ask(server)


def test_a_server_that_stays_broken_is_a_sentence(server):
    server.first = [(500, b'{"error": {"message": "out of memory"}}', {})] * 6
    with pytest.raises(ValueError, match="out of memory"):
        ask(server)
    assert len(server.asked) == 6


def test_a_stopped_run_asks_for_the_rest_alone(server, tmp_path):
    config = GenerateConfig(**settings(server, server_concurrency=1))
    requests = [Asked(f"p{index}", 0, user(f"question {index}")) for index in range(6)]
    kept, told = tmp_path / "served.jsonl", []
    with pytest.raises(Stopped):
        ChatServer(config).answers(
            requests, kept=kept, stop=lambda: "interrupted" if len(told) > 2 else None, told=told.append
        )
    num_kept = len(kept.read_text().splitlines())
    assert 3 <= num_kept < 6
    with kept.open("a") as file:
        file.write('{"prompt_id": "p5", "sam')  # what a kill leaves
    server.asked.clear()
    answers = ChatServer(config).answers(requests, kept=kept, stop=lambda: None, told=told.append)
    assert [answer.text for answer in answers] == [f"QUESTION {index}" for index in range(6)]
    assert len(server.asked) == 6 - num_kept


def test_the_key_goes_to_its_host_alone(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MODEL_SERVER_KEYS", "api.example.com=theirs, 127.0.0.1=secret=1")
    assert key_of("https://api.example.com/v1") == "theirs" and key_of("https://other.example.com") == ""
    run = make_run(tmp_path / "run", "generate", settings(server), prompts=PROMPTS[:1])
    train("generate", run)
    assert server.asked[0][1] == "Bearer secret=1"
    assert all("secret" not in path.read_text() for path in run.path.iterdir() if path.is_file())
    assert not events_of(run, "warning")


@pytest.mark.parametrize("address", ["", "ftp://x/v1", "127.0.0.1:8000", "http://me:secret@x/v1", "http://[x/v1"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match="server must be the address"):
        GenerateConfig(backend="openai", server=address, server_model="m")


def test_a_model_without_a_name_is_refused():
    with pytest.raises(ValueError, match="server_model must say"):
        ChatServer(GenerateConfig(backend="openai", server="http://x/v1"))
