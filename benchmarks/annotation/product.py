"""The product under load: the embedded database as in production, and the web server as the launcher starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.annotation.load import Target

REPO = Path(__file__).resolve().parents[2]


def environment(var: Path, **more: str) -> dict[str, str]:
    """Of a server in production, but for https: the generator speaks to it without a proxy between."""
    kept = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "CELERY_BROKER_URL"}}
    production = {"DEBUG": "0", "SECRET_KEY": "of-the-benchmark-alone", "ALLOWED_HOSTS": "127.0.0.1", "HTTPS": "0"}
    return {
        **kept, **production, "PLUMBLINE_VAR": str(var), "OMP_NUM_THREADS": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "WARNING", **more,
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], *, var: Path, log: str, port: int, **more: str) -> Iterator[int]:
    """Run a web server until the block ends; its process id, once it answers at /login/."""
    with (var / log).open("ab") as output:
        process = subprocess.Popen(
            command, cwd=REPO, env=environment(var, **more), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/login/", var / log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"The web server does not answer; see {log}:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def plumbline(var: Path, *, database: int) -> Iterator[Target]:
    from config.launcher import children  # noqa: PLC0415 - its settings read PLUMBLINE_VAR, set by the caller

    port = free_port()
    (command,) = (child.command for child in children("127.0.0.1", port) if child.name == "web")
    with serving(command, var=var, log="web.log", port=port) as web:
        yield Target("plumbline", "127.0.0.1", port, web, database)


@contextlib.contextmanager
def ceiling(var: Path, *, database: int) -> Iterator[Target]:
    """The same server with the same settings, on two views that do nothing but one statement each."""
    from config.launcher import children  # noqa: PLC0415

    port = free_port()
    (command,) = (child.command for child in children("127.0.0.1", port) if child.name == "web")
    settings = "benchmarks.annotation.ceiling_settings"
    with serving(command, var=var, log="ceiling.log", port=port, DJANGO_SETTINGS_MODULE=settings) as web:
        yield Target("ceiling", "127.0.0.1", port, web, database)
