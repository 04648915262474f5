"""Processes that hold a model and write answers one at a time; torch is loaded in them, and never here.

    with writers.lent(key) as writer:          one that holds the model already, where there is one
        writer.ask(7, config=..., messages=...)
        writer.next(timeout=0.2)               what it said; None: nothing yet; {"type": "gone"}: it has ended

At most CHAT_WRITERS of them live in a worker, each for one answer at a time. One that nobody asks ends by itself after
a minute; all end with the worker, because their input closes, however the worker ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from django.conf import settings

STOP_SECONDS = 10.0
"""How long a process may take from a stop to its last word before it is killed: a token of a very large model."""
GONE = {"type": "gone"}


class Writer:
    """One such process."""

    def __init__(self, key: str) -> None:
        self.key = key
        """Which model it holds: it is asked for no other."""
        self.is_new = True
        """Whether it has not been asked for anything yet."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training.rlhf.chat", "--idle", str(settings.CHAT_IDLE_SECONDS)],
            cwd=settings.BASE_DIR,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C in a terminal is the worker's to answer
        )
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, answer_id: int, **request: Any) -> None:
        """One that has just ended says so to next()."""
        self.is_new = False
        self._say({"id": answer_id, **request})

    def next(self, *, timeout: float) -> dict[str, Any] | None:
        try:
            return self._said.get(timeout=timeout)
        except queue.Empty:
            return None

    def stop(self, answer_id: int) -> None:
        """End the answer under way and wait for its last word, so that the next one can be asked for."""
        self._say({"stop": answer_id})
        while (said := self.next(timeout=STOP_SECONDS)) is not None:
            if said["type"] in ("done", "error", "gone"):
                return
        self.end()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _say(self, line: dict[str, Any]) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the reading side tells
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self.process.wait()
        self._said.put(GONE)


class Writers:
    """Those of one worker, lent to its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Writer] = []
        self._lent: list[Writer] = []

    @contextlib.contextmanager
    def lent(self, key: str) -> Iterator[Writer]:
        writer = self._take(key)
        try:
            yield writer
        except BaseException:
            writer.end()  # nobody knows what it is at
            raise
        finally:
            with self._lock:
                self._lent.remove(writer)
                if writer.is_alive:
                    self._idle.append(writer)

    def _take(self, key: str) -> Writer:
        """One that holds this model; else a new one, for which the one that rested longest may have to go."""
        with self._lock:
            self._idle = [writer for writer in self._idle if writer.is_alive]
            for writer in self._idle:
                if writer.key == key:
                    self._idle.remove(writer)
                    break
            else:
                while self._idle and len(self._idle) + len(self._lent) >= settings.CHAT_WRITERS:
                    self._idle.pop(0).end()
                writer = Writer(key)
            self._lent.append(writer)
            return writer


def environment() -> dict[str, str]:
    """The worker's, with threads that sleep when they wait and that leave the other writers their cores."""
    threads = max(1, (os.cpu_count() or 1) // settings.CHAT_WRITERS)
    return {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads), **os.environ}


writers = Writers()
