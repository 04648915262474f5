"""Answers one at a time: a generate run's own, told as they grow, ended at a word, and no process left behind."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.rlhf.chat_server import Server
from tests.rlhf.nano import make_run, nano_tokenizer, train, user
from tests.rlhf.talkers import LETTERS, save_talker
from training.rlhf.chat import Writer, readable
from training.rlhf.config import GenerateConfig

TALK = [*user("Where is it?"), {"role": "assistant", "content": "Here."}, *user("Where is here?")]
REPO = Path(__file__).resolve().parents[2]
PATIENCE = 120


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_talker(tmp_path_factory.mktemp("talker") / "model", seed=3))


def config_of(model: str, **changes: Any) -> GenerateConfig:
    return GenerateConfig(model=model, **({"max_response_tokens": 24, "device": "cpu", "num_threads": 1} | changes))


def write(config: GenerateConfig, messages: Any = TALK, *, stop_after: int = 10**9) -> tuple[dict[str, Any], list[str]]:
    """What is said at the end, and what was told before. stop_after: looks of the writer whether it is to stop."""
    told: list[str] = []
    looks = iter(range(10**9))
    done = Writer().write(config, messages, tell=told.append, is_stopped=lambda: next(looks) >= stop_after)
    return done, told


@pytest.mark.parametrize("changes", [{}, {"temperature": 0}, {"seed": 7, "max_prompt_tokens": 20}])
def test_it_writes_what_a_generate_run_writes(model: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = config_of(model, **changes)
    values = {name: getattr(config, name) for name in ("model", "max_response_tokens", "temperature", "seed", "device")}
    values |= {"num_threads": 1, "max_prompt_tokens": config.max_prompt_tokens}
    run = make_run(tmp_path / "run", "generate", values, prompts=[{"id": "p", "messages": TALK, "split": "train"}])
    train("generate", run)
    (line,) = [json.loads(text) for text in run.responses.read_text().splitlines()]
    done, _told = write(config)
    assert done == {name: line[name] for name in ("text", "num_tokens", "ended", "logprob")} | {
        "is_cut": "max_prompt_tokens" in changes
    }
    assert len(done["text"]) == 24 and set(done["text"]) <= set(LETTERS)


def test_what_is_told_grows_into_the_answer(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.rlhf.chat.TELL_SECONDS", 0.0)
    done, told = write(config_of(model))
    assert len(told) >= 20
    assert all(longer.startswith(shorter) for shorter, longer in zip(told, [*told[1:], done["text"]], strict=True))


def test_stopped_it_says_what_it_has(model: str) -> None:
    whole, _told = write(config_of(model))
    done, _told = write(config_of(model), stop_after=9)
    assert done["num_tokens"] == 10 and not done["ended"]
    assert done["text"] == whole["text"][:10]


def test_half_a_character_is_not_shown() -> None:
    tokenizer = nano_tokenizer()
    ids = torch.tensor(tokenizer("好a好", add_special_tokens=False)["input_ids"])
    assert [readable(tokenizer, ids[:count]) for count in range(1, 8)] == ["", "", "好", "好a", "好a", "好a", "好a好"]


def test_a_server_may_write_it(model: str) -> None:
    with Server().running() as server:
        config = GenerateConfig(backend="openai", server=server.address, server_model="m", seed=4)
        done, told = write(config, user("hello"))
    assert (done["text"], done["num_tokens"], done["ended"]) == ("HELLO", 5, True)
    assert "HELLO".startswith("".join(told[:1]))


@pytest.fixture
def process() -> Iterator["Talk"]:
    talk = Talk()
    yield talk
    talk.process.kill()
    talk.process.wait()


class Talk:
    """The command as its workers use it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training.rlhf.chat", "--idle", "1"],
            cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)

    def say(self, **line: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def hear(self, *kinds: str) -> dict[str, Any]:
        """The next line of one of these types; any other but a text is an error."""
        while True:
            said: dict[str, Any] = json.loads(self._lines.get(timeout=PATIENCE))
            if said["type"] in kinds:
                return said
            assert said["type"] == "text", said


def test_the_command_answers_stops_goes_on_and_ends_of_itself(process: Talk, model: str) -> None:
    endless = {"model": model, "max_response_tokens": 60_000, "device": "cpu", "num_threads": 1}
    process.say(id=1, config=endless | {"model": "/no/such/folder"}, messages=TALK)
    process.hear("begun")
    refused = process.hear("error")
    assert refused["owner"] == "user" and "/no/such/folder" in refused["message"]

    process.say(id=2, config=endless, messages=TALK)
    process.hear("begun")
    growing = process.hear("text")
    process.say(stop=2)
    done = process.hear("done")
    assert growing["id"] == done["id"] == 2
    assert done["text"].startswith(growing["text"]) and not done["ended"]

    process.say(id=3, config=endless | {"max_response_tokens": 4}, messages=TALK)
    process.hear("begun")
    assert process.hear("done")["num_tokens"] == 4
    assert process.process.wait(timeout=PATIENCE) == 0  # a second without a request


def test_it_ends_with_whoever_asked(process: Talk, model: str) -> None:
    process.say(id=1, config={"model": model, "max_response_tokens": 60_000, "device": "cpu"}, messages=TALK)
    process.hear("begun")
    process.hear("text")
    assert process.process.stdin
    process.process.stdin.close()
    assert process.process.wait(timeout=PATIENCE) == 0
