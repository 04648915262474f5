"""How two versions' answers differ in style, whatever the reward says: length, shape, tone, repetition.

Each measure is a number of one answer; the page shows its mean under both versions and the mean change with its
interval. A tuned model that has found a trick (always apologise, always list, always longer) shows here first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from training.diff_report import mean_with_interval
from training.diffs import CJK, PairDiff
from training.reward_report import Share

SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|$|[\"'”’)])|[。！？]")
LISTED = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
MARKUP = re.compile(r"^#{1,6}\s|\*\*|__|`", re.MULTILINE)
WORD = re.compile(rf"(?=\w)[{CJK}]|[^\W_]+(?:['’][^\W_]+)?")


def words(text: str) -> list[str]:
    """Words in lower case, punctuation left out; of Chinese, Japanese and Korean text its characters."""
    return WORD.findall(text.casefold())


def repetition(text: str) -> float:
    """Share of its three-word sequences that stand in it more than once."""
    said = words(text)
    threes = list(zip(said, said[1:], said[2:], strict=False))
    return 1 - len(set(threes)) / len(threes) if threes else 0.0


def distinct(text: str) -> float:
    said = words(text)
    return len(set(said)) / len(said) if said else 0.0


MEASURES: list[tuple[Any, Callable[[str], float]]] = [
    (_("Words"), lambda text: len(words(text))),
    (_("Sentences"), lambda text: len(SENTENCE_END.findall(text))),
    (_("Distinct words, share"), distinct),
    (_("Repeated three-word sequences, share"), repetition),
    (_("Exclamation marks"), lambda text: text.count("!") + text.count("！")),
    (_("Question marks"), lambda text: text.count("?") + text.count("？")),
    (_("Lines of a list"), lambda text: len(LISTED.findall(text))),
    (_("Marks of Markdown"), lambda text: len(MARKUP.findall(text))),
    (_("Empty answers, share"), lambda text: float(not text.strip())),
]


@dataclass(frozen=True)
class Shift:
    """One measure: its mean under both, and the mean change with its 95 % interval."""

    label: Any
    before: float
    after: float
    change: Share

    @property
    def is_clear(self) -> bool:
        """The interval leaves zero out."""
        low, high = self.change.low, self.change.high
        return low is not None and high is not None and not low <= 0 <= high


def shifts(pairs: list[PairDiff]) -> list[Shift]:
    """Every measure over these pairs; none of fewer than two, which have no spread."""
    found = []
    for label, measure in MEASURES:
        two = [(measure(pair.a.text), measure(pair.b.text)) for pair in pairs]
        change = mean_with_interval([after - before for before, after in two])
        if change:
            before, after = (sum(column) / len(two) for column in zip(*two, strict=True))
            found.append(Shift(label, before, after, change))
    return found
