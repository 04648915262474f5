"""The columns of our tables (CSV, Parquet), known to the door in and to the door out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["text", "json", "messages", "texts", "whole", "number", "flag"]
"""What a column holds: text; any JSON, as text; messages (in a standard layout, text); a list of texts; numbers;
true or false.
"""

NESTED = ("response_a", "response_b")
"""Objects whose single values have columns of their own: `response_a.text`."""
PAIR: Mapping[str, Kind] = {
    "prompt_id": "whole", "prompt": "messages", "chosen": "messages", "rejected": "messages",
    "chosen_source": "text", "rejected_source": "text", "target": "number", "origin": "text", "weight": "number",
    "num_judgments": "whole", "num_simulated": "whole", "is_decided": "flag", "strength": "number", "margin": "number",
}  # fmt: skip
BATTLE: Mapping[str, Kind] = {
    "question_id": "text", "model_a": "text", "model_b": "text", "winner": "text", "judge": "text",
    "conversation_a": "messages", "conversation_b": "messages", "turn": "whole", "is_simulated": "flag",
    "judged_at": "text",
}  # fmt: skip
COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "judgments": {
        "id": "whole", "kind": "text", "prompt_id": "text", "prompt": "messages",
        "response_a.text": "text", "response_a.source": "text", "response_b.text": "text", "response_b.source": "text",
        "responses": "json", "preferred": "text", "strength": "whole", "both_bad": "flag", "ranks": "json",
        "shown": "json", "ratings": "json", "gold": "json", "control": "text", "annotator": "text",
        "is_simulated": "flag", "flags": "texts", "rationale": "text", "reasons": "texts", "corrections": "json",
        "guidelines_version": "whole", "active_seconds": "number", "leased_at": "text", "judged_at": "text",
    },
    "preferences": PAIR,
    "preferences-implicit": {name: kind for name, kind in PAIR.items() if name != "prompt"},
    "kto": {
        "prompt": "messages", "completion": "messages", "label": "flag", "source": "text", "weight": "number",
    },
    "ratings": {
        "prompt_id": "whole", "messages": "messages", "response_id": "whole", "text": "text", "source": "text",
        "criterion": "text", "value": "whole", "scale_max": "whole", "annotator": "text", "is_simulated": "flag",
        "judgment_id": "whole",
    },
    "corrections": {
        "id": "whole", "prompt_id": "whole", "messages": "messages", "response_id": "whole", "original": "text",
        "text": "text", "annotator": "text", "is_simulated": "flag", "judgment_id": "whole",
    },
    "demonstrations": {"messages": "messages", "is_simulated": "flag"},
    "prompts": {"id": "text", "messages": "messages", "responses": "json", "metadata": "json"},
    "arena": BATTLE,
    "problems": {"line": "whole", "sentence": "text"},
}  # fmt: skip
"""Format to column to what it holds; preferences with their prompt inside have no column for it.

Formats without an entry are trees, and leave as JSON only.
"""

STARTS = frozenset("=+-@\t\r\n'")
"""A spreadsheet takes a cell that begins so for a formula, and runs it; the apostrophe is what keeps it from that."""


def is_ours(names: Sequence[str]) -> bool:
    """Whether a header is that of an export of ours."""
    return any(list(names) == list(columns) for columns in COLUMNS.values())


def harmless(cell: str) -> str:
    """The cell as a spreadsheet shows it and never runs it: with an apostrophe before it.

    A text that begins with an apostrophe gets one more, so that unharmed() gives back every text as it was.
    """
    return "'" + cell if cell[:1] in STARTS else cell


def unharmed(cell: str) -> str:
    """What harmless() was given."""
    return cell[1:] if cell.startswith("'") and cell[1:2] in STARTS else cell
