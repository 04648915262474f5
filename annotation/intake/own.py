"""Our own lines: prompts with responses, preference pairs (as TRL has them), judgments of all kinds.

Whatever is wrong with a line is a ValueError with a sentence for the person who sent it.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from django.utils.translation import gettext as _

from annotation.columns import PAIR
from annotation.intake.content import NewPrompt, NewResponse
from annotation.intake.conversations import Messages, read_answer, read_prompt, split_pair
from annotation.intake.entries import Entry, Said
from annotation.intake.golds import gold_of, gold_of_pair
from annotation.intake.rankings import ranks_of, responses_of, shown_of
from annotation.intake.values import (
    external_id_of,
    flag_of,
    metadata_of,
    moment_of,
    seconds_of,
    short,
    text_of,
)
from annotation.models import Judgment

# --- prompts ----------------------------------------------------------------------------------------------------


def read_prompts(row: dict[str, Any], source: str) -> Entry:
    messages, used = read_prompt(row)
    responses = row.get("responses", [])
    if not isinstance(responses, list):
        raise ValueError(_("“responses” must be a list."))
    return Entry(
        prompt=NewPrompt(messages, external_id_of(row), metadata_of(row, used | {"id", "prompt_id", "responses"})),
        responses=[_response(value, source, number) for number, value in enumerate(responses, start=1)],
    )


def _response(value: Any, source: str, number: int) -> NewResponse:
    if isinstance(value, str):
        return NewResponse(value, source)
    if not isinstance(value, dict):
        raise ValueError(_("Response %(number)d must be a text or an object with “text”.") % {"number": number})
    text = value.get("text", value.get("content"))
    if not isinstance(text, str):
        raise ValueError(_("Response %(number)d has no “text”.") % {"number": number})
    label = text_of(value, "source") or text_of(value, "model") or source
    return NewResponse(text, short(label, "source"), metadata_of(value, {"text", "content", "role", "source", "model"}))


# --- preferences ------------------------------------------------------------------------------------------------


def read_preference(row: dict[str, Any], source: str) -> Entry:
    for key in ("chosen", "rejected"):
        if key not in row:
            raise ValueError(_("“%(key)s” is missing.") % {"key": key})
    messages: Messages
    if {"prompt", "messages", "instruction"} & row.keys():
        messages, used = read_prompt(row)
        chosen = read_answer(row["chosen"], after=messages, name="chosen")
        rejected = read_answer(row["rejected"], after=messages, name="rejected")
    else:
        used = set()
        messages, chosen, rejected = split_pair(row["chosen"], row["rejected"])
    if chosen == rejected:
        raise ValueError(_("The chosen and the rejected answer are the same."))
    used |= {"id", "annotator", "is_simulated", "rationale", "gold", *PAIR}
    gold = gold_of_pair(row)
    sources = {"chosen_source", "chosen_model", "rejected_source", "rejected_model"}
    return Entry(
        prompt=NewPrompt(messages, external_id_of(row), metadata_of(row, used | sources)),
        responses=[
            NewResponse(chosen, _label(row, "chosen", source)),
            NewResponse(rejected, _label(row, "rejected", source)),
        ],
        said=Said(
            annotator=short(text_of(row, "annotator"), "annotator", 150),
            is_simulated=flag_of(row, "is_simulated"),
            preferred=0,
            strength=_degree(row),
            rationale=text_of(row, "rationale"),
        )
        if gold is None or text_of(row, "annotator")
        else None,
        gold=gold,
    )


def _label(row: dict[str, Any], side: str, source: str) -> str:
    """Never “chosen” or “rejected”: a source must not tell what people are asked."""
    return short(text_of(row, f"{side}_source") or text_of(row, f"{side}_model") or source, f"{side}_source")


def _degree(row: dict[str, Any]) -> int:
    """How much better, 1 to 3; a mean over people (1.5) is rounded."""
    strength = row.get("strength", _margin(row) or Judgment.PLAIN_STRENGTH)
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 < strength <= 3:
        raise ValueError(_("“strength” must be a number from 1 (slightly) to 3 (much better)."))
    return max(1, round(strength))


def _margin(row: dict[str, Any]) -> float | None:
    """TRL's column of how much better; one beyond our scale says nothing here."""
    margin = row.get("margin")
    if isinstance(margin, bool) or not isinstance(margin, int | float):
        return None
    return margin if 0 < margin <= 3 else None


# --- judgments --------------------------------------------------------------------------------------------------


