"""Lines of public data sets: unpaired labels (KTO), ratings by aspect (UltraFeedback), arena battles, message trees.

What each looks like, and where that is written down, stands in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from annotation.intake.content import NewPrompt, NewResponse
from annotation.intake.conversations import Messages, read_answer, read_messages, read_prompt
from annotation.intake.entries import Entry, Said, ranked
from annotation.intake.values import external_id_of, flag_of, metadata_of, moment_of, short, text_of
from annotation.models import Judgment

DESIRABLE = "desirable"
"""The criterion of a label that says yes or no: 1 and 2."""
WINNERS = {
    "model_a": (0, False), "model_b": (1, False), "tie": (None, False),
    "tie (bothbad)": (None, True), "bothbad": (None, True), "both_bad": (None, True),
}  # fmt: skip
"""(which answer is better, whether both are bad)."""
NOT_RATED = ("", "n/a", "none", "nan")


# --- unpaired labels --------------------------------------------------------------------------------------------


def read_unpaired(row: dict[str, Any], source: str) -> list[Entry]:
    """A completion that somebody found desirable, or not: a rating on a criterion of two steps."""
    messages, used = read_prompt(row)
    label = row.get("label")
    if not isinstance(label, bool):
        raise ValueError(_("“%(key)s” must be true or false.") % {"key": "label"})
    text = read_answer(row["completion"], after=messages, name="completion")
    used |= {"id", "prompt_id", "completion", "label", "source", "model", "annotator", "is_simulated"}
    said = Said(
        annotator=short(text_of(row, "annotator"), "annotator", 150),
        is_simulated=flag_of(row, "is_simulated"),
        ratings={DESIRABLE: 2 if label else 1},
        scales={DESIRABLE: 2},
    )
    answer = NewResponse(text, short(text_of(row, "source") or text_of(row, "model") or source, "source"))
    return [
        Entry(prompt=NewPrompt(messages, external_id_of(row), metadata_of(row, used)), responses=[answer], said=said)
    ]


# --- ratings by aspect ------------------------------------------------------------------------------------------


def read_ratings(row: dict[str, Any], source: str) -> list[Entry]:
    """A prompt with several completions, each rated by aspect: one rating a completion."""
    messages, used = read_prompt(row)
    completions = row["completions"]
    if not isinstance(completions, list) or not completions:
        raise ValueError(_("“%(key)s” must be a list.") % {"key": "completions"})
    used |= {"id", "prompt_id", "completions", "annotator", "is_simulated", "models", "instruction", "scales"}
    prompt = NewPrompt(messages, external_id_of(row), metadata_of(row, used))
    return [_rated(row, prompt, value, source, number) for number, value in enumerate(completions, start=1)]


def _rated(row: dict[str, Any], prompt: NewPrompt, value: Any, source: str, number: int) -> Entry:
    text = value.get("response") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise ValueError(_("Completion %(number)d has no “response”.") % {"number": number})
    label = short(text_of(value, "model") or text_of(value, "source") or source, "model")
    ratings = dict(_aspects(value.get("annotations") or {}, number))
    scales = row.get("scales") or {}
    if not isinstance(scales, dict) or not all(type(steps) is int for steps in scales.values()):
        raise ValueError(_("“scales” must be an object of criterion and number of steps."))
    said = Said(
        annotator=short(text_of(row, "annotator"), "annotator", 150),
        is_simulated=flag_of(row, "is_simulated"),
        ratings=ratings,
        scales={key: scales.get(key, 5) for key in ratings},
        rationale=text_of(value, "critique"),
    )
    answer = NewResponse(text, label, metadata_of(value, {"response", "model", "source", "annotations", "critique"}))
    return Entry(prompt=prompt, responses=[answer], said=said if ratings else None)


def _aspects(annotations: Any, number: int) -> Iterator[tuple[str, int]]:
    """Criterion and value. An aspect's annotation is an object with “Rating”, a list of such, or the number itself."""
    if not isinstance(annotations, dict):
        raise ValueError(_("“annotations” of completion %(number)d must be an object by aspect.") % {"number": number})
    for aspect, given in annotations.items():
        one = given[0] if isinstance(given, list) and given else given
        value = one.get("Rating", one.get("rating")) if isinstance(one, dict) else one
        if value is None or str(value).strip().lower() in NOT_RATED:
            continue
        try:
            yield aspect.strip().lower().replace(" ", "_"), int(str(value).strip())
        except ValueError:
            sentence = _("The rating “%(key)s” must be a whole number.")
            raise ValueError(sentence % {"key": aspect}) from None


# --- arena battles ----------------------------------------------------------------------------------------------


