"""One run of the generator against a server that is up, and what it cost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.annotation import machine
from benchmarks.annotation.wire import Browser, form_fields

Cookies = dict[str, str]


@dataclass(frozen=True)
class Target:
    """A server under load. web, database: the roots of its process trees."""

    tool: str
    host: str
    port: int
    web: int
    database: int


@dataclass(frozen=True)
class Run:
    """Times in ms; `next` is empty where the answer to a submit brings the next task."""

    num_annotators: int
    labels_per_second: float
    next: list[float]
    submit: list[float]
    num_acknowledged: int
    num_empty: int
    usage: machine.Usage
    problems: list[str]

    @property
    def waits(self) -> list[float]:
        """How long a person waits for a task: the request for it, or the submit that brings it."""
        return self.next or self.submit

    def cpu_ms(self) -> tuple[float, float, float]:
        """A label: web, database, generator; over the whole run, warm-up included."""
        used = (self.usage.web, self.usage.database, self.usage.generator)
        return tuple(1000 * part / max(1, self.num_acknowledged) for part in used)  # type: ignore[return-value]


def run(target: Target, *, cookies: list[Cookies], seconds: float, warm_up: float, **order: Any) -> Run:
    """Everybody in `cookies` labels at once; raises SystemExit with its words when the generator fails."""
    order |= {"tool": target.tool, "host": target.host, "port": target.port}
    order |= {"cookies": cookies, "seconds": seconds, "warm_up": warm_up, "seed": 0}
    before = (machine.cpu_seconds(target.web), machine.cpu_seconds(target.database), machine.busy_seconds())
    since = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.annotation.annotators"],
        input=json.dumps(order), capture_output=True, text=True,
    )  # fmt: skip
    elapsed = time.monotonic() - since
    if done.returncode:
        raise SystemExit(f"The generator failed:\n{done.stderr}")
    web, database, busy = (
        now - then
        for now, then in zip(
            (machine.cpu_seconds(target.web), machine.cpu_seconds(target.database), machine.busy_seconds()),
            before,
            strict=True,
        )
    )
    figures = json.loads(done.stdout)
    generator = figures["cpu_seconds"]
    return Run(
        num_annotators=len(cookies),
        labels_per_second=len(figures["submit"]) / seconds,
        next=sorted(1000 * value for value in figures["next"]),
        submit=sorted(1000 * value for value in figures["submit"]),
        num_acknowledged=figures["num_acknowledged"],
        num_empty=figures["num_empty"],
        usage=machine.Usage(web, database, generator, busy - web - database - generator, elapsed),
        problems=figures["problems"],
    )


def quantile(values: list[float], share: float) -> float:
    """Of sorted values, the nearest rank; NaN of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def log_in(target: Target, *, path: str, names: list[str], password: str, name_field: str) -> list[Cookies]:
    """Everybody through the login form, as people come in; raises SystemExit when one is refused."""

    async def one(name: str) -> Cookies:
        browser = Browser(target.host, target.port)
        fields = form_fields((await browser.get(path)).body)
        answer = await browser.post(path, {**fields, name_field: name, "password": password})
        if answer.status != 302:
            raise SystemExit(f"{target.tool} refused the login of {name}: {answer.status} {answer.body[:300]}")
        return browser.cookies

    async def everybody() -> list[Cookies]:
        return [await one(name) for name in names]

    return asyncio.run(everybody())
