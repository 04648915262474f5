"""Cells of a table (CSV, Parquet) become the values that a line of JSON would have held.

A cell is a text. Which columns hold lists and objects, numbers, yes and no is known by their names; a list or an object
is JSON in its cell; `response_a.text` is the text of the object `response_a`.
"""

from __future__ import annotations

import datetime
from typing import Any

import orjson

from annotation.columns import NESTED

STRUCTURED = {
    *("prompt", "messages", "chosen", "rejected", "completion", "responses", "candidates", "completions"),
    *(
        "ratings",
        "ranks",
        "shown",
        "flags",
        "reasons",
        "corrections",
        "metadata",
        "annotations",
        "data",
        "fields",
        "gold",
    ),
    *("conversation_a", "conversation_b"),
}
TEXTS = {"chosen", "rejected", "completion", "prompt"}
"""Where an empty cell is an empty text; elsewhere it is a value that is not there."""
BOOLEANS = {"is_simulated", "both_bad", "label", "anony"}
NUMBERS = {"strength", "margin", "active_seconds", "turn", "overlap", "priority"}
YES_AND_NO = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def row_of(cells: dict[str, Any]) -> dict[str, Any]:
    """Column to cell, as an object of a line."""
    row: dict[str, Any] = {}
    for name, cell in cells.items():
        whole, _dot, part = name.partition(".")
        if part and whole in NESTED:
            if cell not in (None, ""):
                row.setdefault(whole, {"text": ""})[part] = cell
        elif (value := value_of(name, cell)) is not None:
            row[name] = value
    return row


def value_of(name: str, cell: Any) -> Any:
    """None: not there."""
    if isinstance(cell, datetime.datetime | datetime.date):
        return cell.isoformat()
    if not isinstance(cell, str):
        return cell
    if name in STRUCTURED and cell[:1] in ("[", "{"):
        return _structured(name, cell)
    if not cell:
        return "" if name in TEXTS else None
    if name in BOOLEANS:
        return YES_AND_NO.get(cell.strip().lower(), cell)
    return _number(cell) if name in NUMBERS else cell


def _structured(name: str, cell: str) -> Any:
    """A text may begin with a bracket too: what is no list or object of JSON stays one."""
    try:
        value = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell
    is_text = name in TEXTS and not (
        isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value)
    )
    return cell if is_text else value


def _number(cell: str) -> Any:
    try:
        value = float(cell)
    except ValueError:
        return cell
    return int(value) if value.is_integer() else value
