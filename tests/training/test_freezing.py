"""How far a freeze is, as the page that waits for it sees it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from training import freezing, snapshots
from training.freezing import Telling

HTMX = {"HTTP_HX-Request": "true"}


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> Path:
    settings.VAR_DIR = tmp_path
    (tmp_path / "snapshots").mkdir()
    return tmp_path / "snapshots"


def test_it_tells_how_far_it_is_and_then_nothing(
    client: Client, project: Project, alice: User, dana: User, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line is told here, and the page asked in the middle of the real freeze."""
    rows.label(project, by=alice, prompts=rows.prompts(project, 12))
    monkeypatch.setattr(freezing, "EVERY_SECONDS", 0.0)
    client.force_login(dana)
    address = f"/projects/{project.slug}/freeze/progress/"
    seen: list[tuple[int, str]] = []
    real = Telling.passing

    def watched(self: Telling, lines: Any) -> Iterator[Any]:
        for line in real(self, lines):
            yield line
            if found := freezing.read(project):
                seen.append((found.done, client.get(address, **HTMX).content.decode()))

    monkeypatch.setattr(Telling, "passing", watched)
    snapshots.freeze(project, by=dana, validation_share=0.0, test_share=0.0)
    assert [done for done, _page in seen] == sorted(done for done, _page in seen)
    done, page = seen[-1]
    assert done > 12
    assert f"{done} of about 24 lines" in page and f'value="{done}"' in page and "left" in page
    assert freezing.read(project) is None
    assert "Reading the labels" in client.get(address, **HTMX).content.decode()
    assert [path.name for path in own_folder.iterdir() if path.name.startswith(".")] == []


def test_what_a_killed_freeze_left_is_forgotten(project: Project, own_folder: Path) -> None:
    said = {"done": 5, "total": 10, "began": time.time() - 100, "told": time.time() - 50}
    place = own_folder / f".freezing-{project.pk}.json"
    place.write_text(json.dumps(said))
    found = freezing.read(project)
    assert found and found.seconds_left == pytest.approx(100, rel=0.1)
    place.write_text(json.dumps({**said, "told": time.time() - 61}))
    assert freezing.read(project) is None


def test_a_freeze_that_fails_leaves_no_word(project: Project, dana: User) -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        snapshots.freeze(project, by=dana)
    assert freezing.read(project) is None
