"""The ways of writing a preference down: TRL's, with the prompt apart or inside, messages or text; transcripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

Line = dict[str, Any]
Layout = Literal["conversational", "conversational-implicit", "standard", "standard-implicit", "transcript"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
SPEAKERS = {"user": "Human", "assistant": "Assistant"}


def laid_out(line: Line, *, layout: Layout, margin: bool) -> Line:
    """A pair in another layout. margin: with TRL's column of that name, the strength (0 where it is not told)."""
    if margin:
        line = {**line, "margin": line.get("strength", 0.0)}
    if layout == "conversational":
        return line
    kept = {key: value for key, value in line.items() if key not in ("prompt", "chosen", "rejected")}
    prompt, sides = line["prompt"], {side: line[side] for side in ("chosen", "rejected")}
    if layout == "conversational-implicit":
        return {**kept, **{side: [*prompt, *answer] for side, answer in sides.items()}}
    texts = {side: answer[0]["content"] for side, answer in sides.items()}
    if layout == "transcript":
        return {**kept, **{side: f"{transcript(prompt)} {text}" for side, text in texts.items()}}
    asked = as_text(prompt)
    if layout == "standard":
        return {**kept, "prompt": asked, **texts}
    return {**kept, **{side: f"{asked} {text}" for side, text in texts.items()}}


def unpaired(lines: Iterable[Line]) -> Iterator[Line]:
    """Each pair as two completions, a desirable one and one that is not."""
    for line in lines:
        for side in ("chosen", "rejected"):
            yield {
                "prompt": line["prompt"],
                "completion": line[side],
                "label": side == "chosen",
                "source": line[f"{side}_source"],
                "weight": line["weight"],
            }


def as_text(messages: Sequence[dict[str, str]]) -> str:
    """One turn of the user as it is; a longer conversation as a transcript that waits for its answer."""
    return messages[0]["content"] if len(messages) == 1 else transcript(messages)


def transcript(messages: Sequence[dict[str, str]]) -> str:
    """“Human: … Assistant: …”, what the system says before it."""
    turns = [
        f"\n\n{SPEAKERS[turn['role']]}: {turn['content']}" if turn["role"] in SPEAKERS else turn["content"]
        for turn in messages
    ]
    return "".join(turns) + "\n\nAssistant:"
