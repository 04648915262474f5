"""Label Studio in a folder of its own: installed, with tables, people and tasks, and served as its makers serve it.

Two uwsgi processes behind nginx where nginx is installed, else two of gunicorn; PostgreSQL is the same server program
as ours, in a data folder of its own. Nothing is sent home: its error reports and usage counts are off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.annotation.load import Cookies, Target, log_in
from benchmarks.annotation.product import free_port
from benchmarks.annotation.wire import Browser
from config.postgres import Postgres

VERSION = "1.23.2"
PASSWORD = "a-password-of-the-benchmark"
CONFIG = """<View>
  <Text name="prompt" value="$prompt"/>
  <Pairwise name="comparison" toName="left,right"/>
  <Text name="left" value="$left"/><Text name="right" value="$right"/>
</View>"""
PEOPLE = """
from users.models import User
from organizations.models import Organization
names = ["annotator-%d@example.org" % number for number in range({num})]
first = User.objects.filter(email=names[0]).first() or User.objects.create_user(email=names[0], password={password!r})
organization = Organization.objects.first() or Organization.create_organization(created_by=first, title="benchmark")
for name in names:
    user = User.objects.filter(email=name).first() or User(email=name, username=name, password=first.password)
    user.active_organization = organization
    user.save()
    organization.add_user(user)
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 200m; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi; keepalive_requests 1000000;
  server {{
    listen 127.0.0.1:{port};
    location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{folder}/uwsgi.sock; uwsgi_read_timeout 300s; }}
  }}
}}
"""


class LabelStudio:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        self.postgres = Postgres(folder / "postgres")
        # Its migrations want extensions that the embedded PostgreSQL does not bring: Debian's does.
        self.programs = str(max(Path("/usr/lib/postgresql").glob("*/bin"), default=""))

    @property
    def package(self) -> Path:
        (found,) = (self.folder / "venv" / "lib").glob("python3*/site-packages/label_studio")
        return found

    def environment(self) -> dict[str, str]:
        quiet = {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "0"}
        database = {"DJANGO_DB": "default", "POSTGRE_NAME": "labelstudio", "POSTGRE_USER": "plumbline"}
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("DJANGO")},
            **quiet, **database, "POSTGRE_HOST": str(self.postgres.socket), "POSTGRE_PORT": "5432",
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder / "data"), "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "core.settings.label_studio", "PYTHONPATH": str(self.package),
        }  # fmt: skip

    def install(self) -> None:
        if not self.python.exists():
            sys.stdout.write(f"Installing Label Studio {VERSION} into {self.folder} ...\n")
            subprocess.run([sys.executable, "-m", "venv", str(self.folder / "venv")], check=True)
            packages = [f"label-studio=={VERSION}", "uwsgi", "gunicorn"]
            subprocess.run([str(self.python), "-m", "pip", "install", "--quiet", *packages], check=True)

    def manage(self, *arguments: str, text: str | None = None) -> None:
        done = subprocess.run(
            [str(self.python), str(self.package / "manage.py"), *arguments],
            cwd=self.package, env=self.environment(), input=text, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"Label Studio's {arguments[0]} failed:\n{done.stderr[-3000:]}")

    def prepare(self, *, num_people: int) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        with self.own_programs():
            self.postgres.start()
            self.postgres.create_database("labelstudio")
        self.manage("migrate", "--verbosity", "0")
        self.manage("shell", text=PEOPLE.format(num=num_people, password=PASSWORD))

    @contextlib.contextmanager
    def own_programs(self) -> Iterator[None]:
        if not self.programs:
            raise SystemExit("Label Studio needs a PostgreSQL with its extensions: apt-get install postgresql.")
        os.environ["PG_BIN"] = self.programs
        try:
            yield
        finally:
            del os.environ["PG_BIN"]

    def stop(self) -> None:
        with self.own_programs():
            self.postgres.stop()

    def command(self, port: int) -> list[str]:
        venv = self.folder / "venv" / "bin"
        if shutil.which("nginx"):
            return [
                str(venv / "uwsgi"), "--master", "--processes", "2", "--socket", str(self.folder / "uwsgi.sock"),
                "--chmod-socket=666", "--module", "core.wsgi", "--chdir", str(self.package), "--need-app",
                "--disable-logging", "--die-on-term", "--buffer-size", "32768",
                "--single-interpreter", "--enable-threads", "--virtualenv", str(self.folder / "venv"),
            ]  # fmt: skip
        return [
            str(venv / "gunicorn"),
            "core.wsgi",
            "--workers",
            "2",
            "--bind",
            f"127.0.0.1:{port}",
            "--timeout",
            "300",
        ]

    @contextlib.contextmanager
    def serving(self) -> Iterator[Target]:
        port, database = free_port(), self.postgres.pid()
        assert database
        commands = [self.command(port)]
        if shutil.which("nginx"):
            (self.folder / "nginx.conf").write_text(NGINX.format(folder=self.folder, port=port))
            commands.append(["nginx", "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "nginx.log")])
        with (self.folder / "web.log").open("ab") as log:
            processes = [
                subprocess.Popen(command, cwd=self.package, env=self.environment(), stdout=log, stderr=log)
                for command in commands
            ]
        try:
            target = Target("label-studio", "127.0.0.1", port, processes[0].pid, database)
            wait(target, self.folder / "web.log")
            yield target
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def wait(target: Target, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if asyncio.run(Browser(target.host, target.port).get("/user/login/")).status == 200:
                return
        time.sleep(0.5)
    raise SystemExit(f"Label Studio does not answer; see {log}:\n{log.read_text()[-2000:]}")


def people(target: Target, num: int) -> list[Cookies]:
    names = [f"annotator-{number}@example.org" for number in range(num)]
    return log_in(target, path="/user/login/", names=names, password=PASSWORD, name_field="email")


def make_project(target: Target, cookies: Cookies, texts: Iterator[dict[str, str]], *, num_tasks: int) -> int:
    """A pairwise project with so many tasks, imported through its own door; its id."""

    async def make() -> int:
        browser = Browser(target.host, target.port, dict(cookies))
        headers = {"Content-Type": "application/json", "X-CSRFToken": cookies.get("csrftoken", "")}
        headers["Referer"] = f"http://{target.host}:{target.port}/"
        body = json.dumps({"title": f"{num_tasks} tasks", "label_config": CONFIG}).encode()
        created = await browser.ask("POST", "/api/projects/", body, headers)
        if created.status != 201:
            raise SystemExit(f"Label Studio made no project: {created.status} {created.body[:500]}")
        project = int(json.loads(created.body)["id"])
        for first in range(0, num_tasks, 5_000):
            tasks = [next(texts) for _ in range(min(5_000, num_tasks - first))]
            answer = await browser.ask("POST", f"/api/projects/{project}/import", json.dumps(tasks).encode(), headers)
            if answer.status != 201:
                raise SystemExit(f"Label Studio took no tasks: {answer.status} {answer.body[:500]}")
        return project

    return asyncio.run(make())
