"""Which pairs of answers a round asks people about: some by chance, the others because the reward model is unsure.

`choose` is a pure function; `pairs_between` reads what two versions, or one alone, have written.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from training.models import Generation, ModelVersion


class Written(NamedTuple):
    """One answer of a version, as far as a round looks at it."""

    response_id: int
    content_hash: str
    reward: float | None
    std: float
    """Between the heads of the reward model, in the unit of `reward`; 0 of a single head."""
    scored_by: int | None


class Pair(NamedTuple):
    prompt_id: int
    a: Written
    b: Written

    @property
    def margin(self) -> float | None:
        """How sure the reward model is of its choice, 0 at the least; None unless one model scored both answers.

        |Δ| / √(1 + πs²/8) with s² the variance between the heads, of both answers: the size of the logit of the
        expected preference when Δ itself is uncertain (MacKay 1992, “The evidence framework applied to classification
        networks”). So a pair is doubtful when its scores are near each other, and also when the heads disagree.
        """
        if self.a.reward is None or self.b.reward is None or self.a.scored_by != self.b.scored_by:
            return None
        variance = self.a.std**2 + self.b.std**2
        return abs(self.b.reward - self.a.reward) / math.sqrt(1 + math.pi * variance / 8)


@dataclass(frozen=True)
class Found:
    """The pairs there are to ask about: different answers to one prompt; and how many pairs are of equal answers."""

    pairs: list[Pair]
    num_same: int

    @property
    def scorer_id(self) -> int | None:
        """The reward model that scored most of the pairs."""
        scorers = [pair.a.scored_by for pair in self.pairs if pair.margin is not None]
        return max(set(scorers), key=lambda pk: (scorers.count(pk), pk or 0)) if scorers else None


@dataclass(frozen=True)
class Chosen:
    by_chance: list[Pair]
    by_doubt: list[Pair]
    """Most doubtful first."""


def choose(pairs: Sequence[Pair], *, num: int, random_share: float, seed: int) -> Chosen:
    """At most `num` of the pairs: first a share of them by chance from all, then the most doubtful of the others.

    Chance comes first, so that its pairs are a plain random sample of all and a mean over them is unbiased. Where no
    pair has a margin, all are drawn by chance. The same pairs, numbers and seed give the same choice.
    """
    num = min(num, len(pairs))
    drawn = random.Random(f"{seed}/round").sample(pairs, len(pairs))
    num_random = num if all(pair.margin is None for pair in pairs) else min(num, math.ceil(random_share * num))
    rest = sorted(drawn[num_random:], key=lambda pair: math.inf if pair.margin is None else pair.margin)
    return Chosen(drawn[:num_random], rest[: num - num_random])


def pairs_between(version: ModelVersion, opponent: ModelVersion) -> Found:
    """One pair a prompt that both have answered: their first answers in their newest runs.

    Of a version and itself: every two of the answers that its newest run gave to a prompt.
    """
    ours = newest_answers(version)
    theirs = ours if version == opponent else newest_answers(opponent)
    found = list(_own_pairs(ours) if version == opponent else _pairs(ours, theirs))
    different = [pair for pair in found if pair.a.content_hash != pair.b.content_hash]
    return Found(different, len(found) - len(different))


def newest_answers(version: ModelVersion) -> dict[int, list[Written]]:
    """Prompt to the answers that the version's newest run for it gave, in the order of the prompts."""
    rows = Generation.objects.filter(version=version).order_by("response__prompt_id", "-run_id", "id")
    found: dict[int, tuple[int, list[Written]]] = {}
    for prompt, run, response, text, reward, std, scorer in rows.values_list(
        *("response__prompt_id", "run_id", "response_id", "response__content_hash"),
        *("reward", "reward_std", "run__reward_model_id"),
    ):
        newest, answers = found.setdefault(prompt, (run, []))
        if run == newest:
            answers.append(Written(response, text, reward, std or 0.0, scorer))
    return {prompt: answers for prompt, (_run, answers) in found.items()}


def _pairs(ours: dict[int, list[Written]], theirs: dict[int, list[Written]]) -> Iterator[Pair]:
    for prompt, answers in ours.items():
        if prompt in theirs:
            yield Pair(prompt, answers[0], theirs[prompt][0])


def _own_pairs(ours: dict[int, list[Written]]) -> Iterator[Pair]:
    for prompt, answers in ours.items():
        for a, b in itertools.combinations(answers, 2):
            yield Pair(prompt, a, b)
