"""N people who label without a pause, each with a connection of their own. Run as a process of its own:

    python -m benchmarks.annotation.annotators < order.json > figures.json

The order names the tool, its address, everybody's cookies, seconds of warm-up and of measuring. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.annotation.wire import Browser, form_fields

CHOICES = ["-3", "-2", "-1", "0", "1", "2", "3"]


@dataclass
class Figures:
    """Seconds of every request within the time measured; counts over the whole run, warm-up included."""

    next: list[float] = field(default_factory=list)
    submit: list[float] = field(default_factory=list)
    num_acknowledged: int = 0
    num_empty: int = 0
    problems: list[str] = field(default_factory=list)


class Person:
    """One annotator at one tool. `label` answers one task and ends with the next one at hand."""

    def __init__(self, browser: Browser, figures: Figures, *, order: dict[str, Any], seed: int) -> None:
        self.browser, self.figures, self.order = browser, figures, order
        self.random = random.Random(seed)
        self.is_measured = False

    async def start(self) -> None:
        raise NotImplementedError

    async def label(self) -> None:
        raise NotImplementedError

    def note(self, seconds: list[float], since: float) -> None:
        if self.is_measured:
            seconds.append(time.perf_counter() - since)

    def trouble(self, what: str, status: int, body: str) -> None:
        if len(self.figures.problems) < 20:
            self.figures.problems.append(f"{what}: {status} {body[:200]}")


TASK = re.compile(r'data-assignment="(\d+)".*?action="(/assignments/\d+/judge/)"', re.DOTALL)


SENT = {"submission_key", "active_seconds", "rationale", "note"}
"""Of an untouched form: its script sends no correction that was left as it is, and the token in a header."""


class PlumblinePerson(Person):
    """As the task page's script does: a task in front and one behind it; the answer to a submit brings one more."""

    async def start(self) -> None:
        address = f"/projects/{self.order['project']}/annotate/"
        page = (await self.browser.get(address)).body
        found = re.search(r'data-person="(\d+)"', page)
        self.headers = {"HX_Request": "true", "Plumbline_Person": found[1] if found else ""}
        self.headers["Origin"] = f"http://{self.browser.host}:{self.browser.port}"
        self.headers["X_CSRFToken"] = self.browser.cookies.get("csrftoken", "")
        self.hand = [page] if TASK.search(page) else []
        if self.hand:
            more = await self.browser.get(f"{address}?held={TASK.findall(page)[0][0]}", **self.headers)
            self.take(more.body)

    def take(self, fragment: str) -> None:
        if TASK.search(fragment):
            self.hand.append(fragment)

    async def label(self) -> None:
        if not self.hand:
            self.figures.num_empty += 1
            await asyncio.sleep(0.05)
            return await self.start()
        page = self.hand.pop(0)
        task = TASK.search(page)
        assert task
        fields = {name: value for name, value in form_fields(page[task.end() :]).items() if name in SENT}
        fields["choice"] = self.random.choice(CHOICES)
        behind = [("held", TASK.findall(other)[0][0]) for other in self.hand]
        since = time.perf_counter()
        answer = await self.browser.post(task[2], [*fields.items(), *behind, ("ahead", "1")], **self.headers)
        self.note(self.figures.submit, since)
        if answer.status == 200:
            self.figures.num_acknowledged += 1
            self.take(answer.body)
        else:
            self.trouble("judge", answer.status, answer.body)
        return None


class CeilingPerson(Person):
    """One SELECT, then one INSERT, each by a view that does nothing else."""

    async def start(self) -> None:
        self.number = self.random.randrange(1000)

    async def label(self) -> None:
        since = time.perf_counter()
        read = await self.browser.get("/select/")
        self.note(self.figures.next, since)
        since = time.perf_counter()
        answer = await self.browser.post("/insert/", {"choice": self.random.choice(CHOICES)})
        self.note(self.figures.submit, since)
        if (read.status, answer.status) == (200, 200):
            self.figures.num_acknowledged += 1
        else:
            self.trouble("ceiling", answer.status, answer.body)


class LabelStudioPerson(Person):
    """As its labelling page does: ask for the next task, then send an annotation of it."""

    async def start(self) -> None:
        self.browser.headers["X-CSRFToken"] = self.browser.cookies.get("csrftoken", "")
        self.browser.headers["Referer"] = f"http://{self.browser.host}:{self.browser.port}/"

    async def label(self) -> None:
        since = time.perf_counter()
        answer = await self.browser.get(f"/api/projects/{self.order['project']}/next")
        self.note(self.figures.next, since)
        if answer.status != 200:
            if answer.status == 404:
                self.figures.num_empty += 1
            else:
                self.trouble("next", answer.status, answer.body)
            return await asyncio.sleep(0.05)
        task = json.loads(answer.body)["id"]
        said = {"from_name": "comparison", "to_name": "prompt", "type": "pairwise"}
        said |= {"value": {"selected": self.random.choice(["left", "right"])}}
        body = json.dumps({"result": [said], "lead_time": 1.0, "project": self.order["project"]}).encode()
        since = time.perf_counter()
        kept = await self.browser.ask(
            "POST", f"/api/tasks/{task}/annotations/", body, {"Content-Type": "application/json"}
        )
        self.note(self.figures.submit, since)
        if kept.status == 201:
            self.figures.num_acknowledged += 1
        else:
            self.trouble("submit", kept.status, kept.body)
        return None


PEOPLE = {"plumbline": PlumblinePerson, "ceiling": CeilingPerson, "label-studio": LabelStudioPerson}


async def work(order: dict[str, Any]) -> dict[str, Any]:
    figures = Figures()
    people = [
        PEOPLE[order["tool"]](
            Browser(order["host"], order["port"], dict(cookies)), figures, order=order, seed=order["seed"] + number
        )
        for number, cookies in enumerate(order["cookies"])
    ]
    await asyncio.gather(*(person.start() for person in people))
    begin = time.perf_counter() + order["warm_up"]
    end = begin + order["seconds"]

    async def one(person: Person) -> None:
        while (now := time.perf_counter()) < end:
            person.is_measured = now >= begin
            await person.label()

    await asyncio.gather(*(one(person) for person in people))
    return {
        **vars(figures),
        "cpu_seconds": time.process_time(),
        "num_connections": sum(person.browser.num_connections for person in people),
    }


if __name__ == "__main__":
    json.dump(asyncio.run(work(json.load(sys.stdin))), sys.stdout)
