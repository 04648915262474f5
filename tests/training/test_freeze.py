"""/projects/<slug>/freeze/: what there is to freeze, and the snapshot made of it."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotation import progress
from annotation.models import Project, User
from tests.training import rows
from tests.training.fence import Cast, check
from training.models import Snapshot


@pytest.fixture
def admin(client: Client, dana: User) -> Client:
    client.force_login(dana)
    return client


@pytest.fixture
def labelled(project: Project, alice: User) -> Project:
    simulated = User.objects.create(username="rule", is_simulated=True)
    prompts = rows.prompts(project, 20)
    rows.label(project, by=alice, prompts=prompts[:12])
    rows.label(project, by=simulated, prompts=prompts[12:18])
    return project


SHARES = {"validation_share": "0.2", "test_share": "0.2", "seed": "0"}


def test_it_works(admin: Client, labelled: Project, dana: User) -> None:
    text = admin.get("/projects/support/freeze/").content.decode()
    for part in ("6 simulated", "of 20", "How they are split"):
        assert part in text
    answer = admin.post("/projects/support/freeze/", {**SHARES, "include_simulated": "on"})
    snapshot = Snapshot.objects.get()
    assert (snapshot.counts["pairs"], snapshot.num_simulated, snapshot.created_by) == (18, 6, dana)
    assert answer["Location"] == f"/runs/new/?project=support&kind=reward&snapshot={snapshot.pk}"
    assert (snapshot.folder / "preferences.jsonl").read_text().count("\n") == 18


def test_it_tells_how_far_it_is(
    admin: Client, labelled: Project, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    pages: list[str] = []
    advance = progress.Telling.advance

    def asked(self: progress.Telling, steps: int = 1) -> None:
        advance(self, steps)
        pages.append(admin.get("/progress/freeze/", **{"HTTP_HX-Request": "true"}).content.decode())

    monkeypatch.setattr(progress.Telling, "advance", asked)
    admin.post("/projects/support/freeze/", {**SHARES, "include_simulated": "on"})
    assert len(pages) == 20 + 18, "a step a prompt and a pair"
    assert 'max="38" value="38"' in pages[-1] and 'max="38" value="1"' in pages[0]


def test_fence(cast: Cast) -> None:
    check(cast, "/projects/support/freeze/", admin_only=True, allows="GET, POST")


def test_without_the_simulated_labels(admin: Client, labelled: Project) -> None:
    admin.post("/projects/support/freeze/", SHARES)
    assert Snapshot.objects.get().num_simulated == 0
    assert Snapshot.objects.get().counts["pairs"] == 12


def test_nothing_to_freeze_says_so(admin: Client, project: Project) -> None:
    answer = admin.post("/projects/support/freeze/", SHARES)
    assert answer.status_code == 422
    assert answer.content.decode().count("nothing to train on") == 1


def test_bad_shares_get_a_sentence_beside_their_field(admin: Client, labelled: Project) -> None:
    answer = admin.post("/projects/support/freeze/", {**SHARES, "test_share": "lots"})
    assert answer.status_code == 422
    assert "Enter a number." in answer.content.decode()
    assert not Snapshot.objects.exists()


def test_the_same_labels_twice_are_one_snapshot(admin: Client, labelled: Project) -> None:
    for _ in range(2):
        admin.post("/projects/support/freeze/", SHARES)
    assert Snapshot.objects.count() == 1
