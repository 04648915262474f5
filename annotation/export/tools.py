"""Judgments as other tools write them: arena battles, Label Studio's pairwise tasks, Argilla's records.

What each looks like, and where that is written down, stands in docs/formats.md.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from annotation.export.layouts import as_text
from annotation.export.records import RawJudgment

Line = dict[str, Any]
PEOPLE = uuid.uuid5(uuid.NAMESPACE_URL, "plumbline:annotator")
"""Argilla knows people by UUIDs: a name always gives the same one."""


def battles(judgments: Iterable[RawJudgment]) -> Iterator[Line]:
    """A line for each comparison."""
    for judgment in judgments:
        if judgment.text_b is not None:
            yield {
                "question_id": judgment.prompt_external_id or str(judgment.prompt_id),
                "model_a": judgment.source_a,
                "model_b": judgment.source_b,
                "winner": _winner(judgment),
                "judge": judgment.annotator,
                "conversation_a": [*judgment.messages, {"role": "assistant", "content": judgment.text_a}],
                "conversation_b": [*judgment.messages, {"role": "assistant", "content": judgment.text_b}],
                "turn": sum(turn["role"] == "user" for turn in judgment.messages),
                "is_simulated": judgment.is_simulated,
                "judged_at": judgment.judged_at.isoformat(),
            }


def _winner(judgment: RawJudgment) -> str:
    if judgment.preferred is not None:
        return f"model_{judgment.preferred}"
    return "tie (bothbad)" if judgment.both_bad else "tie"


def _of_each_task(judgments: Iterable[RawJudgment]) -> Iterator[list[RawJudgment]]:
    """Those of a task stand together already."""

    def asked(judgment: RawJudgment) -> tuple[object, ...]:
        return judgment.kind, judgment.response_a_id, judgment.response_b_id, [each.id for each in judgment.ranked]

    for _task, together in itertools.groupby(judgments, key=asked):
        yield list(together)


# --- Label Studio -----------------------------------------------------------------------------------------------


def label_studio(judgments: Iterable[RawJudgment]) -> Iterator[Line]:
    """A task for each comparison, with an annotation for each judgment of it. text1 is on the left."""
    for together in _of_each_task(judgments):
        first = together[0]
        if first.text_b is not None:
            yield {
                "id": first.response_a_id,
                "data": {
                    "prompt": as_text(first.messages),
                    "text1": first.text_a,
                    "text2": first.text_b,
                    "source_a": first.source_a,
                    "source_b": first.source_b,
                },
                "annotations": [_annotation(judgment) for judgment in together],
                "predictions": [],
            }


def _annotation(judgment: RawJudgment) -> Line:
    results = []
    if judgment.preferred is None:
        choice = "both_bad" if judgment.both_bad else "tie"
        results.append({**_of("tie", "text1", judgment), "type": "choices", "value": {"choices": [choice]}})
    else:
        side = {"a": "left", "b": "right"}[judgment.preferred]
        results.append({**_of("pw", "pw", judgment), "type": "pairwise", "value": {"selected": side}})
        rating = {"rating": judgment.strength}
        results.append({**_of("strength", "text1", judgment), "type": "rating", "value": rating})
    if judgment.rationale:
        text = {"text": [judgment.rationale]}
        results.append({**_of("rationale", "text1", judgment), "type": "textarea", "value": text})
    return {
        "id": judgment.id,
        "completed_by": {"email": judgment.annotator},
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": judgment.active_seconds,
        "created_at": judgment.judged_at.isoformat(),
        "shown": judgment.shown,
        "result": results,
    }


def _of(name: str, to: str, judgment: RawJudgment) -> Line:
    return {"id": f"{name}-{judgment.id}", "from_name": name, "to_name": to}


# --- Argilla ----------------------------------------------------------------------------------------------------


def argilla(judgments: Iterable[RawJudgment]) -> Iterator[Line]:
    """A record for each task, with the responses of everybody who judged it."""
    for together in _of_each_task(judgments):
        first = together[0]
        answers = [(each.text, each.source) for each in first.ranked] or [
            (text, source)
            for text, source in ((first.text_a, first.source_a), (first.text_b, first.source_b))
            if text is not None and source is not None
        ]
        names = [f"response_{number}" for number in range(1, len(answers) + 1)]
        responses: dict[str, list[Line]] = {}
        for judgment in together:
            user = str(uuid.uuid5(PEOPLE, judgment.annotator))
            for question, value in _responded(judgment, names):
                responses.setdefault(question, []).append({"value": value, "user_id": user})
        yield {
            "id": f"{first.kind}-{first.response_a_id}-{first.response_b_id or ''}".rstrip("-"),
            "fields": {
                "prompt": first.messages,
                **{name: text for name, (text, _source) in zip(names, answers, strict=True)},
            },
            "metadata": {f"{name}_source": source for name, (_text, source) in zip(names, answers, strict=True)},
            "suggestions": {},
            "responses": responses,
            "vectors": {},
        }


def _responded(judgment: RawJudgment, names: list[str]) -> Iterator[tuple[str, Any]]:
    """Question and value."""
    if judgment.ranked:
        ranked = zip(names, judgment.ranked, strict=True)
        yield (
            "ranking",
            sorted(({"value": name, "rank": each.rank} for name, each in ranked), key=lambda one: one["rank"]),
        )
    elif judgment.text_b is not None:
        both = "both_bad" if judgment.both_bad else "tie"
        yield "preference", both if judgment.preferred is None else names["ab".index(judgment.preferred)]
        if judgment.strength:
            yield "strength", judgment.strength
    else:
        yield from judgment.ratings.items()
    if judgment.rationale:
        yield "rationale", judgment.rationale
