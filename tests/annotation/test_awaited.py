"""Figures of a large project: the page comes at once with a bar, they are counted once, and then they are at hand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import translation
from pytest_django.fixtures import DjangoAssertNumQueries

from annotation import awaited, progress
from annotation.awaited import Awaited
from annotation.controls import make_gold
from annotation.gold_accuracy import awaited as consensus_of
from annotation.models import Gold, Project, User
from annotation.progress import Telling, Work
from annotation.quality import events, people_of
from annotation.views.leaderboard import Wanted, board_of
from annotation.votes import ALL, Voters, fingerprint
from tests.annotation.conftest import browser_of, make_tasks
from tests.annotation.test_consensus import said
from tests.annotation.test_progress import bars

HERE = "/projects/support-replies/"
HTMX = {"HTTP_HX-Request": "true"}
PAGES = {
    "agreement": ("agreement/", "agreement", "By pair of people"),
    "consensus": ("agreement/consensus/", "consensus", "How right is a consensus?"),
    "quality": ("quality/", "quality", "Gold tasks right"),
    "leaderboard": ("leaderboard/", "standings", "Win rates"),
    "people": ("people/", "work", "Work and quality"),
    "person": ("people/{person}/", "closely", "Labels an hour"),
}
"""Address, the part that is awaited, and what stands in it alone."""


@pytest.fixture(autouse=True)
def large(db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(awaited, "MANY", 5)


@pytest.fixture
def judged(project: Project, alice: User, bob: User) -> Project:
    for number, task in enumerate(make_tasks(project, 6, overlap=2)):
        said(task, alice, -2 if number % 2 else 1)
        said(task, bob, -2 if number % 3 else 1)
    return project


def page_of(name: str, project: Project) -> tuple[str, str, str]:
    path, part, within = PAGES[name]
    return HERE + path.format(person=project.memberships.get(user__username="alice").pk), part, within


def waits_in(page: str, part: str) -> bool:
    return re.search(f'<div id="{part}" class="awaited"[^>]* hx-get="[^"]+" hx-trigger="load', page) is not None


def asked(browser: Client, path: str, part: str) -> str:
    """As the waiting part of the page asks."""
    answer = browser.get(path, **HTMX, **{"HTTP_HX-Target": part})
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_a_large_page_comes_at_once_and_its_figures_follow(
    judged: Project, carol: User, name: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    path, part, within = page_of(name, judged)
    browser = browser_of(carol)
    with django_assert_max_num_queries(22):
        page = browser.get(path).content.decode()
    assert waits_in(page, part) and within not in page and "?now=1" in page
    with django_assert_max_num_queries(45):
        followed = asked(browser, path, part)
    assert not waits_in(followed, part) and within in followed
    assert len(re.findall(f'id="{part}"', followed)) == 1, "what the page takes out of the answer"
    with django_assert_max_num_queries(22):
        again = browser.get(path).content.decode()
    assert within in again and not waits_in(again, part), "at hand by now"


@pytest.mark.parametrize("name", PAGES)
def test_where_no_script_runs_a_link_leads_to_the_figures(judged: Project, carol: User, name: str) -> None:
    path, part, within = page_of(name, judged)
    page = browser_of(carol).get(path, {"now": "1"}).content.decode()
    assert within in page and not waits_in(page, part)


@pytest.mark.parametrize("name", PAGES)
def test_a_small_page_has_its_figures_at_once(
    judged: Project, carol: User, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaited, "MANY", 13)
    path, part, within = page_of(name, judged)
    page = browser_of(carol).get(path).content.decode()
    assert within in page and not waits_in(page, part)


@pytest.mark.parametrize("name", PAGES)
def test_the_bar_moves_while_they_are_counted(
    judged: Project, carol: User, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(events, "STRETCH", 2)
    path, part, _within = page_of(name, judged)
    browser = browser_of(carol)
    mark = re.search("mark=([0-9a-f]{40})", browser.get(path).content.decode())
    assert mark
    pages: list[str] = []
    tell = Telling._tell

    def told(self: Telling, **values: bool) -> None:
        tell(self, **values)
        pages.append(browser.get(f"/progress/figures/?mark={mark[1]}", **HTMX).content.decode())

    monkeypatch.setattr(Telling, "_tell", told)
    asked(browser, path, part)
    found = bars(pages)
    assert found == sorted(found) and len(set(found)) >= 4, "it rises by parts"
    assert all(done <= total for done, total in found)
    assert all(mark[1] in page for page in pages), "and asks on"


@pytest.fixture
def elsewhere() -> Iterator[psycopg.Connection]:
    """Another process's connection."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        yield other


