"""Celery's door to a run: claim it, start its trainer as a process, follow it, close the record.

    execute_run.delay_on_commit(run.pk)       from a view;  on the queue `training`
    write_answer.delay_on_commit(answer.pk)   likewise, an answer of a chat;  on the queue `chat`
    sweep_stale_runs, sweep_chats             every 15 s by the scheduler; on the queue `default`

The row in PostgreSQL is the truth and a message carries only an id, so a second delivery does nothing, and a lost one
is sent again by the sweeper. Whoever holds a run is named in run.worker: a worker that was swept while it slept finds
the row no longer its own, ends its trainer and leaves the row to its successor. Torch is never imported in a worker.
"""

import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db.models import Value
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from training import artifacts, likelihoods, pushes, snapshots
from training.actions import (
    answers_to_send,
    end_run,
    fail_lost_answers,
    fail_stale_runs,
    publish_responses,
    requeue,
    trainer_config,
)
from training.follow import follow
from training.mailing import mail_ended_runs
from training.models import ChatAnswer, Run
from training.rlhf.rundir import EXIT_DONE, EXIT_INTERRUPTED, RunDir
from training.writing import Writing

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0

# One byte that a worker shares with the processes of its pool: its signal handler writes it, their loops read it.
_is_shutting_down = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def note_shutdown(**_: Any) -> None:
    """A worker that is told to stop lets its trainers write a checkpoint and puts their runs back into the queue."""
    _is_shutting_down[0] = 1


@shared_task(name="training.tasks.execute_run")
def execute_run(run_id: int) -> None:
    """Carry out a run from claim to close; harmless when the run is not (or no longer) queued."""
    run = Run.objects.filter(pk=run_id).first()
    worker = own_name()
    now = timezone.now()
    if run is None or not run.move(
        Run.Status.QUEUED,
        Run.Status.RUNNING,
        worker=worker,
        heartbeat_at=now,
        started_at=Coalesce("started_at", Value(now)),
        error="",
    ):
        return
    try:
        Execution(run, worker).carry_out()
    except Exception as error:  # the log gets the traceback, the run's page a sentence
        close(
            run, worker, Run.Status.FAILED, error=f"Plumbline itself failed here ({type(error).__name__}): see its log."
        )
        raise


@shared_task(name="training.tasks.sweep_stale_runs")
def sweep_stale_runs() -> None:
    for run in fail_stale_runs():
        logger.warning("run %s: sent to the workers again (restart %s)", run.pk, run.attempt)
        execute_run.delay(run.pk)
    for push in pushes.sweep():
        push_version.delay(push.pk)
    mail_ended_runs()


@shared_task(name="training.tasks.push_version")
def push_version(push_id: int) -> None:
    """Send a version to its hub; harmless when the push is not (or no longer) queued."""
    pushes.carry_out(push_id)


@shared_task(name="training.tasks.write_answer")
def write_answer(answer_id: int) -> None:
    """Write an answer of a chat; harmless when it is not (or no longer) waiting."""
    found = ChatAnswer.objects.select_related("turn", "version__project").filter(pk=answer_id).first()
    worker, now = own_name(), timezone.now()
    if found is None or not found.move(
        ChatAnswer.Status.WAITING, ChatAnswer.Status.WRITING, worker=worker, heartbeat_at=now, started_at=now
    ):
        return
    writing = Writing(found, worker, is_shutting_down=lambda: bool(_is_shutting_down[0]))
    try:
        is_back = writing.carry_out()
    except Exception as error:  # the log gets the traceback, the page a sentence
        writing.fail(f"Plumbline itself failed here ({type(error).__name__}): see its log.")
        raise
    if is_back:
        write_answer.delay(answer_id)


@shared_task(name="training.tasks.sweep_chats")
def sweep_chats() -> None:
    fail_lost_answers()
    for answer_id in answers_to_send():
        write_answer.delay(answer_id)


