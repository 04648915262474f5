"""A diff of many pairs: the page comes at once, figures and pairs follow, kept until an answer is new."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from annotation import awaited, progress
from annotation.models import Project, Prompt, Task, User
from annotation.progress import Telling, Work
from tests.training import rows
from training import answers
from training.actions import publishing
from training.diff_choice import Choice
from training.diff_figures import awaiting, fingerprint
from training.models import Generation, Likelihood, ModelVersion, Run

Pair = tuple[ModelVersion, ModelVersion]
HTMX = {"HTTP_HX-Request": "true"}
WITHIN = {"figures": "Wins by reward", "pairs": '<ul class="diffs">'}
"""A part that is awaited, and what stands in it alone."""


@pytest.fixture(autouse=True)
def large(db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(awaited, "MANY", 10)


@pytest.fixture
def prompts(project: Project) -> list[Prompt]:
    return rows.prompts(project, 30)


@pytest.fixture
def pair(project: Project, prompts: list[Prompt]) -> Pair:
    base, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    pair = base, rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    for version, shift in zip(pair, (-0.2, 0.3), strict=True):
        rows.generations(version, scorer=answers.scorer(*pair), prompts=prompts, shift=shift)
    return pair


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def address(pair: Pair, rest: str = "") -> str:
    return f"/models/compare/?a={pair[0].pk}&b={pair[1].pk}{rest}"


def waiting(page: str) -> list[str]:
    return re.findall(r'<div id="(\w+)" class="awaited"[^>]* hx-get="[^"]+" hx-trigger="load', page)


def asked(browser: Client, path: str, part: str) -> str:
    """As the waiting part of the page asks."""
    answer = browser.get(path, **HTMX, **{"HTTP_HX-Target": part})
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_comes_at_once_and_both_parts_follow(
    reader: Client, pair: Pair, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(22):
        page = reader.get(address(pair)).content.decode()
    assert waiting(page) == ["figures", "pairs"] and not any(each in page for each in WITHIN.values())
    for part, within in WITHIN.items():
        with django_assert_max_num_queries(40):
            followed = asked(reader, address(pair), part)
        assert part not in waiting(followed) and within in followed
        assert len(re.findall(f'id="{part}"', followed)) == 1, "what the page takes out of the answer"
    with django_assert_max_num_queries(28):
        again = reader.get(address(pair)).content.decode()
    assert not waiting(again) and all(each in again for each in WITHIN.values())


def test_another_order_waits_for_its_pairs_alone(reader: Client, pair: Pair) -> None:
    for part in WITHIN:
        asked(reader, address(pair), part)
    assert waiting(reader.get(address(pair, "&order=gain")).content.decode()) == ["pairs"]
    assert waiting(reader.get(address(pair, "&search=word")).content.decode()) == ["pairs"]


@pytest.mark.parametrize("rest", ["", "&order=kl", "&search=parcel&words=differ"], ids=str)
def test_a_large_diff_shows_what_a_small_one_shows(
    reader: Client, pair: Pair, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figures(page: str) -> Sequence[str]:
        return re.findall(r'<dd>([^<]*)</dd>|id="pair-(\d+)"|(\d+ of \d+ prompts)', page)

    now = figures(reader.get(address(pair, f"{rest}&now=1")).content.decode())
    cache.clear()
    monkeypatch.setattr(awaited, "MANY", 1000)
    small = reader.get(address(pair, rest)).content.decode()
    assert not waiting(small) and figures(small) == now and len(now) > 4


def test_the_bars_move_while_they_are_counted(reader: Client, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    marks = re.findall("mark=([0-9a-f]{40})", reader.get(address(pair)).content.decode())
    tell = Telling._tell
    found: list[tuple[int, int]] = []

    def told(self: Telling, **values: bool) -> None:
        tell(self, **values)
        for mark in marks:
            if (far := progress.read(Work.FIGURES, mark)) and not far.is_over:
                found.append((far.done, far.total))

    monkeypatch.setattr(Telling, "_tell", told)
    for part, total in {"figures": 120, "pairs": 60}.items():
        found.clear()
        asked(reader, address(pair), part)
        own = [done for done, of in found if of == total]
        assert own == sorted(own) and len(set(own)) >= 3 and own[-1] == total


def test_the_key_changes_with_all_that_is_shown(pair: Pair, prompts: list[Prompt], dana: User) -> None:
    a, b = pair
    seen = [fingerprint(a, b)]

    def is_new() -> bool:
        seen.append(fingerprint(a, b))
        return seen[-1] not in seen[:-1]

    first = Generation.objects.filter(version=b).earliest("pk")
    again = Run.objects.create(project=b.project, kind="generate", model=b, reward_model=first.run.reward_model)
    Generation.objects.filter(pk=first.pk).update(run=again, reward=9.0)
    assert is_new(), "written again"
    Run.objects.filter(pk=again.pk).update(reward_model=None)
    assert is_new(), "the scorer is gone"
    read = Likelihood.objects.create(
        response=first.response, a=a, b=b, run=again, logprob_a=-1, logprob_b=-1, kl_a=0, kl_b=0, tokens=[]
    )
    assert is_new(), "read by both"
    assert fingerprint(b, a) == fingerprint(a, b)
    read.delete()
    first.response.delete()
    assert is_new(), "an answer is gone"
    assert awaiting(a, b, Choice()).figures.key != awaiting(b, a, Choice()).figures.key


def test_sending_many_pairs_tells_how_far_it_is(
    client: Client, dana: User, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(publishing, "SENT_AT_ONCE", 10)
    client.force_login(dana)
    for part in WITHIN:
        asked(client, address(pair), part)
    page = client.get(address(pair)).content.decode()
    assert "/progress/pairs/" in page and "target:#send" in page
    advance = Telling.advance
    found: list[tuple[int, int]] = []

    def advanced(self: Telling, steps: float = 1) -> None:
        advance(self, steps)
        if self is not progress.NOBODY and (far := progress.read(Work.PAIRS, dana)):
            found.append((far.done, far.total))

    monkeypatch.setattr(Telling, "advance", advanced)
    client.post("/models/compare/send/", {"a": a.pk, "b": b.pk, "num": "25"})
    assert found == [(10, 25), (20, 25), (25, 25)] and Task.objects.count() == 25
    over = progress.read(Work.PAIRS, dana)
    assert over and over.is_over


def test_what_is_ticked_wrongly_is_not_sent(client: Client, dana: User, pair: Pair) -> None:
    client.force_login(dana)
    sent = {"a": pair[0].pk, "b": pair[1].pk, "num": "5", "prompt": ["²", "x", "9" * 30]}
    page = client.post("/models/compare/send/", sent)
    assert page.status_code == 302 and not Task.objects.exists(), "and the number does not count either"
