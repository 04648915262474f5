"""One answer of a chat, written by one worker: its text goes into its row as it grows, until it is whole or stopped.

Whoever stops an answer takes the row away from the worker, which sees it between two tokens. Where a writer process or
the worker itself is lost, the row says so in a sentence, and what was written stays.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from training import artifacts
from training.actions import generate_config
from training.models import ChatAnswer
from training.rlhf.config import to_dict
from training.writers import Writer, writers

TICK_SECONDS = 0.2
"""Between two looks at the row, and two texts written into it."""
BEAT_SECONDS = 2.0
Status = ChatAnswer.Status


class Writing:
    """One attempt at an answer that this worker has claimed."""

    def __init__(self, answer: ChatAnswer, worker: str, *, is_shutting_down: Callable[[], bool]) -> None:
        self.answer, self.worker = answer, worker
        self.is_shutting_down = is_shutting_down
        self.kept_at = time.monotonic()

    def carry_out(self) -> bool:
        """Write it; True when it went back into the queue, because the worker is told to stop."""
        try:
            config = to_dict(generate_config(self.answer))
        except ValueError as error:  # the person's: what they chose is gone or does not fit
            self.fail(str(error))
            return False
        key = json.dumps([config[name] for name in ("model", "revision", "device", "backend", "num_threads")])
        for is_last in (False, True):
            with writers.lent(key) as writer:
                was_resting = not writer.is_new
                try:
                    if not was_resting:
                        artifacts.verify(self.answer.version, between=self.still_mine)
                except ValueError as error:
                    writer.end()
                    self.fail(str(error))
                    return False
                writer.ask(self.answer.pk, config=config, messages=self.answer.turn.messages)
                outcome = self.follow(writer)
            if outcome != "unheard" or not was_resting or is_last:
                break  # else it ended of its long rest in this very moment: another one is asked
        if outcome == "unheard":
            self.fail(unsaid(writer.process.returncode))
        return outcome == "back"

    def follow(self, writer: Writer) -> str:
        """Until its last word: over, back (into the queue), or unheard (it ended without a word)."""
        text, kept, heard = "", "", False
        while True:
            said = writer.next(timeout=TICK_SECONDS) or {"type": ""}
            heard = heard or said["type"] == "begun"
            if said["type"] == "text":
                text = said["text"]
            elif said["type"] in ("done", "error", "gone"):
                if said["type"] == "gone" and not heard:
                    return "unheard"
                self.settle(said, writer)
                return "over"
            if self.is_shutting_down():
                writer.stop(self.answer.pk)
                return "back" if self.put_back() else "over"
            if self.is_due():
                if not self.still_mine(text=text if text != kept else None):
                    writer.stop(self.answer.pk)
                    return "over"
                kept = text

    def is_due(self) -> bool:
        return time.monotonic() - self.kept_at >= TICK_SECONDS

    def still_mine(self, text: str | None = None) -> bool:
        """Keep the text, or beat the heart; False when the answer was stopped or belongs to nobody any more."""
        now = time.monotonic()
        mine = ChatAnswer.objects.filter(pk=self.answer.pk).held_by(self.worker)
        if text is not None or now - self.kept_at >= BEAT_SECONDS:
            changes: dict[str, Any] = {} if text is None else {"text": text}
            self.kept_at = now
            return mine.update(heartbeat_at=Now(), **changes) == 1
        return mine.exists()

    def settle(self, said: dict[str, Any], writer: Writer) -> None:
        """Close the row as the last word says."""
        if said["type"] == "error":
            self.fail(said["message"])
        elif said["type"] == "gone":
            self.fail(unsaid(writer.process.returncode))
        else:
            self.answer.move(
                Status.WRITING, Status.DONE, held_by=self.worker, finished_at=timezone.now(),
                text=said["text"], num_tokens=said["num_tokens"], logprob=said["logprob"],
                has_ended=said["ended"], is_cut=said["is_cut"],
            )  # fmt: skip

    def fail(self, sentence: str) -> None:
        self.answer.move(Status.WRITING, Status.FAILED, held_by=self.worker, error=sentence, finished_at=timezone.now())

    def put_back(self) -> bool:
        return self.answer.move(
            Status.WRITING, Status.WAITING, held_by=self.worker, text="", worker="", sent_at=timezone.now()
        )


def unsaid(exit_code: int | None) -> str:
    """What the end of a writer means that could not say it itself."""
    if exit_code == -signal.SIGKILL:
        return (
            "The system ended the process that was writing this answer, as it does when memory runs out. What it had "
            "written is still here: have it written again, or choose a smaller model."
        )
    return "The process that was writing this answer ended. What it had written is still here: have it written again."
