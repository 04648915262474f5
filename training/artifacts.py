"""A model's folder as the web half sees it: is it one, what is its checksum, and how a copy of it is kept.

Nothing here loads a model. What comes from outside is copied to MODELS_DIR, because a folder that somebody else owns
may change under a version that promises one set of weights; what a run wrote stays in the run's folder.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from training.models import ModelVersion
from training.rlhf import config as rlhf
from training.rlhf.rundir import new_folder

READ_BYTES = 1 << 24


def check(folder: Path, *, kind: str) -> None:
    """ValueError with a sentence unless the folder holds a model of this kind that the trainer can load."""
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} holds no model: it needs a config.json, as transformers' save_pretrained writes it."
        )
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} holds no safetensors weights: save it again with safe_serialization=True.")
    if kind == ModelVersion.Kind.REWARD and read_card(folder).get("kind") != "reward":
        raise ValueError(f"{folder} is not a reward model of ours: its plumbline.json must say kind reward.")


def read_card(folder: Path) -> dict[str, object]:
    """What plumbline.json says of the artifact; nothing where there is none."""
    card = folder / "plumbline.json"
    return json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}


def read_presets(folder: Path) -> dict[str, dict[str, object]]:
    """Settings that suit the model, by kind of run, which presets.json in its folder may name; none where it is absent.

    ValueError with the config's own sentence when it names a setting that a kind of run does not have.
    """
    file = folder / "presets.json"
    if not file.is_file():
        return {}
    presets: dict[str, dict[str, object]] = json.loads(file.read_text(encoding="utf-8"))
    for kind, values in presets.items():
        try:
            rlhf.from_dict(kind, values)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return presets


def num_pieces(folder: Path) -> int:
    """How often checksum() calls `between`."""
    return sum(-(-path.stat().st_size // READ_BYTES) for path in folder.rglob("*") if path.is_file())


def checksum(folder: Path, *, between: Callable[[], object] = lambda: None) -> str:
    """SHA-256 over the names and the contents of all files, in the order of their names.

    between: called after each piece that was read, by whoever has to show that they are alive.
    """
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256()
        with file.open("rb") as handle:
            while piece := handle.read(READ_BYTES):
                content.update(piece)
                between()
        total.update(f"{file.relative_to(folder).as_posix()}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def verify(version: ModelVersion, *, between: Callable[[], object] = lambda: None) -> None:
    """ValueError with a sentence unless the version's files are those that were registered.

    A model of a hub has no files here: its pinned revision is its promise.
    """
    if version.revision:
        return
    if not version.folder.is_dir():
        raise ValueError(
            _("The files of %(version)s are gone (%(folder)s): bring them back from a backup or register it again.")
            % {"version": version, "folder": version.location}
        )
    if version.checksum and checksum(version.folder, between=between) != version.checksum:
        raise ValueError(
            _(
                "The files of %(version)s have changed since it was registered: their checksum differs. Bring the "
                "former files back to %(folder)s, or register the changed ones as a version of their own."
            )
            % {"version": version, "folder": version.location}
        )


def is_ours(version: ModelVersion) -> bool:
    """Whether its files lie where we keep them, so that they go with it."""
    places = (settings.MODELS_DIR, settings.RUNS_DIR)
    return not version.revision and any(version.folder.is_relative_to(place) for place in places)


def keep(folder: Path, *, project_slug: str, name: str) -> Path:
    """The folder under which the version's files stay: a run's own artifact in place, anything else as a copy."""
    folder = folder.resolve()
    if folder.is_relative_to(settings.RUNS_DIR):
        return folder
    kept: Path = settings.MODELS_DIR / project_slug / name
    if folder == kept:
        return kept
    with new_folder(kept) as beside:
        shutil.copytree(folder, beside, dirs_exist_ok=True)
    return kept
