"""Right answers in files: a line with “gold” makes a gold task, with or without somebody's judgment of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from annotation import controls
from annotation.intake.content import Answer
from annotation.intake.values import text_of
from annotation.models import AuditEntry, Gold, Project, User, Verb


class GoldSaid(NamedTuple):
    """The right answer in a line; a response is named by its place in the entry's list."""

    preferred: int | None = None
    ratings: dict[str, list[int]] = {}
    note: str = ""


class GoldOfTask(NamedTuple):
    """A right answer of a file, beside the rows it speaks of."""

    task_id: int
    responses: list[Answer]
    said: GoldSaid


def gold_of_pair(row: dict[str, Any]) -> GoldSaid | None:
    """Of a preference: the chosen answer is the right one."""
    gold = row.get("gold")
    if gold is None or gold is False:
        return None
    if gold is not True and not isinstance(gold, dict):
        raise ValueError(_('“gold” must be true, or an object such as {"note": "…"}.'))
    return GoldSaid(preferred=0, note=_note(gold))


def gold_of(row: dict[str, Any], num: int) -> GoldSaid | None:
    """Of a judgment's line, with `num` responses."""
    gold = row.get("gold")
    if gold is None or gold is False:
        return None
    if not isinstance(gold, dict):
        raise ValueError(_("“gold” must be an object with the right answer."))
    if num == 1:
        return GoldSaid(ratings=_ranges(gold), note=_note(gold))
    if num == 2:
        if "preferred" not in gold or gold["preferred"] not in ("a", "b", None):
            raise ValueError(_('“gold” of a comparison needs “preferred”: "a", "b" or null (a tie).'))
        preferred = None if gold["preferred"] is None else "ab".index(gold["preferred"])
        return GoldSaid(preferred=preferred, note=_note(gold))
    best = gold.get("best")
    if isinstance(best, bool) or not isinstance(best, int) or not 1 <= best <= num:
        raise ValueError(_("“gold” of a ranking needs “best”: the number of the best response."))
    return GoldSaid(preferred=best - 1, note=_note(gold))


@transaction.atomic
def keep_golds(project: Project, items: Sequence[GoldOfTask], *, by: User | None) -> int:
    """Make gold tasks of these; returns how many are new. The caller holds the project's lock."""
    if not items:
        return 0
    golds = (
        Gold(
            task_id=item.task_id,
            preferred_id=None if item.said.preferred is None else item.responses[item.said.preferred].id,
            ratings=item.said.ratings,
            note=item.said.note,
            created_by=by,
        )
        for item in items
    )
    num = controls.make_gold(list(golds))
    if num:
        AuditEntry.objects.record(Verb.GOLD_SET, by=by, project=project, num=num)
    return num


def _ranges(gold: dict[str, Any]) -> dict[str, list[int]]:
    sentence = _("“gold” of a rating needs “ratings”: an object of criterion and [lowest, highest] right value.")
    ratings = gold.get("ratings")
    if not isinstance(ratings, dict) or not ratings:
        raise ValueError(sentence)
    found = {key: [value, value] if isinstance(value, int) else value for key, value in ratings.items()}
    for value in found.values():
        if not isinstance(value, list) or len(value) != 2 or not all(type(end) is int for end in value):
            raise ValueError(sentence)
    return found


def _note(gold: Any) -> str:
    return text_of(gold, "note") if isinstance(gold, dict) else ""
