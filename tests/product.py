"""The whole product as a person starts it: `python -m config.launcher` on an empty folder, for tests and screenshots.

with running_product() as product:
    page.goto(product.url + "/login/")        product.logins["alice"] is her password
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


@dataclass
class Product:
    var: Path
    port: int
    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def logins(self) -> dict[str, str]:
        """Name → password of the demo's people, as they were printed."""
        found = re.findall(r"^\s*(alice|bob|carol)\b.*?(\S+)\s*$", "".join(self.output), re.M)
        return dict(found)

    def manage(self, *arguments: str) -> str:
        """What a management command printed; raises CalledProcessError when it failed."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPO, env=environment(self.var, self.port), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
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
    unset = {"DATABASE_URL", "CELERY_BROKER_URL", "DEBUG", "PLUMBLINE_DEMO"}
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, "PLUMBLINE_VAR": str(var), "PORT": str(port), "DJANGO_SETTINGS_MODULE": "config.settings", **more}


@contextlib.contextmanager
def running_product(var: Path, *, demo: bool = False) -> Iterator[Product]:
    """Start everything, wait for the address, and stop it with SIGTERM at the end."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "config.launcher"],
        cwd=REPO,
        env=environment(var, port, PLUMBLINE_DEMO="1" if demo else "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    product = Product(var, port, process)
    try:
        assert process.stdout
        for line in process.stdout:
            product.output.append(line)
            if "answers at" in line:
                break
        else:
            raise AssertionError("the launcher ended: " + "".join(product.output))
        yield product
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)
