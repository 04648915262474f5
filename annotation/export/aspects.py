"""Ratings by aspect as UltraFeedback has them: a line for each prompt and person, with every answer that they rated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from annotation.export.layouts import as_text
from annotation.export.records import RawJudgment

Line = dict[str, Any]
USUAL_STEPS = 5
"""Of UltraFeedback's scales: a criterion with as many needs no word about it."""


def ultrafeedback(judgments: Iterable[RawJudgment], *, steps: dict[str, int]) -> Iterator[Line]:
    """judgments: those of a prompt and a person together. steps: criterion key to its scale's last step."""

    def asked(judgment: RawJudgment) -> tuple[int, str]:
        return judgment.prompt_id, judgment.annotator

    for _asked, together in itertools.groupby((each for each in judgments if each.ratings), key=asked):
        yield _line(list(together), steps)


def _line(together: list[RawJudgment], steps: dict[str, int]) -> Line:
    first = together[0]
    scales = {key: steps[key] for each in together for key in each.ratings if steps[key] != USUAL_STEPS}
    return {
        "id": first.prompt_external_id,
        "instruction": as_text(first.messages),
        "messages": first.messages,
        "models": [each.source_a for each in together],
        "completions": [
            {
                "model": each.source_a,
                "response": each.text_a,
                "annotations": {key: {"Rating": str(value)} for key, value in each.ratings.items()},
                "critique": each.rationale,
            }
            for each in together
        ],
        **({"scales": scales} if scales else {}),
        "annotator": first.annotator,
        "is_simulated": first.is_simulated,
    }