def own_name() -> str:
    """Of this worker at this piece of work, and at no other."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def close(run: Run, worker: str, status: Run.Status, *, error: str = "") -> bool:
    """End the record, unless the run has been swept and belongs to another worker now."""
    logger.info("run %s: %s %s", run.pk, status, error)
    return end_run(run, status, held_by=worker, error=error)


class Execution:
    """One attempt at a run by one worker: the trainer's process, the heart, and why it is to end."""

    def __init__(self, run: Run, worker: str) -> None:
        self.run, self.worker = run, worker
        self.folder = RunDir(run.folder)
        self.last_beat = time.monotonic()
        self.reason = ""
        """Why the trainer was told to stop: cancelled, shutdown, or lost (the run is another worker's now)."""
        self.kill_at = float("inf")
        self.last_word: dict[str, Any] = {"type": ""}
        """The newest event of this trainer that says how it ended."""

    def carry_out(self) -> None:
        try:
            self.fill_folder()
        except ValueError as error:  # the person's: what they chose is gone or does not fit
            close(self.run, self.worker, Run.Status.FAILED, error=str(error))
            return
        self.wait_for_predecessor()
        follow(self.run)  # what an earlier trainer wrote is no word of ours
        if not self.reason:
            exit_code = self.run_trainer()
            if self.reason != "lost":
                self.settle(exit_code)
        elif self.reason == "cancelled":
            close(self.run, self.worker, Run.Status.CANCELLED)
        elif self.reason == "shutdown":
            self.put_back(attempt=self.run.attempt)

    def fill_folder(self) -> None:
        """What the trainer reads; ValueError when what they chose is gone or does not fit."""
        filler = likelihoods if self.run.kind == Run.Kind.COMPARE else snapshots
        for version in (self.run.model, self.run.reference, self.run.reward_model, self.run.watcher):
            if version:
                artifacts.verify(version, between=self.listen)
        filler.fill_run_folder(self.run)
        self.folder.write_config(trainer_config(self.run))

    def wait_for_predecessor(self) -> None:
        """An orphaned trainer ends at its next step; until then two would write into one folder."""
        while not self.reason:
            try:
                with self.folder.lock(wait_seconds=0):
                    return
            except ValueError:
                self.listen()
                time.sleep(FOLLOW_SECONDS)

    def run_trainer(self) -> int:
        """Start it and follow it to its end; returns its exit code (negative: the signal that killed it)."""
        with self.folder.stderr.open("ab") as stderr:
            trainer = subprocess.Popen(
                [sys.executable, "-m", "training.rlhf", self.run.kind, self.folder.path, "--parent", str(os.getpid())],
                cwd=settings.BASE_DIR,
                env=trainer_environment(),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C in a terminal is the worker's to answer
            )
        try:
            while trainer.poll() is None:
                time.sleep(FOLLOW_SECONDS)
                self.listen()
                self.read_events()
                if self.reason and self.kill_at == float("inf"):
                    self.kill_at = time.monotonic() + self.grace()
                    trainer.send_signal(signal.SIGKILL if self.reason == "lost" else signal.SIGTERM)
                if time.monotonic() > self.kill_at:
                    trainer.kill()
        finally:
            if trainer.poll() is None:  # an error of ours: never leave a trainer without its follower
                trainer.kill()
            trainer.wait()
        self.read_events()
        return trainer.returncode

    def read_events(self) -> None:
        if self.reason != "lost":
            ends = [event for event in follow(self.run) if event["type"] in ("done", "error")]
            self.last_word = [self.last_word, *ends][-1]

    def grace(self) -> float:
        return float(settings.RUN_SHUTDOWN_GRACE if self.reason == "shutdown" else settings.RUN_CANCEL_GRACE)

    def listen(self) -> None:
        """Beat the heart now and then, and learn whether the run is to end."""
        mine = Run.objects.filter(pk=self.run.pk).held_by(self.worker)
        if time.monotonic() - self.last_beat > HEARTBEAT_SECONDS:
            self.last_beat = time.monotonic()
            mine.update(heartbeat_at=Now())
        flags = mine.values_list("is_cancel_requested", flat=True).first()
        if flags is None:
            self.reason = "lost"
        elif flags:
            self.reason = "cancelled"
        elif _is_shutting_down[0]:
            self.reason = self.reason or "shutdown"

    def settle(self, exit_code: int) -> None:
        """Close the record as the trainer's end and the reason for it say."""
        last = self.last_word
        is_stopped = exit_code in (EXIT_DONE, EXIT_INTERRUPTED) or exit_code < 0
        if last.get("status") == "succeeded":
            self.succeed()
        elif self.reason == "cancelled" and is_stopped:
            close(self.run, self.worker, Run.Status.CANCELLED)
        elif self.reason == "shutdown" and is_stopped:
            self.put_back(attempt=self.run.attempt)
        elif exit_code == EXIT_DONE and last.get("status") == "cancelled":  # somebody sent it SIGTERM by hand
            close(self.run, self.worker, Run.Status.CANCELLED)
        elif exit_code == EXIT_INTERRUPTED and self.run.attempt < self.run.max_restarts:
            self.put_back(attempt=self.run.attempt + 1)
        else:
            self.fail(exit_code, has_said_why=last["type"] == "error")

    def succeed(self) -> None:
        if self.run.kind == Run.Kind.GENERATE:
            publish_responses(self.run)
        if self.run.kind == Run.Kind.COMPARE:
            likelihoods.keep(self.run)
        close(self.run, self.worker, Run.Status.SUCCEEDED)

    def fail(self, exit_code: int, *, has_said_why: bool) -> None:
        """The trainer's own sentence where it left one; else ours goes into its events, which are the run's truth."""
        if not has_said_why:
            with self.folder.open_events() as events:
                events.error(unsaid(exit_code), owner="user" if exit_code == -signal.SIGKILL else "plumbline")
            follow(self.run)
        close(self.run, self.worker, Run.Status.FAILED, error=self.run.error)

    def put_back(self, *, attempt: int) -> None:
        if requeue(self.run, attempt=attempt):
            execute_run.delay(self.run.pk)


def unsaid(exit_code: int) -> str:
    """What an exit code means when the trainer could not say it itself."""
    if exit_code == -signal.SIGKILL:
        return (
            "The system killed the trainer, as it does when memory runs out. Rerun it with a smaller micro_batch_size "
            "(the result stays the same), shorter prompts and responses, lora_rank above 0, or a smaller model."
        )
    if exit_code < 0:
        return f"The trainer was ended by {signal.Signals(-exit_code).name}."
    return f"The trainer ended with exit code {exit_code} and did not say why; its log may."


def trainer_environment() -> dict[str, str]:
    """The worker's environment, with threads that sleep when they wait: spinning slows a busy machine tenfold."""
    return {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(os.cpu_count() or 1), **os.environ}
