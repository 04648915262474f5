"""Settings that a model's folder brings along: kept with the version, inherited, and the form's first values."""

import json
import shutil
from pathlib import Path

import pytest

from annotation.models import Project
from training import actions
from training.forms import RunForm
from training.rlhf.config import RewardConfig

STARTER = Path(__file__).resolve().parents[2] / "training" / "starter" / "model"


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(slug="replies", name="Replies")


def test_the_form_begins_with_the_settings_that_suit_the_model(project: Project) -> None:
    presets = json.loads((STARTER / "presets.json").read_text())
    assert presets["reward"]["learning_rate"] != RewardConfig().learning_rate
    base = actions.register_version(project, path=STARTER, name="starter", kind="base")
    assert base.presets == presets
    form = RunForm(project=project, kind="reward")
    assert form["learning_rate"].value() == presets["reward"]["learning_rate"]
    assert form["weight_decay"].value() == RewardConfig().weight_decay


def test_descendants_inherit_them(project: Project, tmp_path: Path) -> None:
    base = actions.register_version(project, path=STARTER, name="starter", kind="base")
    plain = shutil.copytree(STARTER, tmp_path / "plain")
    (plain / "presets.json").unlink()
    child = actions.register_version(project, path=plain, name="child", kind="policy", parent=base)
    assert child.presets == base.presets


def test_a_preset_that_is_no_setting_is_refused_in_a_sentence(project: Project, tmp_path: Path) -> None:
    wrong = shutil.copytree(STARTER, tmp_path / "wrong")
    (wrong / "presets.json").write_text(json.dumps({"reward": {"learning_rat": 1}}))
    with pytest.raises(
        ValueError, match=r"presets\.json: 'learning_rat' is not a setting of a reward run.*learning_rate"
    ):
        actions.register_version(project, path=wrong, name="wrong", kind="base")
