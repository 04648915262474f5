"""Answers from a server that speaks the protocol of OpenAI's chat completions: vLLM, llama.cpp, Ollama and others.

    server = ChatServer(config)
    answers = server.answers(requests, kept=run.path / "served.jsonl", stop=stop)

Many requests are under way at once; one that fails for a while (429, 5xx, no connection) is asked again, later each
time. What has been answered is kept line by line, so a run that was stopped or killed asks for the rest alone. The key
comes from the environment, MODEL_SERVER_KEYS=host=key,host=key, goes to its host alone and is written nowhere;
redirects are not followed.
"""

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3

from training.rlhf.config import GenerateConfig
from training.rlhf.data import Messages
from training.rlhf.rundir import StopCheck, Stopped, StopReason

MAX_BYTES = 16 * 2**20
"""Of one answer: more is no answer to a person's prompt."""
BUSY = (408, 429, 500, 502, 503, 504)
"""Statuses after which it is asked again."""
RETRIES = 5
BACKOFF_SECONDS = 0.5
"""Before the second retry; twice as long before each further one, or what the server asks for with Retry-After."""
POLL_SECONDS = 0.5


class Asked(NamedTuple):
    """One answer to ask for."""

    prompt_id: str
    sample: int
    messages: Messages


class Served(NamedTuple):
    """One answer as the server gave it."""

    prompt_id: str
    sample: int
    text: str
    num_tokens: int  # as the server counts them; 0 where it does not
    ended: bool  # by itself, not by max_response_tokens


class ChatServer:
    """One model of one server. Whatever a person can mend is a ValueError with a sentence."""

    def __init__(self, config: GenerateConfig, *, backoff_seconds: float = BACKOFF_SECONDS) -> None:
        self._config = config
        self.model = config.server_model or config.model
        if not self.model:
            raise ValueError("server_model must say what the model is called at the server: it is empty.")
        self.address = f"{config.server.rstrip('/')}/chat/completions"
        key = key_of(config.server)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._pool = urllib3.PoolManager(
            maxsize=config.server_concurrency,
            timeout=urllib3.Timeout(connect=min(10, config.server_timeout), read=config.server_timeout),
            retries=urllib3.Retry(
                total=RETRIES,
                redirect=0,
                allowed_methods=None,  # the protocol knows only POST
                status_forcelist=BUSY,
                backoff_factor=backoff_seconds,
                raise_on_status=False,
                raise_on_redirect=False,
            ),
        )

    def answers(
        self, requests: Sequence[Asked], *, kept: Path, stop: StopCheck, told: Callable[[int], None]
    ) -> list[Served]:
        """An answer to every request, in their order; raises Stopped when asked to stop. told: how many there are."""
        found = {(answer.prompt_id, answer.sample): answer for answer in read_kept(kept)}
        missing = [request for request in requests if (request.prompt_id, request.sample) not in found]
        with kept.open("a", encoding="utf-8") as file:
            for answer in self._ask_all(missing, stop):
                file.write(json.dumps(answer._asdict(), ensure_ascii=False) + "\n")
                file.flush()
                found[answer.prompt_id, answer.sample] = answer
                told(len(found))
        return [found[request.prompt_id, request.sample] for request in requests]

    def _ask_all(self, requests: Sequence[Asked], stop: StopCheck) -> Iterator[Served]:
        """Answers as they come. No more requests are handed to the pool than are under way."""
        waiting = iter(requests)
        reason: StopReason | None = None
        with ThreadPoolExecutor(self._config.server_concurrency) as pool:
            under_way: set[Future[Served]] = set()
            try:
                while True:
                    while not reason and len(under_way) < self._config.server_concurrency:
                        if (request := next(waiting, None)) is None:
                            break
                        under_way.add(pool.submit(self.ask, request))
                    if not under_way:
                        break
                    done, under_way = wait(under_way, POLL_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                    reason = reason or stop()
            finally:
                pool.shutdown(cancel_futures=True)
        if reason:
            raise Stopped(reason, step=len(requests) - len(list(waiting)))

    def body(self, request: Asked) -> dict[str, Any]:
        """What the server is asked."""
        config = self._config
        return {
            "model": self.model,
            "messages": request.messages,
            "max_tokens": config.max_response_tokens,
            "temperature": config.temperature,
            "seed": random.Random(f"{config.seed}/{request.prompt_id}/{request.sample}").getrandbits(31),
        }

    def ask(self, request: Asked) -> Served:
        """One answer; ValueError with a sentence when the server gives none."""
        config = self._config
        try:
            response = self._pool.request(
                "POST", self.address, json=self.body(request), headers=self.headers, preload_content=False
            )
            content = response.read(MAX_BYTES + 1, decode_content=True)
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ValueError(
                f"the server at {config.server} did not answer ({reason_of(error)}), {1 + RETRIES} times: see that it "
                "runs and that this machine reaches it, or raise server_timeout; then resume the run."
            ) from None
        if response.status != 200:
            raise ValueError(refusal(config, response.status, content, model=self.model, then="resume the run"))
        return understood(request, content, config)


def understood(request: Asked, content: bytes, config: GenerateConfig) -> Served:
    """The answer in a response's body; ValueError when it is not one of the protocol."""
    try:
        if len(content) > MAX_BYTES:
            raise ValueError
        record = json.loads(content)
        choice = record["choices"][0]
        text = choice["message"]["content"] or ""
        num_tokens = int((record.get("usage") or {}).get("completion_tokens") or 0)
        return Served(request.prompt_id, request.sample, str(text), num_tokens, choice.get("finish_reason") == "stop")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise ValueError(not_of_the_protocol(config)) from None


def not_of_the_protocol(config: GenerateConfig) -> str:
    return (
        f"what {config.server} answers is no chat completion: server must be the base address of an "
        "OpenAI-compatible server, usually ending in /v1."
    )


def refusal(config: GenerateConfig, status: int, content: bytes, *, model: str, then: str) -> str:
    """What a person reads of an answer that is an error. then: what to do once that is mended."""
    said = message_of(content)
    if status in (401, 403):
        host = urlsplit(config.server).hostname
        return (
            f"{config.server} refuses the key ({status}{said}): on the machine that runs this, set MODEL_SERVER_KEYS "
            f"to {host}=KEY."
        )
    if status == 404:
        return f"{config.server} knows no model '{model}' ({status}{said}): correct it, or the address."
    if 300 <= status < 400:
        return f"{config.server} points elsewhere ({status}), which is not followed: give the address it points to."
    return f"{config.server} refuses a request ({status}{said}): correct what it names, then {then}."


def message_of(content: bytes) -> str:
    """ ": its own words" where there are some, on one line, not too long."""
    try:
        error = json.loads(content[:10_000])["error"]
        words = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {' '.join(str(words).split())[:300]}"


def reason_of(error: Exception) -> str:
    """The innermost words of urllib3's nested errors."""
    inner: BaseException = error
    while isinstance(inner, urllib3.exceptions.MaxRetryError) and inner.reason:
        inner = inner.reason
    return " ".join(str(inner).split(": ", 1)[-1].split())[:200]


def key_of(server: str) -> str:
    """The key for this server's host out of MODEL_SERVER_KEYS; "" where it has none."""
    host = urlsplit(server).hostname
    for word in os.environ.get("MODEL_SERVER_KEYS", "").split(","):
        name, _, key = word.strip().partition("=")
        if name == host:
            return key
    return ""


def read_kept(path: Path) -> list[Served]:
    """The whole lines of an earlier life; the torn last one of a killed process is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    return [Served(**json.loads(line)) for line in whole.splitlines()]
