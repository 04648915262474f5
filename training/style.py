"""How two versions' answers differ in style, whatever the reward says: length, shape, tone, repetition.

Each measure is a number of one answer; the page shows its mean under both versions and the mean change with its
interval. A tuned model that has found a trick (always apologise, always list, always longer) shows here first.
"""

import re
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from django.utils.translation import gettext_lazy as _

from annotation.progress import NOBODY, Telling
from training.diff_report import mean_with_interval
from training.diffs import CJK, PairDiff
from training.reward_report import Share

SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$|[\"'”’)])|[。！？]+")
LISTED = re.compile(r"\s*(?:[-*•]|\d+[.)])\s")
MARKUP = ("**", "__", "`")
PLAIN_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)?")
WORD = re.compile(rf"(?=\w)[{CJK}]|[^\W_]+(?:['’][^\W_]+)?")


def words(text: str) -> list[str]:
    """Words in lower case, punctuation left out; of Chinese, Japanese and Korean text its characters."""
    return (PLAIN_WORD if text.isascii() else WORD).findall(text.casefold())


def repetition(said: list[str]) -> float:
    """Share of three-word sequences that stand in it more than once."""
    num = len(said) - 2
    return 1 - len(set(zip(said, said[1:], said[2:], strict=False))) / num if num > 0 else 0.0


LABELS = (
    _("Words"),
    _("Sentences"),
    _("Distinct words, share"),
    _("Repeated three-word sequences, share"),
    _("Exclamation marks"),
    _("Question marks"),
    _("Lines of a list"),
    _("Marks of Markdown"),
    _("Empty answers, share"),
)


def measures(text: str) -> tuple[float, ...]:
    """A number for each of LABELS. Thousands of answers are measured while somebody waits: words are found once."""
    said = words(text)
    return (
        len(said),
        len(SENTENCE_END.findall(text)),
        len(set(said)) / len(said) if said else 0.0,
        repetition(said),
        text.count("!") + text.count("！"),
        text.count("?") + text.count("？"),
        sum(LISTED.match(line) is not None for line in text.split("\n")),
        sum(map(text.count, MARKUP)) + sum(line.startswith("#") for line in text.split("\n")),
        float(not text.strip()),
    )


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


def shifts(pairs: list[PairDiff], *, told: Telling = NOBODY, steps: float = 0) -> list[Shift]:
    """Every measure over these pairs; none of fewer than two, which have no spread. It takes so many steps."""
    if len(pairs) < 2:
        return []
    measured = [(measures(pair.a.text), measures(pair.b.text)) for pair in told.within(steps, pairs)]
    before, after = (list(zip(*of_side, strict=True)) for of_side in zip(*measured, strict=True))
    found = []
    for label, old, new in zip(LABELS, before, after, strict=True):
        change = mean_with_interval([y - x for x, y in zip(old, new, strict=True)])
        assert change, "two pairs have a spread"
        found.append(Shift(label, fmean(old), fmean(new), change))
    return found