def read_judgment(row: dict[str, Any], source: str) -> Entry:
    messages, _used = read_prompt(row)
    is_ranking = row.get("kind") == "ranking" or "ranks" in row
    sides: list[str | int]
    if is_ranking:
        given = responses_of(row)
        sides = list(range(1, len(given) + 1))
    else:
        sides = [side for side in ("a", "b") if row.get(f"response_{side}") is not None]
        if "a" not in sides:
            raise ValueError(_("“%(key)s” is missing.") % {"key": "response_a"})
        given = [row[f"response_{side}"] for side in sides]
    responses = [_response(value, source, number) for number, value in enumerate(given, start=1)]
    if len({response.text for response in responses}) < len(responses):
        raise ValueError(_("Two of the answers are the same.") if is_ranking else _("The two answers are the same."))
    gold = gold_of(row, len(responses))
    prompt = NewPrompt(messages, short(text_of(row, "prompt_id"), "prompt_id"))
    return Entry(prompt=prompt, responses=responses, said=_said(row, sides, may_be_silent=gold is not None), gold=gold)


def _said(row: dict[str, Any], sides: list[str | int], *, may_be_silent: bool) -> Said | None:
    """sides: what the line calls its responses. may_be_silent: a line without an annotator says nothing."""
    annotator = text_of(row, "annotator")
    if not annotator:
        if may_be_silent:
            return None
        raise ValueError(_("“%(key)s” is missing.") % {"key": "annotator"})
    said = Said(
        annotator=short(annotator, "annotator", 150),
        is_simulated=flag_of(row, "is_simulated"),
        flags=_flags(row),
        rationale=text_of(row, "rationale"),
        reasons=_reasons(row),
        corrections=_corrections(row, sides),
        is_repeat=row.get("control") == "repeat",
        active_seconds=seconds_of(row),
        judged_at=moment_of(row),
    )
    if len(sides) > 2:
        return dataclasses.replace(said, ranks=ranks_of(row, len(sides)), shown=shown_of(row, len(sides)))
    return _compared(said, row) if len(sides) == 2 else _rated(said, row)


def _compared(said: Said, row: dict[str, Any]) -> Said:
    preferred, strength, both_bad = row.get("preferred"), row.get("strength"), flag_of(row, "both_bad")
    if preferred not in ("a", "b", None):
        raise ValueError(_('“preferred” must be "a", "b" or null.'))
    if isinstance(strength, bool) or strength not in (0, 1, 2, 3):
        raise ValueError(_("“strength” must be 0 (tie), 1, 2 or 3."))
    if (strength == 0) != (preferred is None) or (both_bad and preferred is not None):
        raise ValueError(
            _("“preferred” and “strength” disagree: a tie (and both bad) prefers none and has strength 0.")
        )
    shown = row.get("shown")
    if shown not in ("ab", "ba", None):
        raise ValueError(_('“shown” must be "ab", "ba" or null.'))
    return dataclasses.replace(
        said,
        preferred=None if preferred is None else "ab".index(preferred),
        strength=strength,
        both_bad=both_bad,
        shown_first=None if shown is None else "ab".index(shown[0]),
    )


def _rated(said: Said, row: dict[str, Any]) -> Said:
    ratings = row.get("ratings")
    if not isinstance(ratings, dict) or not ratings:
        raise ValueError(
            _("A rating needs “ratings”: an object of criterion and value; a comparison needs “response_b”.")
        )
    for key, value in ratings.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(_("The rating “%(key)s” must be a whole number.") % {"key": key})
    return dataclasses.replace(said, ratings=ratings)


def _flags(row: dict[str, Any]) -> list[str]:
    flags = row.get("flags") or []
    if not isinstance(flags, list) or any(flag not in Judgment.Flag.values for flag in flags):
        raise ValueError(_("“flags” must be a list of: %(flags)s.") % {"flags": ", ".join(Judgment.Flag.values)})
    return flags


def _reasons(row: dict[str, Any]) -> list[str]:
    reasons = row.get("reasons") or []
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise ValueError(_("“%(key)s” must be a list of texts.") % {"key": "reasons"})
    return [short(reason, "reasons", 100) for reason in reasons]


def _corrections(row: dict[str, Any], sides: list[str | int]) -> list[tuple[int, str]]:
    corrections = row.get("corrections") or []
    sentence = _('“corrections” must be a list of {"of": %(names)s, "text": …}.')
    sentence %= {"names": _(" or ").join(json.dumps(side) for side in sides)}
    if not isinstance(corrections, list):
        raise ValueError(sentence)
    for correction in corrections:
        if not isinstance(correction, dict) or correction.get("of") not in sides:
            raise ValueError(sentence)
        if not isinstance(correction.get("text"), str) or not correction["text"].strip():
            raise ValueError(sentence)
    return [(sides.index(correction["of"]), correction["text"]) for correction in corrections]
