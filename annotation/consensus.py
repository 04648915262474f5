"""What several people say of a pair of answers together: by majority, or weighted by how reliable each of them is.

The reliability comes from crowd-kit's one-coin Dawid-Skene model (Dawid and Skene 1979; Zhang et al. 2016): everybody
is right with a probability of their own, whichever answer is the better one, estimated without any known answer. The
full model has six numbers a person, which needs more judgments than most people give; and the sides of a pair are
arbitrary, so whom they favour says nothing. A majority can be wrong, and so can this: gold tasks tell.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from django.utils.translation import gettext_lazy as _

from annotation.agreement import Table
from annotation.progress import NOBODY, Telling

Consensus = Literal["votes", "majority", "weighted"]
CONSENSUSES: tuple[Consensus, ...] = get_args(Consensus)
SIDES = (-1, 0, 1)
"""The second answer is better, neither, the first one."""
IMAGINED = 4
"""Judgments of the mean accuracy that are added to everybody's own: few judgments make nobody perfect or hopeless."""
CLOSE = 1e-9
ROUNDS = 30
"""About as many take the reliabilities of 100,000 votes; never more than MOST_ROUNDS."""
MOST_ROUNDS = 100


class Vote(NamedTuple):
    """What one annotator says of a pair."""

    strength: float
    """−3 … 3, positive when the first answer is better, 0 for a tie or both bad."""
    weight: float = 1.0
    person: int | None = None
    """None: nobody in particular, such as a mean of several."""


class Opinion(NamedTuple):
    """What they say together."""

    target: float
    """P(the first is better), 0 … 1; a tie counts half."""
    strength: float
    """Signed, of those who said what the opinion says; 0 where none prevails."""


def majority_side(said: Collection[Vote]) -> int | None:
    """What most say, of the three SIDES; None where two or three have the most."""
    weights = {side: math.fsum(each.weight for each in said if _side(each) == side) for side in SIDES}
    most = max(weights.values())
    prevailing = [side for side in SIDES if weights[side] > most - CLOSE]
    return prevailing[0] if len(prevailing) == 1 else None


def majority(said: Collection[Vote]) -> Opinion:
    """The opinion of most; where none prevails, the target is 0.5."""
    side = majority_side(said)
    return Opinion(0.5, 0.0) if side is None else _of_side(side, said)


def decided(strength: float) -> Opinion:
    """A reviewer's verdict stands for all."""
    return Opinion((1 + _sign(strength)) / 2, strength)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reliability:
    """Person to how often they are right, 0 … 1, and how often a tie is what is right."""

    accuracy: Mapping[int, float]
    mean: float
    """Of who is not in `accuracy`: nobody else judged what they judged."""
    tie: float

    def of(self, person: int | None) -> float:
        return self.accuracy.get(person, self.mean) if person is not None else self.mean

    def odds(self, said: Collection[Vote]) -> dict[int, float]:
        """Of the three SIDES after Bayes, the likeliest 1: a person is right with their accuracy, else says either
        other side.
        """
        prior = {-1: (1 - self.tie) / 2, 0: self.tie, 1: (1 - self.tie) / 2}
        logs = {side: math.log(prior[side]) for side in SIDES}
        for each in said:
            right = self.of(each.person)
            for side in SIDES:
                logs[side] += each.weight * math.log(right if _side(each) == side else (1 - right) / 2)
        highest = max(logs.values())
        return {side: math.exp(log - highest) for side, log in logs.items()}

    def side(self, said: Collection[Vote]) -> int | None:
        """The likeliest of the SIDES; None where two or three are equally likely."""
        # By hairs: the same votes in another order add up to another last digit.
        likeliest = [side for side, odds in self.odds(said).items() if odds > 1 - CLOSE]
        return likeliest[0] if len(likeliest) == 1 else None

    def opinion(self, said: Collection[Vote]) -> Opinion:
        """P(first) and half of P(tie)."""
        odds, side = self.odds(said), self.side(said)
        target = (odds[1] + odds[0] / 2) / math.fsum(odds.values())
        return Opinion(target, 0.0 if side is None else _of_side(side, said).strength)


def reliability(pairs: Table, *, told: Telling = NOBODY, steps: float = 0) -> Reliability:
    """Of the people in a table of signs. Judgments that nobody shares say nothing about who is right: left out.

    Raises ValueError with a sentence (in the language of whoever reads it) when nobody shares any, or all say one and
    the same. It takes so many steps.
    """
    shared = pairs.shared()
    if not len(shared):
        raise ValueError(
            _("No two people judged the same pair, so nobody's reliability can be told: choose votes or majority.")
        )
    if len(np.unique(shared.classes)) == 1:
        raise ValueError(_("All judgments are the same, so nobody's reliability can be told: choose votes."))
    import pandas  # noqa: PLC0415  with crowdkit it costs 2 s, which this alone needs
    from crowdkit.aggregation.classification.dawid_skene import OneCoinDawidSkene  # noqa: PLC0415

    frame = pandas.DataFrame({"task": shared.units, "worker": shared.people, "label": shared.classes.astype(int)})
    model = OneCoinDawidSkene(n_iter=MOST_ROUNDS)
    bound = model._evidence_lower_bound

    def counted(*values: Any) -> float:  # what each round of the library's ends with
        told.advance(steps / ROUNDS)
        return float(bound(*values))

    model._evidence_lower_bound = counted
    model.fit(frame)
    nums = frame["worker"].value_counts()
    mean = float((model.skills_ * nums).sum() / nums.sum())
    accuracy = (model.skills_ * nums + IMAGINED * mean) / (nums + IMAGINED)
    assert model.priors_ is not None, "the model was fitted"
    return Reliability(
        accuracy={int(person): _within(float(each)) for person, each in accuracy.items()},
        mean=_within(mean),
        tie=_within(float(model.priors_.get(0, 0.0))),
    )


def _within(probability: float) -> float:
    """Nothing is impossible and nothing certain: logarithms stay finite."""
    return min(max(probability, 0.001), 0.999)


def _of_side(side: int, said: Collection[Vote]) -> Opinion:
    agreeing = [each for each in said if _side(each) == side]
    weight = math.fsum(each.weight for each in agreeing)
    strength = math.fsum(each.weight * each.strength for each in agreeing) / weight if weight else 0.0
    return Opinion((1 + side) / 2, strength)


def _side(each: Vote) -> int:
    return _sign(each.strength)


def _sign(strength: float) -> int:
    return int(strength > 0) - int(strength < 0)
