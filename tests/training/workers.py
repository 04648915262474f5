"""Celery workers as the launcher starts them, on the embedded broker and the test's database."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection

REPO = Path(__file__).resolve().parents[2]
Start = Callable[[], "subprocess.Popen[bytes]"]


@contextlib.contextmanager
def workers_of(queue: str, place: Path, *, broker: object, concurrency: int = 1) -> Iterator[Start]:
    """Gives what starts one more; all are gone at the end. broker: config.valkey's Valkey. Their log: worker.log."""
    served = broker.start()  # type: ignore[attr-defined]
    name = connection.settings_dict["NAME"]
    given = os.environ.get("DATABASE_URL")
    environment = {
        **os.environ,
        "PLUMBLINE_VAR": str(place),
        "DATABASE_URL": f"{given.rsplit('/', 1)[0]}/{name}" if given else settings.POSTGRES.url(name),
        "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
        "OMP_NUM_THREADS": "1",
    }
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "config",
            "worker",
            "--pool",
            "threads",
            "-c",
            str(concurrency),
        ]
        with (place / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [*command, "-Q", queue, "--without-gossip", "--without-mingle", "-n", f"w{len(started)}@%h"],
                cwd=REPO, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        started.append(worker)
        return worker

    try:
        yield start
    finally:
        for worker in started:
            worker.kill()
            worker.wait()
        if served:
            served.terminate()
            served.wait()
