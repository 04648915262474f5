"""How quickly the model diff of many prompts opens: the server's time from the request to the last byte of the page.

    python -m benchmarks.diff --prompts 2000 --out docs/results.md

What is counted once and kept is forgotten before each visit, but for those that open it again. From some thousand
prompts on, the page comes before its figures and its pairs, which it then asks for.

Two versions with an answer each to every prompt (60 words), scored, and read by both token by token. The request goes
through Django's whole stack in this process. Its database lies under --var; it starts and stops it. Beside the time on
the wall stands the processor time here and in the database's process: on a busy machine that is what can be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.database import database_seconds, own_database
from benchmarks.report import Spent, spent_table, write

WORDS = [f"word{number}" for number in range(3000)]
LENGTH = 60
HTMX = {"HTTP_HX-Request": "true"}


def fill(num: int) -> tuple[Any, Any, Any]:
    """An admin and two versions with their answers."""
    from annotation import actions  # noqa: PLC0415  after django.setup()
    from annotation.models import Prompt, Role, User  # noqa: PLC0415
    from training.models import ModelVersion, Run  # noqa: PLC0415

    rng, stamp = random.Random(0), int(time.time())
    project = actions.create_project(f"Diff {stamp}", by=None)
    admin = User.objects.create_user(f"admin-{stamp}")
    actions.add_member(project, user=admin, role=Role.ADMIN)
    prompts = Prompt.objects.bulk_create(
        [
            Prompt(project=project, messages=[{"role": "user", "content": text(rng, 20)}], content_hash=str(number))
            for number in range(num)
        ],
        batch_size=1000,
    )
    scorer = ModelVersion.objects.create(project=project, name="scorer", kind="reward", location="/nowhere")
    a, b = (
        ModelVersion.objects.create(project=project, name=name, kind=kind, location="/nowhere")
        for name, kind in (("starter", "base"), ("tuned", "policy"))
    )
    run = Run.objects.create(project=project, kind="compare", status="succeeded", model=b, reference=a)
    for version in (a, b):
        answer_all(version, prompts, rng, scorer=scorer, pair=(a, b, run))
    return admin, a, b


def text(rng: random.Random, length: int) -> str:
    return " ".join(rng.choices(WORDS, k=length))


def digest(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()


def answer_all(
    version: Any, prompts: list[Any], rng: random.Random, *, scorer: Any, pair: tuple[Any, Any, Any]
) -> None:
    from annotation.models import Response  # noqa: PLC0415  after django.setup()
    from training.models import Generation, Likelihood, Run  # noqa: PLC0415

    a, b, reading = pair
    done = Run.objects.create(
        project=version.project, kind="generate", status="succeeded", model=version, reward_model=scorer
    )
    texts = [text(rng, LENGTH) for _ in prompts]
    answers = Response.objects.bulk_create(
        [
            Response(prompt=prompt, text=said, source=version.name, content_hash=digest(said))
            for prompt, said in zip(prompts, texts, strict=True)
        ],
        batch_size=1000,
    )  # fmt: skip
    Generation.objects.bulk_create(
        [
            Generation(response=each, version=version, run=done, reward=rng.gauss(0, 1), logprob=-90.0,
                       num_tokens=LENGTH, settings={"temperature": 1.0, "max_response_tokens": 256, "seed": 0})
            for each in answers
        ],
        batch_size=1000,
    )  # fmt: skip
    Likelihood.objects.bulk_create(
        [
            Likelihood(response=each, a=a, b=b, run=reading, logprob_a=-90.0, logprob_b=-80.0, kl_a=1.0,
                       kl_b=rng.expovariate(0.2),
                       tokens=[[f"{word} ", rng.uniform(-5, 0), rng.uniform(-5, 0)] for word in each.text.split()])
            for each in answers
        ],
        batch_size=1000,
    )  # fmt: skip


def measure(num: int, visits: int) -> list[Spent]:
    from django.test import Client  # noqa: PLC0415  after django.setup()

    from annotation.awaited import MANY  # noqa: PLC0415
    from training.diff_figures import FIGURES, PAIRS  # noqa: PLC0415

    admin, a, b = fill(num)
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(admin)
    address = f"/models/compare/?a={a.pk}&b={b.pk}"
    by_kl, searched = f"{address}&order=kl&page={num // 20}", f"{address}&search=word7&words=differ&order=gain"
    found = [visit(browser, "as it opens, largest loss first", address, visits)]
    if 2 * num < MANY:
        rest = {"by KL, the last page": by_kl, "searched and filtered": searched}
        found += [visit(browser, what, path, visits) for what, path in rest.items()]
    else:
        parts = {
            "its figures": (address, FIGURES),
            "its pairs": (address, PAIRS),
            "searched, its pairs": (searched, PAIRS),
        }
        found += [visit(browser, what, path, visits, part=part) for what, (path, part) in parts.items()]
    for part in (FIGURES, PAIRS):
        browser.get(address, **HTMX, **{"HTTP_HX-Target": part})
    return [*found, visit(browser, "opened again", address, visits, forgotten=False)]


def visit(browser: Any, what: str, path: str, visits: int, *, part: str | None = None, forgotten: bool = True) -> Spent:
    from django.core.cache import cache  # noqa: PLC0415  after django.setup()

    headers = {**HTMX, "HTTP_HX-Target": part} if part else {}
    seconds = []
    for number in range(visits + 1):
        if forgotten:
            cache.clear()
        wall, own, database = time.monotonic(), time.process_time(), database_seconds()
        page = browser.get(path, **headers)
        spent = (time.monotonic() - wall, time.process_time() - own, database_seconds() - database)
        assert page.status_code == 200, page.status_code
        if number:  # the first one compiles the templates
            seconds.append(spent)
    return (what, *(statistics.median(column) for column in zip(*seconds, strict=True)))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--visits", type=int, default=5, help="of which the middle one is told")
    parser.add_argument("--var", type=Path, default=Path("var/bench-diff"), help="where its database lies")
    parser.add_argument("--out", type=Path, help="a Markdown file whose part “diff” is replaced")
    options = parser.parse_args()
    with own_database(options.var):
        command = f"python -m benchmarks.diff --prompts {options.prompts}"
        found = spent_table(f"{options.prompts:,} prompts", measure(options.prompts, options.visits), command)
    print(found)
    if options.out:
        write(options.out, found, part="diff", title="The model diff of 2,000 prompts")


if __name__ == "__main__":
    main()
