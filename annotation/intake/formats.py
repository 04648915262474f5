"""What a line of a file says: one object in, what was said out, no database. docs/formats.md is its description.

Which format a line has shows in its keys; whatever is wrong with it is a ValueError with a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from django.utils.translation import gettext as _

from annotation.columns import NESTED
from annotation.intake.entries import Entry
from annotation.intake.foreign import read_battle, read_ratings, read_tree, read_unpaired
from annotation.intake.own import read_judgment, read_preference, read_prompts
from annotation.intake.tools import read_argilla, read_label_studio

Format = Literal[
    "auto", "prompts", "preferences", "judgments",
    "kto", "ultrafeedback", "arena", "open_assistant", "label_studio", "argilla",
]  # fmt: skip
FORMATS: tuple[Format, ...] = get_args(Format)


def read_row(row: dict[str, Any], *, format: Format, source: str) -> list[Entry]:
    """source: the label of responses that name none. Raises ValueError with a sentence."""
    match detect(row) if format == "auto" else format:
        case "prompts":
            return [read_prompts(row, source)]
        case "preferences":
            return [read_preference(row, source)]
        case "judgments":
            return [read_judgment(row, source)]
        case "kto":
            return read_unpaired(with_key(row, "completion"), source)
        case "ultrafeedback":
            return read_ratings(with_key(row, "completions"), source)
        case "arena":
            return read_battle(row, source)
        case "open_assistant":
            return read_tree(row, source)
        case "label_studio":
            return read_label_studio(row, source)
        case "argilla":
            return read_argilla(row, source)
    raise ValueError(_("There is no format “%(format)s”.") % {"format": format})


def detect(row: dict[str, Any]) -> Format:
    keys = row.keys()
    if "chosen" in keys or "rejected" in keys:
        return "preferences"
    if "response_a" in keys or "ranks" in keys or row.get("kind") == "ranking":
        return "judgments"
    if "conversation_a" in keys and "winner" in keys:
        return "arena"
    if "message_tree_id" in keys:
        return "open_assistant"
    if "data" in keys and ("annotations" in keys or "predictions" in keys):
        return "label_studio"
    if isinstance(row.get("fields"), dict):
        return "argilla"
    if "completions" in keys:
        return "ultrafeedback"
    return "kto" if "completion" in keys and "label" in keys else "prompts"


def with_key(row: dict[str, Any], key: str) -> dict[str, Any]:
    if key not in row:
        raise ValueError(_("“%(key)s” is missing.") % {"key": key})
    return row


def mapped(row: dict[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The row with its columns under our keys. mapping: our key to the file's column; `response_a.source` is a part."""
    if not mapping:
        return row
    taken = set(mapping.values())
    found = {key: value for key, value in row.items() if key not in taken}
    for key, column in mapping.items():
        if (value := row.get(column)) is None:
            continue
        whole, _dot, part = key.partition(".")
        if part and whole in NESTED:
            found.setdefault(whole, {})[part] = value
        else:
            found[key] = value
    return found