def test_what_another_request_counts_is_not_counted_twice(
    judged: Project, carol: User, elsewhere: psycopg.Connection
) -> None:
    path, part, within = page_of("leaderboard", judged)
    browser = browser_of(carol)
    lock = board_of(judged, Wanted(Voters.PEOPLE, False, False)).lock
    elsewhere.execute("SELECT pg_advisory_lock(%s)", [lock])
    waiting = asked(browser, path, part)
    assert waits_in(waiting, part) and "delay:1s" in waiting and within not in waiting
    elsewhere.execute("SELECT pg_advisory_unlock(%s)", [lock])
    assert within in asked(browser, path, part)


def test_who_waited_for_the_lock_takes_what_the_other_counted() -> None:
    counted: list[int] = []

    def count(told: Telling) -> int:
        counted.append(1)
        return len(counted)

    figures = Awaited(part="x", key=(1,), count=count, num=10)
    assert [figures.get(), figures.get()] == [1, 1] and len(counted) == 1
    assert Awaited(part="x", key=(2,), count=count, num=10).get() == 2, "of something else"
    assert Awaited(part="x", key=(3,), count=lambda told: None, num=10).get() is None


def test_what_fails_is_not_kept_and_the_bar_hears_of_it(alice: User) -> None:
    figures: Awaited[float] = Awaited(part="x", key=(1,), count=lambda told: 1 / 0, num=10)
    with pytest.raises(ZeroDivisionError):
        figures.get()
    found = progress.read(Work.FIGURES, figures.mark)
    assert found is not None and found.is_over
    browser = browser_of(alice)

    def told(mark: str, num: int) -> str:
        return browser.get(f"/progress/figures/?mark={mark}&asked={num}", **HTMX).content.decode()

    assert "hx-get" in told("0" * 40, 3) and "Reload the page" in told("0" * 40, 15)
    for nonsense in ("", "x", "0" * 39, "../../secret", "0" * 41):
        assert browser.get("/progress/figures/", {"mark": nonsense}, **HTMX).status_code == 404


def test_old_marks_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FORGOTTEN_SECONDS", -1.0)
    for number in range(3):
        Awaited(part="x", key=(number,), count=lambda told: 1, num=10).get()
    assert len(list((tmp_path / "progress").iterdir())) == 1


def test_what_is_kept_speaks_each_readers_language(project: Project, alice: User) -> None:
    for task in make_tasks(project, 6):
        said(task, alice, 1)
    figures = consensus_of(project, ALL)
    with translation.override("zh-hans"):
        chinese = str(figures.get().why_not)
    assert "No two people" in str(figures.get().why_not) and chinese != str(figures.get().why_not)


def test_a_new_gold_task_is_something_new(judged: Project) -> None:
    """Its judgments are no votes any more, though none has come or gone."""
    mark = fingerprint(judged)
    task = judged.tasks.earliest("pk")
    make_gold([Gold(task=task, preferred=task.response_a)])
    assert fingerprint(judged) != mark and fingerprint(judged)[0] == mark[0]


def test_stretches_of_prompts_add_up_to_the_whole(judged: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = people_of(judged)
    monkeypatch.setattr(events, "STRETCH", 2)
    assert people_of(judged) == whole and len(whole) == 2
