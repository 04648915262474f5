"""`make run`'s parent process for real: start, answer, survive a dead child, stop with nothing left, start again."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def var() -> Iterator[Path]:
    """A data folder that PostgreSQL's unprivileged account may enter: pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="plumbline-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(var: Path, port: int, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "CELERY_BROKER_URL"}}
    return {**kept, "PLUMBLINE_VAR": str(var), "PORT": str(port), "PLUMBLINE_DEMO": "0", **more}


@contextlib.contextmanager
def launched(var: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "config.launcher"],
        cwd=REPO,
        env=environment(var, port),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "answers at" in line:
            break
    else:
        pytest.fail("".join(seen))
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                child = int(stat.parent.name)
                found |= {child} | descendants(child)
    return found


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def get(port: int, path: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return int(answer.status)


def manage(var: Path, port: int, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=REPO, env=environment(var, port), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED: this test reads /proc to see what is left behind")
def test_it_starts_stops_and_keeps_its_data(var: Path) -> None:
    port = free_port()
    with launched(var, port) as process:
        assert get(port, "/login/") == 200
        again = subprocess.run(
            [sys.executable, "-m", "config.launcher"],
            cwd=REPO, env=environment(var, free_port()), capture_output=True, text=True,
        )  # fmt: skip
        assert again.returncode != 0
        assert f"already runs from this folder (process {process.pid})" in again.stderr

        manage(var, port, "from annotation.models import Project; Project.objects.create(slug='kept', name='Kept')")
        family = descendants(process.pid)
        postmaster = int((var / "postgres" / "postmaster.pid").read_text().split()[0])
        assert len(family) >= 6
        assert is_alive(postmaster)

        scheduler = next(pid for pid in family if "beat" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
        os.kill(scheduler, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not any(
            "beat" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            for pid in descendants(process.pid) - {scheduler}
        ):
            assert time.monotonic() < deadline, "the scheduler was not started again"
            time.sleep(0.2)
        family |= descendants(process.pid)
    assert process.returncode == 0
    assert not [pid for pid in {*family, postmaster} if is_alive(pid)]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0

    with launched(var, port):
        assert manage(var, port, "from annotation.models import Project; print(Project.objects.get().name)") == "Kept"


def test_a_port_that_is_taken_is_said_in_a_sentence(var: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "config.launcher"],
            cwd=REPO, env=environment(var, port), capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode != 0
    assert re.search(rf"Cannot listen on 127.0.0.1:{port} .*Choose another", done.stderr)
    assert "Traceback" not in done.stderr


def test_a_port_that_is_no_number_is_said_in_a_sentence(var: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "config.launcher"],
        cwd=REPO, env={**environment(var, 1), "PORT": "eighty"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "PORT must be a number from 1 to 65535, got 'eighty'." in done.stderr
    assert "Traceback" not in done.stderr
