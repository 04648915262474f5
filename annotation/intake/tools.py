"""What other labelling tools export: Label Studio's pairwise tasks, Argilla's records.

What each looks like, and where that is written down, stands in docs/formats.md.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from annotation.intake.content import NewPrompt, NewResponse
from annotation.intake.conversations import read_answer, read_prompt
from annotation.intake.entries import Entry, Said, ranked
from annotation.intake.values import external_id_of, metadata_of, short, text_of
from annotation.models import Judgment

PAIRS = [
    ("response_a", "response_b"), ("text1", "text2"), ("answer1", "answer2"), ("response1", "response2"),
    ("response_1", "response_2"), ("answer_a", "answer_b"), ("completion_a", "completion_b"), ("left", "right"),
]  # fmt: skip
"""Names under which a pair of answers goes, the one on the left first."""
PROMPTS = ("prompt", "messages", "instruction", "question", "query", "input", "chat")
ANSWER = re.compile(r"(response|answer|completion|generation|output|text)[-_ ]?(\d+|[a-f])$|^(chosen|rejected)$")
TIES = {"tie": False, "equal": False, "both": False, "none": True, "both_bad": True, "neither": True}
"""A label that prefers no answer, and whether it says that both are bad."""
REASONS = ("rationale", "reason", "comment", "feedback", "explanation", "why")


# --- Label Studio -----------------------------------------------------------------------------------------------


def read_label_studio(row: dict[str, Any], source: str) -> list[Entry]:
    """A task of a pairwise project: each annotation that was not cancelled is a judgment."""
    data = row.get("data")
    if not isinstance(data, dict):
        raise ValueError(_("“%(key)s” must be an object.") % {"key": "data"})
    found = next((pair for pair in PAIRS if pair[0] in data and pair[1] in data), None)
    if found is None:
        names = ", ".join("/".join(pair) for pair in PAIRS[:3])
        raise ValueError(_("“data” holds no pair of answers (%(names)s …): name their columns.") % {"names": names})
    prompt, used = _prompt_of(data, {"id": row.get("id", "")})
    answers = [
        NewResponse(
            read_answer(data[name], after=prompt.messages, name=name),
            short(text_of(data, f"source_{side}") or text_of(data, f"model_{side}") or source, f"source_{side}"),
        )
        for name, side in zip(found, "ab", strict=True)
    ]
    if answers[0].text == answers[1].text:
        raise ValueError(_("The two answers are the same."))
    used |= {*found, "source_a", "source_b", "model_a", "model_b"}
    prompt = dataclasses.replace(prompt, metadata=metadata_of(data, used))
    annotations = row.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(given, dict) for given in annotations):
        raise ValueError(_("“%(key)s” must be a list.") % {"key": "annotations"})
    said = [said for given in annotations if (said := _annotation(given)) is not None]
    if not said:
        return [Entry(prompt=prompt, responses=answers)]
    return [Entry(prompt=prompt, responses=answers, said=one) for one in said]


def _annotation(given: dict[str, Any]) -> Said | None:
    """None: cancelled, or nothing pairwise in it."""
    results = given.get("result") or []
    if given.get("was_cancelled") or not isinstance(results, list):
        return None
    results = [result for result in results if isinstance(result, dict) and isinstance(result.get("value"), dict)]
    choice = next((_choice(result) for result in results if _choice(result) is not None), None)
    if choice is None:
        return None
    preferred, both_bad = choice
    rating = next((result["value"].get("rating") for result in results if result.get("type") == "rating"), None)
    strength = rating if isinstance(rating, int) and 1 <= rating <= 3 else Judgment.PLAIN_STRENGTH
    texts = [result["value"].get("text") for result in results if result.get("type") == "textarea"]
    lead = given.get("lead_time")
    return Said(
        annotator=short(_who(given.get("completed_by")), "completed_by", 150),
        preferred=preferred,
        strength=0 if preferred is None else strength,
        both_bad=both_bad,
        rationale="\n".join(
            part for text in texts for part in (text if isinstance(text, list) else [text]) if isinstance(part, str)
        ),
        shown_first=1 if given.get("shown") == "ba" else 0,
        active_seconds=float(lead) if isinstance(lead, int | float) and 0 <= lead < 1e9 else None,
        judged_at=_moment(given.get("created_at")),
    )


def _choice(result: dict[str, Any]) -> tuple[int | None, bool] | None:
    """(which is better, both bad), or None for a result of another kind."""
    if result.get("type") == "pairwise":
        selected = result["value"].get("selected")
        if selected in ("left", "right"):
            return ("left", "right").index(selected), False
        return (None, False) if selected == "none" else None
    choices = result["value"].get("choices") if result.get("type") == "choices" else None
    if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str):
        name = choices[0].strip().lower().replace(" ", "_")
        return (None, TIES[name]) if name in TIES else None
    return None


def _who(completed_by: Any) -> str:
    """Label Studio names a person by a number, or by an object with an address."""
    if isinstance(completed_by, dict):
        known = completed_by.get("username") or completed_by.get("email") or completed_by.get("id")
        return str(known or "")
    return "" if completed_by is None else str(completed_by) if isinstance(completed_by, str) else f"ls-{completed_by}"


def _moment(value: Any) -> datetime.datetime | None:
    try:
        moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=datetime.UTC) if moment and not moment.tzinfo else moment


# --- Argilla ----------------------------------------------------------------------------------------------------


def read_argilla(row: dict[str, Any], source: str) -> list[Entry]:
    """A record: its fields are the prompt and the answers; what each person responded is a judgment."""
    fields, given = row.get("fields"), row.get("responses") or {}
    if not isinstance(fields, dict) or not isinstance(given, dict):
        raise ValueError(_("“%(key)s” must be an object.") % {"key": "fields"})
    prompt, used = _prompt_of(fields, {"id": row.get("id") or ""})
    kept = metadata_of({"metadata": row.get("metadata")}, set())
    names = [name for name in fields if name not in used and ANSWER.search(name.lower())]
    names = names or [name for name in fields if name not in used and name in ("response", "answer", "completion")]
    answers = [
        NewResponse(
            read_answer(fields[name], after=prompt.messages, name=name),
            short(text_of(kept, f"{name}_source") or text_of(kept, f"{name}_model") or source, "source"),
        )
        for name in names
    ]
    used_names = {f"{name}_{what}" for name in names for what in ("source", "model")}
    prompt = dataclasses.replace(prompt, metadata={key: value for key, value in kept.items() if key not in used_names})
    entries = [entry for user, by in _by_user(given).items() for entry in _responded(prompt, answers, names, user, by)]
    return entries or [Entry(prompt=prompt, responses=answers)]


def _by_user(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """User id to what they responded: question to value."""
    found: dict[str, dict[str, Any]] = {}
    for question, responses in given.items():
        if not isinstance(responses, list) or not all(isinstance(one, dict) for one in responses):
            raise ValueError(_("“%(key)s” must be a list.") % {"key": question})
        for one in responses:
            if one.get("status", "submitted") == "submitted":
                found.setdefault(str(one.get("user_id") or ""), {})[question] = one.get("value")
    return found


def _responded(
    prompt: NewPrompt, answers: list[NewResponse], names: list[str], user: str, by: dict[str, Any]
) -> Iterator[Entry]:
    rationale = "\n".join(
        value for question, value in by.items() if isinstance(value, str) and _is_reason(question) and value.strip()
    )
    said = Said(annotator=short(user, "user_id", 150), rationale=rationale)
    if len(answers) == 1:
        ratings = {question: value for question, value in by.items() if type(value) is int}
        if ratings:
            yield Entry(prompt=prompt, responses=answers, said=dataclasses.replace(said, ratings=ratings))
        return
    for question, value in by.items():
        if isinstance(value, list) and (order := _order(value, names)):
            chosen = [answers[place] for place, _rank in order]
            yield from ranked(prompt, chosen, [rank for _place, rank in order], said=said)
        elif len(answers) == 2 and isinstance(value, str) and not _is_reason(question):
            strength = by.get("strength")
            yield from _chosen(prompt, answers, names, value, strength, said)


def _chosen(
    prompt: NewPrompt, answers: list[NewResponse], names: list[str], value: str, strength: Any, said: Said
) -> Iterator[Entry]:
    """A label that names an answer, or none of them."""
    name = value.strip().lower().replace(" ", "_")
    if value in names:
        degree = strength if type(strength) is int and 1 <= strength <= 3 else Judgment.PLAIN_STRENGTH
        yield Entry(
            prompt=prompt,
            responses=answers,
            said=dataclasses.replace(said, preferred=names.index(value), strength=degree),
        )
    elif name in TIES:
        yield Entry(prompt=prompt, responses=answers, said=dataclasses.replace(said, strength=0, both_bad=TIES[name]))


def _order(value: list[Any], names: list[str]) -> list[tuple[int, int]]:
    """(place in the record's answers, rank), best first: of the names in order, or of objects with value and rank."""
    found = []
    for rank, one in enumerate(value, start=1):
        name, place = (one.get("value"), one.get("rank") or rank) if isinstance(one, dict) else (one, rank)
        if name not in names or type(place) is not int:
            return []
        found.append((names.index(name), place))
    return sorted(found, key=lambda item: item[1])


def _is_reason(question: str) -> bool:
    return any(word in question.lower() for word in REASONS)


# --- both -------------------------------------------------------------------------------------------------------


def _prompt_of(values: dict[str, Any], row: dict[str, Any]) -> tuple[NewPrompt, set[str]]:
    """The prompt under one of its usual names, and the name."""
    name = next((name for name in PROMPTS if values.get(name)), None)
    if name is None:
        raise ValueError(_("The prompt is missing: one of %(names)s must hold it.") % {"names": ", ".join(PROMPTS)})
    messages, _used = read_prompt({"prompt": values[name]})
    return NewPrompt(messages, external_id_of(row)), {name}
