"""docs/training.md names every setting of every kind of run, with its default."""

import re
from pathlib import Path

from training.rlhf.config import KINDS, describe

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
SHARED = {"learning_rate", "model", "revision", "reward_model", "value_model", "reference_model", "reference_revision"}
"""Whose default is said in words: it depends on the kind, or the page fills it in."""


def rows() -> list[list[str]]:
    """The cells of the page's tables, first row (the header) of each left out."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_setting_has_a_row_with_its_default():
    told: dict[str, set[str]] = {}
    for cells in rows():
        names, defaults = re.findall(r"`(\w+)`", cells[0]), re.split(r", (?=`|empty)", cells[1])
        for index, name in enumerate(names):
            found = defaults[index] if len(defaults) == len(names) else cells[1]
            told.setdefault(name, set()).add(found.strip("`"))
    assert len(told) > 60
    for kind, config_class in KINDS.items():
        for setting in describe(config_class):
            assert setting.name in told, f"{setting.name} of a {kind} run is not explained"
            if setting.name in SHARED or setting.name in {"split"}:
                continue
            wanted = "empty" if setting.default == "" else str(setting.default)
            assert wanted in told[setting.name], f"{setting.name}: {told[setting.name]} is not {wanted!r}"


def test_the_page_explains_nothing_that_is_not_there():
    known = {setting.name for config_class in KINDS.values() for setting in describe(config_class)}
    named = {name for cells in rows() for name in re.findall(r"`(\w+)`", cells[0])}
    assert named - known <= {"sft", "reward", "dpo", "policy", "generate", "evaluate", "compare"}