def read_battle(row: dict[str, Any], source: str) -> list[Entry]:
    """Two conversations with the same user's turns; what is compared is the last answer."""
    winner = text_of(row, "winner")
    if winner not in WINNERS:
        raise ValueError(_("“winner” must be one of: %(winners)s.") % {"winners": ", ".join(WINNERS)})
    first, second = (_conversation(row, side) for side in ("conversation_a", "conversation_b"))
    if first[:-1] != second[:-1]:
        raise ValueError(_("The two conversations part before the last answer: only the last answers can be compared."))
    prompt = read_messages(first[:-1], name="conversation_a")
    preferred, both_bad = WINNERS[winner]
    used = {"question_id", "conversation_a", "conversation_b", "model_a", "model_b", "winner", "judge", "turn"}
    external = {"id": row.get("question_id", "")}
    answers = [
        NewResponse(turns[-1]["content"], short(text_of(row, f"model_{side}") or source, f"model_{side}"))
        for side, turns in (("a", first), ("b", second))
    ]
    if answers[0].text == answers[1].text:
        raise ValueError(_("The two answers are the same."))
    said = Said(
        annotator=short(text_of(row, "judge"), "judge", 150),
        is_simulated=flag_of(row, "is_simulated"),
        preferred=preferred,
        strength=0 if preferred is None else Judgment.PLAIN_STRENGTH,
        both_bad=both_bad,
        judged_at=moment_of(row),
    )
    metadata = metadata_of(row, used | {"is_simulated", "judged_at"})
    return [Entry(prompt=NewPrompt(prompt, external_id_of(external), metadata), responses=answers, said=said)]


def _conversation(row: dict[str, Any], key: str) -> Messages:
    turns = row.get(key)
    if not isinstance(turns, list) or len(turns) < 2 or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(_("“%(key)s” must be a conversation: a list of role and content.") % {"key": key})
    if any(not isinstance(turn.get("content"), str) or not isinstance(turn.get("role"), str) for turn in turns):
        raise ValueError(_("“%(key)s” must be a conversation: a list of role and content.") % {"key": key})
    if turns[-1]["role"] != "assistant":
        raise ValueError(_("“%(name)s” must end with an answer of the assistant.") % {"name": key})
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


# --- message trees ----------------------------------------------------------------------------------------------


def read_tree(row: dict[str, Any], source: str) -> list[Entry]:
    """Every user's turn of the tree with its answers; where they are ranked, that is what was said of them."""
    root = row.get("prompt")
    if not isinstance(root, dict):
        raise ValueError(_("The tree has no “prompt”: take the file of trees, not the one of single messages."))
    before = [{"role": "system", "content": system}] if (system := text_of(row, "system")) else []
    entries = list(_answered(root, before, text_of(row, "message_tree_id"), source))
    if not entries:
        raise ValueError(_("Nothing in the tree was answered."))
    return entries


def _answered(node: dict[str, Any], before: Messages, tree: str, source: str) -> Iterator[Entry]:
    """From a user's turn down."""
    asked = [*before, {"role": "user", "content": _words(node)}]
    answers = [reply for reply in _replies(node) if reply.get("role") == "assistant"]
    if answers:
        prompt = NewPrompt(
            read_messages(asked, name="prompt"),
            short(text_of(node, "message_id"), "message_id"),
            {"tree": tree, **({"lang": node["lang"]} if isinstance(node.get("lang"), str) else {})},
        )
        yield from _ranked(prompt, answers, source)
    for answer in answers:
        for question in _replies(answer):
            if question.get("role") == "prompter":
                yield from _answered(question, [*asked, {"role": "assistant", "content": _words(answer)}], tree, source)


def _ranked(prompt: NewPrompt, answers: list[dict[str, Any]], source: str) -> Iterator[Entry]:
    """Rank 0 is best; an answer without a rank was not judged, nor were two with the same words."""
    found: dict[str, Any] = {}
    for answer in answers:
        found.setdefault(_words(answer), answer)
    by_rank = sorted(found.items(), key=lambda item: rank if (rank := item[1].get("rank")) is not None else 10**6)
    responses = [NewResponse(text, text_of(answer, "model_name") or source) for text, answer in by_rank]
    ranks = [answer["rank"] for _text, answer in by_rank if isinstance(answer.get("rank"), int)]
    yield Entry(prompt=prompt, responses=responses)
    yield from ranked(prompt, responses[: len(ranks)], ranks)


def _replies(node: dict[str, Any]) -> list[dict[str, Any]]:
    replies = node.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise ValueError(_("“%(key)s” must be a list.") % {"key": "replies"})
    return [reply for reply in replies if reply.get("deleted") is not True]


def _words(node: dict[str, Any]) -> str:
    text = node.get("text")
    if not isinstance(text, str):
        raise ValueError(_("A message of the tree has no “text”."))
    return text
