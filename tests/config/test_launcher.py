"""`make run`'s parent process for real: start, answer, survive a dead child, stop with nothing left, start again."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.product import REPO, data_folder, environment, free_port, running_product


@pytest.fixture
def var() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


def launch_once(var: Path, port: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself, with a sentence and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "config.launcher"],
        cwd=REPO, env={**environment(var, 0), "PORT": port}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done


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


def schedulers(pid: int) -> set[int]:
    return {child for child in descendants(pid) if "beat" in Path(f"/proc/{child}/cmdline").read_text().split("\0")}


def get(port: int, path: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return int(answer.status)


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED: this test reads /proc to see what is left behind")
def test_it_starts_stops_and_keeps_its_data(var: Path) -> None:
    with running_product(var) as product:
        process = product.process
        assert get(product.port, "/login/") == 200
        again = launch_once(var, str(free_port()))
        assert f"already runs from this folder (process {process.pid})" in again.stderr

        code = "from annotation.models import Project; Project.objects.create(slug='kept', name='Kept')"
        product.manage("shell", "-v", "0", "-c", code)
        family = descendants(process.pid)
        postmaster = int((var / "postgres" / "postmaster.pid").read_text().split()[0])
        assert len(family) >= 6
        assert is_alive(postmaster)

        (scheduler,) = schedulers(process.pid)
        os.kill(scheduler, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not schedulers(process.pid) - {scheduler}:
            assert time.monotonic() < deadline, "the scheduler was not started again"
            time.sleep(0.2)
        family |= descendants(process.pid)
    assert process.returncode == 0
    assert not [pid for pid in {*family, postmaster} if is_alive(pid)]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", product.port)) != 0

    with running_product(var) as product:
        code = "from annotation.models import Project; print(Project.objects.get().name)"
        assert product.manage("shell", "-v", "0", "-c", code).strip() == "Kept"


def test_a_port_that_is_taken_is_said_in_a_sentence(var: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = launch_once(var, str(port))
    assert re.search(rf"Cannot listen on 127.0.0.1:{port} .*Choose another", done.stderr)


def test_a_port_that_is_no_number_is_said_in_a_sentence(var: Path) -> None:
    assert "PORT must be a number from 1 to 65535, got 'eighty'." in launch_once(var, "eighty").stderr
