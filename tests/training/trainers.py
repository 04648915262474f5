"""Trainer processes as the tests find and watch them."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from django.utils import timezone

from annotation.models import Project, User
from training import actions, answers
from training.models import ModelVersion, Run
from training.rlhf.rundir import EXIT_DONE, RunDir, read_events
from training.tasks import Execution

SHORT = {"max_prompt_tokens": 32, "max_response_tokens": 12, "device": "cpu", "num_threads": 1}


def trainers_in(folder: Path) -> list[int]:
    """Process ids of the trainers that work in this run's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            is_dead = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            if "training.rlhf" in words and str(folder) in words and not is_dead:
                found.append(int(entry.name))
    return found


def last_step(folder: Path) -> int:
    """The newest step that the run's events name."""
    steps = [event["step"] for event in read_events(RunDir(folder).events, 0)[0] if event["type"] == "progress"]
    return steps[-1] if steps else 0


def wait_until(condition: Callable[[], object], *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def send(folder: Path, sign: int) -> None:
    for pid in trainers_in(folder):
        os.kill(pid, sign)


def carry_out_here(run: Run) -> Run:
    """Carry a queued run out as a worker does, but with the trainer in this interpreter, which has torch loaded."""
    from tests.rlhf.nano import train  # noqa: PLC0415 - loads torch, which most tests here do not need

    now = timezone.now()
    assert run.move(Run.Status.QUEUED, Run.Status.RUNNING, worker="here", heartbeat_at=now, started_at=now)
    execution = Execution(run, "here")
    execution.fill_folder()
    train(run.kind, execution.folder)
    execution.read_events()
    execution.settle(EXIT_DONE)
    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED, run.error
    return run


def answered_pair(project: Project, place: Path, *, by: User) -> tuple[ModelVersion, ModelVersion]:
    """Two models of two layers, and what the real trainer let each of them answer to the project's prompts."""
    from tests.rlhf.nano import save_nano_policy  # noqa: PLC0415 - loads torch

    a, b = (
        actions.register_version(project, path=save_nano_policy(place / name, seed=seed), name=name, kind=kind)
        for name, kind, seed in (("starter", "base", 0), ("tuned", "policy", 5))
    )
    for run in answers.start_missing(a, b, by=by):
        run.config |= SHORT
        run.save(update_fields=["config"])
        carry_out_here(run)
    return a, b
