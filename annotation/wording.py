"""What a newer text says that an older one did not: by line, and inside a changed line by word. Pure functions.

Lines are compared first, so that a paragraph that moved nothing else is shown alone; inside a block that changed, words
are (of Chinese and Japanese, characters). Long stretches that stayed are folded away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\w+|\s+|.", re.DOTALL)
CONTEXT = 2
"""Unchanged lines kept on each side of a change."""


class Part(NamedTuple):
    kind: str
    """"same", "added" or "removed"."""
    text: str


class Block(NamedTuple):
    """Some lines, one below the other. `is_fold`: unchanged lines were left out here."""

    parts: list[Part]
    is_fold: bool = False


def changes(old: str, new: str) -> list[Block]:
    """The newer text with what was removed still in its place; nothing when both say the same."""
    before, after = old.splitlines(), new.splitlines()
    if before == after:
        return []
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    blocks: list[Block] = []
    for number, (kind, low, high, start, end) in enumerate(steps):
        if kind == "equal":
            blocks += _kept(after[start:end], is_first=number == 0, is_last=number == len(steps) - 1)
        else:
            blocks.append(Block(_words("\n".join(before[low:high]), "\n".join(after[start:end]))))
    return blocks


def _kept(lines: Sequence[str], *, is_first: bool, is_last: bool) -> list[Block]:
    head = 0 if is_first else CONTEXT
    tail = 0 if is_last else CONTEXT
    if len(lines) <= head + tail + 1:  # a fold takes a line itself
        return [Block([Part("same", "\n".join(lines))])]
    shown = [lines[:head], lines[len(lines) - tail :]]
    first, last = ([Block([Part("same", "\n".join(part))])] if part else [] for part in shown)
    return [*first, Block([], is_fold=True), *last]


def _words(old: str, new: str) -> list[Part]:
    before, after = WORDS.findall(old), WORDS.findall(new)
    parts: list[Part] = []
    for kind, low, high, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(Part("same", "".join(after[start:end])))
            continue
        if removed := "".join(before[low:high]):
            parts.append(Part("removed", removed))
        if added := "".join(after[start:end]):
            parts.append(Part("added", added))
    return parts
