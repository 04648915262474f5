"""What a line says of a ranking: the places of its responses, and the order in which they were shown."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

FEWEST, MOST = 3, 6
"""Responses in a ranking."""


def responses_of(row: dict[str, Any]) -> list[Any]:
    responses = row.get("responses")
    if not isinstance(responses, list) or not FEWEST <= len(responses) <= MOST:
        raise ValueError(
            _("A ranking needs “responses”: a list of %(fewest)d to %(most)d.") % {"fewest": FEWEST, "most": MOST}
        )
    return responses


def ranks_of(row: dict[str, Any], num: int) -> list[int]:
    """The place of each response, 1 the best; as judgments keep them, without a gap after a tie."""
    ranks = row.get("ranks")
    if not isinstance(ranks, list) or len(ranks) != num or not all(_is_number(rank, num) for rank in ranks):
        sentence = _("“ranks” must be a list of %(num)d places from 1 (best) to %(num)d, one for each response.")
        raise ValueError(sentence % {"num": num})
    dense = {place: number for number, place in enumerate(sorted(set(ranks)), start=1)}
    return [dense[place] for place in ranks]


def shown_of(row: dict[str, Any], num: int) -> list[int] | None:
    """The responses by their place in the list from 0, in the order of the page; None where the line does not tell."""
    shown = row.get("shown")
    if shown is None:
        return None
    if not isinstance(shown, list) or sorted(shown, key=str) != sorted(range(1, num + 1), key=str):
        sentence = _("“shown” must name each of the %(num)d responses once by its number, in the order of the page.")
        raise ValueError(sentence % {"num": num})
    return [number - 1 for number in shown]


def _is_number(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
