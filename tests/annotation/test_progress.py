"""How far a long piece of work is, as the page that waits for it hears it; and that every such work tells."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotation import pairing, progress
from annotation.actions import account_data, erasure, tasks, voiding
from annotation.export import FORMATS, FileFormat, at_one_moment, lines, num_lines
from annotation.models import Judgment, Project, User
from annotation.progress import Progress, Telling, Work, telling
from tests.annotation.conftest import browser_of, make_tasks
from tests.annotation.test_voiding import judge_all

PASSWORD = "correct horse battery"
HTMX = {"HTTP_HX-Request": "true"}
Pages = list[str]
Listen = Callable[[Client, Work], Pages]


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> Path:
    settings.VAR_DIR = tmp_path
    return tmp_path / "progress"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Listen:
    """What the page that waits gets each time the work has said how far it is; parts are of two."""
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    for module, name in (
        (pairing, "PART"),
        (voiding, "PART"),
        (account_data, "PART"),
        (erasure, "PART"),
        (tasks, "CHUNK"),
    ):
        monkeypatch.setattr(module, name, 2)

    def listen(browser: Client, work: Work) -> Pages:
        pages: Pages = []
        tell = Telling._tell

        def told(self: Telling, **values: bool) -> None:
            tell(self, **values)
            pages.append(browser.get(f"/progress/{work}/", **HTMX).content.decode())

        monkeypatch.setattr(Telling, "_tell", told)
        return pages

    return listen


def bars(pages: Pages) -> list[tuple[int, int]]:
    """(done, of how many) of every page that shows a bar."""
    found = (re.search(r'<progress max="(\d+)" value="(\d+)"', page) for page in pages)
    return [(int(bar[2]), int(bar[1])) for bar in found if bar]


def rises(pages: Pages, *, to: int) -> bool:
    """The bar begins below its end, never falls, and ends full."""
    told = bars(pages)
    return told == sorted(told) and told[0][0] < to and told[-1] == (to, to) and "left" in pages[-2]


def test_making_tasks_tells(project: Project, carol: User, heard: Listen) -> None:
    make_tasks(project, 5)
    project.tasks.all().delete()
    browser = browser_of(carol)
    pages = heard(browser, Work.TASKS)
    browser.post(f"/projects/{project.slug}/tasks/new/", {"what": "all", "overlap": 1, "priority": 0})
    assert rises(pages, to=5) and project.tasks.count() == 5
    pages.clear()
    browser.post(f"/projects/{project.slug}/tasks/change/", {"change": "withdraw", "all": "on"})
    assert rises(pages, to=5) and project.tasks.withdrawn().count() == 5


def test_asking_again_tells(project: Project, alice: User, carol: User, heard: Listen) -> None:
    make_tasks(project, 5)
    judge_all(alice, project)
    browser = browser_of(carol)
    pages = heard(browser, Work.TASKS)
    browser.post(f"/projects/{project.slug}/gold/repeats/", {"percent": 100})
    assert rises(pages, to=5) and project.tasks.filter(control="repeat").count() == 5


def test_taking_labels_out_of_the_count_and_back_tells(
    project: Project, alice: User, carol: User, heard: Listen
) -> None:
    make_tasks(project, 5)
    judge_all(alice, project)
    browser = browser_of(carol)
    pages = heard(browser, Work.VOIDING)
    address = f"/projects/{project.slug}/people/{project.memberships.get(user=alice).pk}/void/"
    browser.post(address, {"reason": "guessed", "is_sure": "on"})
    assert rises(pages, to=5) and project.voidings.get().judgments.count() == 5
    pages.clear()
    browser.post(f"/projects/{project.slug}/voidings/{project.voidings.get().pk}/restore/")
    assert rises(pages, to=5) and not project.voidings.get().judgments.exists()


def test_an_export_tells_while_it_is_written(project: Project, alice: User, carol: User, heard: Listen) -> None:
    make_tasks(project, 5)
    judge_all(alice, project)
    browser = browser_of(carol)
    pages = heard(browser, Work.EXPORT)
    answer = browser.get(f"/projects/{project.slug}/export/file/", {"format": "judgments"})
    assert not pages, "nothing is read before somebody takes the file"
    assert answer.getvalue().count(b"\n") == 5
    assert rises(pages, to=5)
    assert "Done." in browser.get("/progress/export/?stays", **HTMX).content.decode()


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_is_at_most_as_long_as_it_said(project: Project, alice: User, format: FileFormat) -> None:
    make_tasks(project, 3)
    judge_all(alice, project)
    assert len(list(at_one_moment(lines(project, format=format)))) <= num_lines(project, format)


def test_a_persons_data_tells(project: Project, alice: User, heard: Listen) -> None:
    make_tasks(project, 5)
    judge_all(alice, project)
    browser = browser_of(alice)
    pages = heard(browser, Work.ACCOUNT_DATA)
    browser.post("/account/export/")
    assert rises(pages, to=5)


def test_erasing_a_person_tells(project: Project, alice: User, heard: Listen) -> None:
    make_tasks(project, 5)
    judge_all(alice, project)
    Judgment.objects.update(rationale="It answers.")
    root = User.objects.create_superuser("root", password=PASSWORD)
    browser = browser_of(root)
    pages = heard(browser, Work.ERASURE)
    values = {"username": "alice", "password": PASSWORD, "with_texts": "on"}
    browser.post(f"/accounts/{alice.pk}/erase/", values)
    assert rises(pages, to=5) and not Judgment.objects.exclude(rationale="").exists()


def test_nobody_hears_of_anothers_work(alice: User, bob: User) -> None:
    with telling(Work.EXPORT, alice) as told:
        told.expect(4)
        told.advance(1)
        assert progress.read(Work.EXPORT, bob) is None and progress.read(Work.TASKS, alice) is None
        found = progress.read(Work.EXPORT, alice)
        assert found is not None and not found.is_over and found.total == 4


def test_two_works_of_one_person_at_once_do_not_disturb_each_other(
    alice: User, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)

    def work(num: int) -> int:
        with telling(Work.EXPORT, alice) as told:
            told.expect(num)
            return len(list(told.passing(range(num))))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, [300] * 4)) == [300] * 4
    assert [file.name for file in own_folder.iterdir()] == [f"export-{alice.pk}.json"]
    found = progress.read(Work.EXPORT, alice)
    assert found is not None and found.is_over


def test_how_long_the_rest_takes() -> None:
    assert Progress(done=25, total=100, seconds=10, is_over=False).seconds_left == 30
    assert Progress(done=120, total=100, seconds=10, is_over=False).seconds_left == 0
    assert Progress(done=120, total=100, seconds=10, is_over=False).percent == 100
    for told in (Progress(0, 0, 10, False), Progress(0, 100, 10, False), Progress(1, 100, 10, False)):
        assert told.seconds_left is None, "too little was done to tell"


def test_what_killed_work_left_is_forgotten(alice: User, own_folder: Path) -> None:
    with telling(Work.EXPORT, alice) as told:
        told.expect(10)
    (file,) = own_folder.iterdir()
    said = json.loads(file.read_text()) | {"over": False}
    file.write_text(json.dumps(said | {"told": time.time() - 50}))
    assert progress.read(Work.EXPORT, alice) is not None
    file.write_text(json.dumps(said | {"told": time.time() - 61}))
    assert progress.read(Work.EXPORT, alice) is None


def test_the_page_asks_until_the_work_is_over(alice: User) -> None:
    """One that will be left asks on; one that stays ends, also where the work never began."""
    browser = browser_of(alice)

    def asked(query: str) -> str:
        return browser.get(f"/progress/erasure/{query}", **HTMX).content.decode()

    assert "asked=1" in asked("") and "At work" in asked("")
    assert "stays&amp;asked=8" in asked("?stays&asked=7")
    assert "hx-get" not in asked("?stays&asked=60") and "hx-get" in asked("?asked=60")
    for nonsense in ("?asked=x", "?asked=٣", "?asked=99999999999999999999", "?stays=&asked="):
        assert "At work" in asked(nonsense)
    with pytest.raises(ZeroDivisionError), telling(Work.ERASURE, alice):
        1 / 0  # noqa: B018  an act that fails is over too
    assert "hx-get" not in asked("?stays") and "hx-get" in asked("")


def test_it_is_a_part_of_a_page(alice: User) -> None:
    browser = browser_of(alice)
    assert browser.get("/progress/export/")["Location"] == "/"
    assert browser.get("/progress/everything/", **HTMX).status_code == 404
    assert browser_of(None).get("/progress/export/", **HTMX).status_code == 401
