"""The command that registers a folder as a base version."""

import io
import shutil
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Project
from training.models import ModelVersion


def register(path: Path, **options: object) -> str:
    out = io.StringIO()
    call_command("register_model", str(path), stdout=out, **{"name": "starter", "project": "support"} | options)
    return out.getvalue()


def test_it_works(project: Project, nano_policy: Path) -> None:
    assert "starter is a base model" in register(nano_policy)
    version = project.model_versions.get(name="starter")
    assert version.kind == ModelVersion.Kind.BASE and version.folder != nano_policy
    assert (version.folder / "model.safetensors").is_file()


def test_the_same_files_again_change_nothing(project: Project, nano_policy: Path) -> None:
    register(nano_policy)
    register(nano_policy)
    assert project.model_versions.count() == 1


def test_other_files_under_the_same_name_are_refused(project: Project, nano_policy: Path, tmp_path: Path) -> None:
    register(nano_policy)
    shutil.copytree(nano_policy, tmp_path / "other")
    (tmp_path / "other" / "note.txt").write_text("another model")
    with pytest.raises(CommandError, match="already has a version named"):
        register(tmp_path / "other")


def test_a_folder_without_a_model_is_a_sentence(project: Project, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="holds no model"):
        register(tmp_path)
    with pytest.raises(CommandError, match="holds no model"):
        register(tmp_path / "missing")


def test_an_unknown_project_is_a_sentence(db: None, nano_policy: Path) -> None:
    with pytest.raises(CommandError, match="There is no project"):
        register(nano_policy, project="nothing")


def test_a_hubs_model_is_pinned_to_a_commit(project: Project) -> None:
    with pytest.raises(CommandError, match="a branch moves: main"):
        register(Path("org/model"), revision="main")
    assert "loaded from org/model at" in register(Path("org/model"), revision="0" * 40)
    version = project.model_versions.get(name="starter")
    assert (version.location, version.revision) == ("org/model", "0" * 40)
