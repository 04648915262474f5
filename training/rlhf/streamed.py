"""One answer of an OpenAI-compatible server as it grows: server-sent events, told on as they come.

Whoever stops it cancels the request wherever it is: before the first word, between two, or before another try. That
closes the connection, by which a server learns that nobody listens any more, so that it ends its work too.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import urllib3

from training.rlhf.config import GenerateConfig
from training.rlhf.served import (
    BACKOFF_SECONDS,
    BUSY,
    MAX_BYTES,
    RETRIES,
    Asked,
    ChatServer,
    Served,
    message_of,
    not_of_the_protocol,
    refusal,
    understood,
)

EVENTS = "text/event-stream"
LONGEST_PAUSE = 60.0
"""Seconds that a busy server may ask for (Retry-After) while a person waits: more is a refusal."""
THEN = "have the answer written again"


def stream(
    config: GenerateConfig,
    asked: Asked,
    *,
    tell: Callable[[str], None],
    is_stopped: Callable[[], bool],
    look_seconds: float,
    backoff_seconds: float = BACKOFF_SECONDS,
) -> Served:
    """The whole answer, or as far as it had come when is_stopped said so. tell: called with all of it so far.

    look_seconds: between two looks at is_stopped, and two tellings. ValueError with a sentence when the server gives
    no answer or breaks off.
    """
    growing = Growing(config, asked, backoff_seconds)
    with ThreadPoolExecutor(1) as pool:  # a thread of its own, because whoever calls may have a loop that runs
        return pool.submit(asyncio.run, _followed(growing, tell, is_stopped, look_seconds)).result()


async def _followed(
    growing: "Growing", tell: Callable[[str], None], is_stopped: Callable[[], bool], look_seconds: float
) -> Served:
    reading = asyncio.ensure_future(growing.read())
    told = ""
    while not is_stopped():
        done, _pending = await asyncio.wait({reading}, timeout=look_seconds)
        if growing.text != told:
            told = growing.text
            tell(told)
        if done:
            reading.result()
            return growing.served
    reading.cancel()
    await asyncio.wait({reading})
    return growing.served


class Growing:
    """An answer under way: what has come of it, and what is still read."""

    def __init__(self, config: GenerateConfig, asked: Asked, backoff_seconds: float) -> None:
        self._config, self._asked, self._backoff_seconds = config, asked, backoff_seconds
        self._server = ChatServer(config)
        self._parts: list[str] = []
        self._size = 0
        self._num_tokens = 0
        self._finish = ""

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def served(self) -> Served:
        return Served(self._asked.prompt_id, self._asked.sample, self.text, self._num_tokens, self._finish == "stop")

    async def read(self) -> None:
        """To its end; a busy server, or one that is not there, is asked again until the first word has come."""
        seconds = self._config.server_timeout
        timeout = httpx2.Timeout(seconds, connect=min(10, seconds))
        body = self._server.body(self._asked) | {"stream": True, "stream_options": {"include_usage": True}}
        # Nothing from the environment: no proxy, and no password of ~/.netrc for a host that happens to be ours.
        async with httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=ssl.create_default_context()) as client:
            for tried in range(1 + RETRIES):
                pause = await self._ask(client, body, is_last=tried == RETRIES)
                if pause is None:
                    return
                await asyncio.sleep(pause or self._backoff_seconds * 2**tried)

    async def _ask(self, client: httpx2.AsyncClient, body: dict[str, Any], *, is_last: bool) -> float | None:
        """Once; None when the answer is there, else for how many seconds the server wants to be left alone (0: it does
        not say).
        """
        try:
            async with client.sse(
                self._server.address, method="POST", json=body, headers=self._server.headers
            ) as events:
                said = events.response
                if said.status_code in BUSY and not is_last:
                    pause = urllib3.Retry().parse_retry_after(said.headers.get("Retry-After") or "0")
                    if pause <= LONGEST_PAUSE:
                        return pause
                if said.status_code == 200 and said.headers.get("Content-Type", "").partition(";")[0] == EVENTS:
                    await self._take(events)
                    return None
                content = await _content(said)
        except httpx2.TransportError as error:
            if self._size or is_last or isinstance(error, httpx2.ReadTimeout):
                raise ValueError(self._silence(error)) from None
            return 0.0
        if said.status_code in (400, 422) and b"stream_options" in content and body.pop("stream_options", None):
            return 0.0  # a server that counts no tokens while it streams
        if said.status_code != 200:
            sentence = refusal(self._config, said.status_code, content, model=self._server.model, then=THEN)
            raise ValueError(sentence)
        self._take_whole(understood(self._asked, content, self._config))
        return None

    async def _take(self, events: httpx2.EventSource) -> None:
        is_over = False
        async for event in events:
            if is_over := event.data.strip() == "[DONE]":
                break
            self._add(event.data)
        if not is_over and not self._finish:
            raise ValueError(self._silence(None))

    def _add(self, data: str) -> None:
        """What one event brings: a piece of the text, why it ended, how many tokens it has; any of them."""
        try:
            chunk = json.loads(data)
            broken = chunk.get("error")
            choice: dict[str, Any] = next(iter(chunk.get("choices") or ()), {})
            piece = str((choice.get("delta") or {}).get("content") or "")
            finish = str(choice.get("finish_reason") or "")
            num_tokens = int((chunk.get("usage") or {}).get("completion_tokens") or 0)
        except (ValueError, TypeError, AttributeError):
            raise ValueError(not_of_the_protocol(self._config)) from None
        if broken:
            said = message_of(data.encode())
            raise ValueError(f"{self._config.server} broke the answer off{said}: correct what it names, then {THEN}.")
        self._size += len(data)
        if self._size > MAX_BYTES:
            raise ValueError(not_of_the_protocol(self._config))
        self._parts += [piece] if piece else []
        self._finish = finish or self._finish
        self._num_tokens = num_tokens or self._num_tokens

    def _take_whole(self, served: Served) -> None:
        """The answer of a server that does not stream."""
        self._parts, self._num_tokens, self._finish = [served.text], served.num_tokens, "stop" if served.ended else ""

    def _silence(self, error: Exception | None) -> str:
        server, words = self._config.server, str(error or "").strip() or "the connection ended"
        if isinstance(error, httpx2.ReadTimeout):
            return (
                f"the server at {server} was silent for {self._config.server_timeout} seconds: see that it is "
                f"well, or raise server_timeout; then {THEN}."
            )
        if self._size:
            return f"the server at {server} broke the answer off ({words}): {THEN}."
        return (
            f"the server at {server} did not answer ({words}), {1 + RETRIES} times: see that it runs and that this "
            f"machine reaches it; then {THEN}."
        )


async def _content(said: httpx2.Response) -> bytes:
    """Up to one byte more than an answer may have."""
    content = b""
    async for part in said.aiter_bytes():
        content += part
        if len(content) > MAX_BYTES:
            break
    return content
