"""Write answers one at a time for somebody who waits: the text as it grows, and an end at any token.

    python -m training.rlhf.chat --idle 60

Speaks JSON, one object a line. In: {"id": 7, "config": {settings of a generate run}, "messages": [...]} asks for an
answer, {"stop": 7} ends it. Out, each with the id: `text` (all of it so far; as often as somebody could read it), then
`done` (text, num_tokens, logprob, ended, is_cut) or `error` (a sentence; whether it is the person's to mend). The model
stays loaded from one answer to the next. A complete answer is the one that generate.py writes for the same messages
and settings, as a run's first.

The process ends when nothing was asked for --idle seconds, and at once when its input is closed: whoever started it is
gone then, however they went.
"""

import argparse
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TextIO

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.config import GenerateConfig, from_dict
from training.rlhf.data import Encoder, Messages, Prompt
from training.rlhf.generate import Request, answer
from training.rlhf.model import choose_device, load_tokenizer, refuse_foreign_tokenizer
from training.rlhf.served import Asked
from training.rlhf.steering import load_writer
from training.rlhf.streamed import stream

TELL_SECONDS = 0.15
"""Between two texts of one answer: more often, nobody could read them."""
UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""How a character decodes of which only some bytes are written."""

Tell = Callable[[str], None]
IsStopped = Callable[[], bool]


class Inbox:
    """What is asked for, read by a thread of its own, so that a stop is heard while an answer is written."""

    def __init__(self, lines: TextIO) -> None:
        self._asked: queue.Queue[dict[str, Any]] = queue.Queue()
        self._stopped: set[int] = set()
        self._lines = lines
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, *, idle_seconds: float) -> dict[str, Any] | None:
        """The next request; None when there was none for so long."""
        try:
            return self._asked.get(timeout=idle_seconds)
        except queue.Empty:
            return None

    def is_stopped(self, request_id: int) -> bool:
        return request_id in self._stopped

    def _read(self) -> None:
        for line in self._lines:
            said = json.loads(line)
            if "stop" in said:
                self._stopped.add(said["stop"])
            else:
                self._asked.put(said)
        os._exit(0)  # nobody listens any more, and there is nothing to save


class Loaded(NamedTuple):
    """A model and what it was loaded for."""

    key: tuple[str, str, str]
    policy: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase


class Writer:
    """Writes answers with the model that the config names; the last one stays loaded."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def write(self, config: GenerateConfig, messages: Messages, *, tell: Tell, is_stopped: IsStopped) -> dict[str, Any]:
        """What a `done` line says. tell: called with the text as it grows."""
        if config.backend == "openai":
            return ask_server(config, messages, tell, is_stopped)
        loaded = self._load(config)
        tokenizer = loaded.tokenizer
        encoder = Encoder(
            tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
        )
        request = Request(Prompt("chat", messages, None, "train"), encoder.prompt(messages), 0)
        told_at = time.monotonic()

        def watch(written: Tensor) -> bool:
            nonlocal told_at
            if time.monotonic() - told_at >= TELL_SECONDS:
                told_at = time.monotonic()
                tell(readable(tokenizer, written[0]))
            return is_stopped()

        (line,) = answer(loaded.policy, None, [request], config, tokenizer, batch_number=0, watch=watch)
        said = {name: line[name] for name in ("text", "num_tokens", "ended", "logprob")}
        return said | {"is_cut": encoder.num_cut_prompts > 0}

    def _load(self, config: GenerateConfig) -> Loaded:
        key = (config.model, config.revision, config.device)
        if self._loaded is None or self._loaded.key != key:
            self._loaded = None  # before the next one: two need not fit
            if config.num_threads:
                torch.set_num_threads(config.num_threads)
            tokenizer = load_tokenizer(config.model, config.revision)
            policy = load_writer(config.model, config.revision, device=choose_device(config.device))
            refuse_foreign_tokenizer(policy, tokenizer)
            self._loaded = Loaded(key, policy, tokenizer)
        return self._loaded


def readable(tokenizer: PreTrainedTokenizerBase, written: Tensor) -> str:
    """What a person may read of an unfinished answer: without half a character at its end. written: (t,)."""
    text = str(tokenizer.decode(written.tolist(), skip_special_tokens=True))
    return text.rstrip(UNFINISHED).replace("\0", UNFINISHED)


def ask_server(config: GenerateConfig, messages: Messages, tell: Tell, is_stopped: IsStopped) -> dict[str, Any]:
    """The same from a server; stopped, the connection to it is closed."""
    served = stream(
        config, Asked("chat", 0, messages), tell=lambda text: tell(storable(text)), is_stopped=is_stopped,
        look_seconds=TELL_SECONDS,
    )  # fmt: skip
    said = {"text": storable(served.text), "num_tokens": served.num_tokens, "ended": served.ended}
    return said | {"logprob": None, "is_cut": False}


def storable(text: str) -> str:
    """Without what no database keeps: a NUL, half of a surrogate pair."""
    return text.replace("\0", UNFINISHED).encode("utf-8", "replace").decode()


def explained(error: Exception) -> tuple[str, bool]:
    """A sentence about the error, and whether a person can do something about it."""
    if isinstance(error, ValueError):
        return str(error), True
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "There was not enough memory for the model and this conversation: choose a smaller model.", True
    return f"Writing this answer failed ({type(error).__name__}); the worker's log has it.", False


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.rlhf.chat", description="Write answers as they grow.")
    parser.add_argument("--idle", type=float, default=60.0, metavar="SECONDS", help="end when nothing is asked so long")
    given = parser.parse_args(arguments)
    # What a library prints is not for whoever reads our lines.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(which: int, kind: str, **said: Any) -> None:
        out.write(json.dumps({"id": which, "type": kind, **said}, ensure_ascii=False) + "\n")
        out.flush()

    inbox, writer = Inbox(sys.stdin), Writer()
    while (asked := inbox.next(idle_seconds=given.idle)) is not None:
        which: int = asked["id"]
        tell(which, "begun")
        try:
            config = from_dict("generate", asked["config"])
            assert isinstance(config, GenerateConfig)
            done = writer.write(
                config,
                asked["messages"],
                tell=partial(tell_text, tell, which),
                is_stopped=partial(inbox.is_stopped, which),
            )
        except Exception as error:
            traceback.print_exc()
            sentence, is_theirs = explained(error)
            tell(which, "error", message=sentence, owner="user" if is_theirs else "plumbline")
        else:
            tell(which, "done", **done)
    return 0


def tell_text(tell: Callable[..., None], which: int, text: str) -> None:
    tell(which, "text", text=text)


if __name__ == "__main__":
    os._exit(main())  # the thread that reads the input cannot be ended otherwise
