"""Prompts and answers in the shapes they come in: texts, messages, transcripts, pairs with a common beginning.

The shapes of preference pairs are those of TRL's dataset formats: explicit or implicit prompt, standard or
conversational. Pure functions; what will not do is a ValueError with a sentence.
"""

from __future__ import annotations

import os.path
import re
from typing import Any

from django.utils.translation import gettext as _

Messages = list[dict[str, str]]
ROLES = ("system", "user", "assistant")
TRANSCRIPT_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")
TRANSCRIPT_ROLES = {"Human": "user", "Assistant": "assistant"}


def read_prompt(row: dict[str, Any]) -> tuple[Messages, set[str]]:
    """(the conversation so far, the keys it was read from): `prompt`, `messages`, or `instruction` with `input`."""
    if "messages" in row and "prompt" not in row:
        return read_messages(row["messages"], name="messages"), {"messages"}
    if "prompt" in row:
        return read_messages(row["prompt"], name="prompt"), {"prompt", "messages"}
    if "instruction" in row:
        parts = [row["instruction"], row.get("input") or ""]
        if not all(isinstance(part, str) for part in parts):
            raise ValueError(_("“instruction” and “input” must be texts."))
        text = "\n\n".join(part.strip() for part in parts if part.strip())
        return read_messages(text, name="instruction"), {"instruction", "input"}
    raise ValueError(_("The prompt is missing: give “prompt” (a text) or “messages” (a list of role and content)."))


def read_messages(value: Any, *, name: str) -> Messages:
    """A conversation that ends with the user's turn, from a text or a list of {role, content}."""
    messages = _asked(value) if isinstance(value, str) else _turns(value, name)
    if messages[-1]["role"] != "user":
        raise ValueError(_("“%(name)s” must end with the user's turn: that is what gets answered.") % {"name": name})
    if not messages[-1]["content"].strip():
        raise ValueError(_("“%(name)s” is empty.") % {"name": name})
    return messages


def read_answer(value: Any, *, after: Messages, name: str) -> str:
    """The one answer that follows the prompt `after`, from a text, or messages with or without the prompt before it."""
    if isinstance(value, str):
        return value
    turns = _turns([value] if isinstance(value, dict) else value, name)
    if turns[: len(after)] == after:
        turns = turns[len(after) :]
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise ValueError(_("“%(name)s” must be one answer of the assistant.") % {"name": name})
    return turns[0]["content"]


def split_pair(chosen: Any, rejected: Any) -> tuple[Messages, str, str]:
    """(prompt, chosen answer, rejected answer) of a pair that carries its prompt as the common beginning."""
    if isinstance(chosen, str) and isinstance(rejected, str):
        transcripts = _transcript(chosen), _transcript(rejected)
        if not all(transcripts):
            return _split_texts(chosen, rejected)
        chosen, rejected = transcripts
    first, second = _turns(chosen, "chosen"), _turns(rejected, "rejected")
    num_common = min(len(first), len(second)) - 1
    if len(first) != len(second) or first[:num_common] != second[:num_common]:
        raise ValueError(_("“chosen” and “rejected” must be the same conversation up to the last answer."))
    prompt = read_messages(first[:num_common], name="chosen") if num_common else []
    if not prompt:
        raise ValueError(_("“chosen” and “rejected” hold no prompt: give “prompt”, or the whole conversations."))
    return (
        prompt,
        read_answer(first[num_common:], after=prompt, name="chosen"),
        read_answer(second[num_common:], after=prompt, name="rejected"),
    )


def _split_texts(chosen: str, rejected: str) -> tuple[Messages, str, str]:
    """The common beginning, cut at a space: never inside a word that both answers begin alike."""
    end = len(os.path.commonprefix([chosen, rejected]))  # noqa: RUF071  characters are meant
    at_word_end = all(text[end : end + 1].strip() == "" for text in (chosen, rejected))
    if not at_word_end:
        end = max((at + 1 for at, character in enumerate(chosen[:end]) if character.isspace()), default=0)
    prompt = chosen[:end].strip()
    if not prompt:
        raise ValueError(_("“chosen” and “rejected” have no common beginning that could be the prompt: give “prompt”."))
    return [{"role": "user", "content": prompt}], chosen[end:].strip(), rejected[end:].strip()


def _asked(text: str) -> Messages:
    """A transcript that ends with “Assistant:”, to be answered; any other text is one turn of the user."""
    turns = _transcript(text) if text.rstrip().endswith("\n\nAssistant:") else None
    return turns[:-1] if turns else [{"role": "user", "content": text}]


def _transcript(text: str) -> Messages | None:
    """The turns of “Human: … Assistant: …” in one text; None when it is not written so. What is before them is the
    system's.
    """
    before, *parts = TRANSCRIPT_TURN.split(text.lstrip())
    if len(parts) < 4:
        return None
    turns = [
        {"role": TRANSCRIPT_ROLES[speaker], "content": content.strip()}
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    return [{"role": "system", "content": before.strip()}, *turns] if before.strip() else turns


def _turns(value: Any, name: str) -> Messages:
    if not isinstance(value, list) or not value:
        raise ValueError(_("“%(name)s” must be a text or a list of messages.") % {"name": name})
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
            raise ValueError(
                _("Message %(number)d of “%(name)s” needs a role (system, user or assistant) and a content text.")
                % {"number": number, "name": name}
            )
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]
