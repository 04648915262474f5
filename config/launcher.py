"""Everything under one parent: `python -m config.launcher`, which is what `make run` runs.

Starts the embedded database and broker (unless DATABASE_URL and CELERY_BROKER_URL name others), migrates, loads the
demo on the first start, then keeps web, workers and scheduler running until Ctrl-C or SIGTERM, and stops them all.
PORT and HOST say where the web answers. Logs lie in var/log/. It holds var/launcher.lock, so one folder runs once.
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from django.conf import settings

GRACE_SECONDS = 40
"""How long a child may take to stop: a training run finishes its step and writes a checkpoint."""
RESTARTS_PER_MINUTE = 5


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def die_with_parent() -> None:
    """In the child, before exec: be told when the launcher dies, even by kill -9 (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@dataclass
class Child:
    """One process that is to run as long as the launcher does."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return settings.VAR_DIR / "log" / f"{self.name}.log"

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=settings.BASE_DIR,
                env={**os.environ, "OMP_WAIT_POLICY": "passive", "DJANGO_SETTINGS_MODULE": "config.settings"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which stops its children in order
                preexec_fn=die_with_parent,
            )
        self.starts.append(time.monotonic())

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def may_restart(self) -> bool:
        return len([start for start in self.starts if start > time.monotonic() - 60]) < RESTARTS_PER_MINUTE

    def terminate(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        if not self.process:
            return
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not stop in time and is killed.")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def children(host: str, port: int) -> list[Child]:
    python = sys.executable
    worker = [python, "-m", "celery", "-A", "config", "worker", "--pool", "threads", "--loglevel", "INFO"]
    quiet = ["--without-gossip", "--without-mingle"]
    web = ["--worker-class", "gthread", "--workers", "2", "--threads", "8", "--no-control-socket"]
    return [
        Child("web", [python, "-m", "gunicorn", "config.wsgi", "--bind", f"{host}:{port}", *web]),
        Child("worker", [*worker, "-Q", "default", "-c", "2", "-n", "default@%h", *quiet]),
        Child("training", [*worker, "-Q", "training", "-c", "1", "-n", "training@%h", *quiet]),
        Child("chat", [*worker, "-Q", "chat", "-c", str(settings.CHAT_WRITERS), "-n", "chat@%h", *quiet]),
        Child("scheduler", [python, "-m", "celery", "-A", "config", "beat", "--pidfile="]),
    ]


def address() -> tuple[str, int]:
    """HOST and PORT, checked: a port that is taken is said here and not in a log."""
    host, text = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SystemExit(f"PORT must be a number from 1 to 65535, got {text!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(text)))
        except OSError as error:
            raise SystemExit(
                f"Cannot listen on {host}:{text} ({error.strerror}). Choose another: PORT=8001 make run."
            ) from None
    return host, int(text)


def take_lock() -> IO[str]:
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    lock = (settings.VAR_DIR / "launcher.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise SystemExit(f"Plumbline already runs from this folder (process {lock.read().strip()}).") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def prepare() -> None:
    """Tables, static files, demo: config/prepare.py, whose failure ends the start with its own words."""
    if subprocess.run([sys.executable, "-m", "config.prepare"], cwd=settings.BASE_DIR).returncode:
        raise SystemExit("The start was given up; see the message above.")


def wait_until_it_answers(host: str, port: int, is_stopping: Callable[[], bool]) -> None:
    shown = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not is_stopping():
        try:
            # As the proxy in front would ask: where HTTPS is on, a plain question is sent to a port that is not ours.
            asked = urllib.request.Request(f"http://{shown}:{port}/login/", headers={"X-Forwarded-Proto": "https"})
            with urllib.request.urlopen(asked, timeout=5):
                break
        except urllib.error.HTTPError:
            break  # it answers: with DEBUG off, ALLOWED_HOSTS may not name this address
        except OSError:
            time.sleep(0.1)
    else:
        if not is_stopping():
            raise SystemExit(f"The web server did not answer within a minute; see {settings.VAR_DIR}/log/web.log.")
    if not is_stopping():
        say(f"\nPlumbline answers at http://{shown}:{port}/   (Ctrl-C stops it; logs in {settings.VAR_DIR}/log)\n")


def supervise(running: list[Child], is_stopping: Callable[[], bool]) -> None:
    """Restart what ends by itself; give up, in a sentence, on what keeps ending."""
    while not is_stopping():
        for child in running:
            if child.has_ended():
                if not child.may_restart():
                    raise SystemExit(f"{child.name} keeps ending; its log says why: {child.log}")
                say(f"{child.name} ended ({child.process.returncode if child.process else '?'}) and is started again.")
                child.start()
        time.sleep(0.5)


def main() -> None:
    asked_to_stop = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    host, port = address()
    lock = take_lock()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    broker: subprocess.Popen[bytes] | None = None
    running = children(host, port)
    try:
        if not os.environ.get("DATABASE_URL"):
            settings.POSTGRES.start()
            settings.POSTGRES.create_database("plumbline")
        if not os.environ.get("CELERY_BROKER_URL"):
            broker = settings.VALKEY.start()
        prepare()
        if not asked_to_stop:
            for child in running:
                child.start()
            wait_until_it_answers(host, port, lambda: asked_to_stop)
        supervise(running, lambda: asked_to_stop)
    finally:
        say("Stopping …")
        for child in running:
            child.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for child in running:
            child.wait(deadline)
        if broker:
            broker.terminate()
            broker.wait()
        if not os.environ.get("DATABASE_URL"):
            settings.POSTGRES.stop()
        lock.close()
        say("Stopped.")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main()
