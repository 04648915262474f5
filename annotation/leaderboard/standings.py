"""The leaderboard's table: strengths with intervals, win rates, and what must be known to read them. No database.

The intervals are bootstrapped over prompts: labels of one prompt hang together, and drawing them one by one would make
the intervals too narrow. The draws are seeded, so the same labels give the same page.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from annotation.agreement.drawing import Estimate, estimate, times_drawn
from annotation.leaderboard.bradley_terry import Cells, Fit, Floats, Integers, connected, fit, unbroken
from annotation.leaderboard.outcomes import Outcomes
from annotation.progress import NOBODY, Telling

REPLICATES = 500
MAX_SOURCES = 60
"""More are not ranked: those with the fewest comparisons are left out, and the page says so."""
AVERAGE = 1000
"""The rating of the average source; 400 points are odds of 10 to 1, as in chess."""
POINTS = 400 / math.log(10)
SEED = 0
DRAWING, RAW, CONTROLLED = 20, 20, 20
"""About how the time is spent, in hundredths of what the table takes with reading its outcomes, which is the rest."""
READING = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """One source."""

    source: str
    rating: Estimate
    controlled: Estimate
    """The rating at equal lengths."""
    best: int
    worst: int
    """Its place, from the best to the worst that the intervals leave open."""
    wins_against_average: float
    """The model's share of wins against the average source."""
    num_votes: int
    num_prompts: int


@dataclasses.dataclass(frozen=True)
class Matchup:
    """One source against another: its share of wins, ties as halves; None where they never met."""

    share: float | None
    num_votes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaderboard:
    standings: list[Standing]
    """The strongest first."""
    matchups: list[list[Matchup | None]]
    """Row against column, in the order of the standings; None on the diagonal."""
    groups: list[list[str]]
    """Sources that were compared with each other, at least through others; more than one: no common scale."""
    one_sided: list[list[str]]
    """Groups of which one has always won (or lost) against the rest of its kind: the prior alone bounds the lead."""
    length_effect: Estimate | None
    """P(longer is chosen) where two average answers differ by one standard deviation of the length differences."""
    num_votes: int
    num_prompts: int
    left_out: list[str]
    has_converged: bool


def leaderboard(
    outcomes: Outcomes, *, replicates: int = REPLICATES, seed: int = SEED, told: Telling = NOBODY
) -> Leaderboard | None:
    """The table; None while no two sources were compared. It takes DRAWING + RAW + CONTROLLED steps."""
    outcomes, left_out = _most_compared(outcomes)
    if len(outcomes.sources) < 2:
        return None
    size = len(outcomes.sources)
    draws = _draws(outcomes, replicates=replicates, seed=seed, told=told)
    raw = _fitted(outcomes, np.zeros_like(outcomes.length), told.within(RAW, draws), with_length=False)
    spread = math.sqrt(float(np.average(outcomes.length**2, weights=outcomes.num)))
    controlled = (
        raw
        if spread == 0
        else _fitted(outcomes, outcomes.length / spread, told.within(CONTROLLED, draws), with_length=True)
    )
    wins, num = _by_pair(outcomes)
    return Leaderboard(
        standings=_standings(outcomes, raw, controlled),
        matchups=_matchups(wins, num, np.argsort(-raw.strength[0], kind="stable")),
        groups=_named(outcomes, connected(size, outcomes.first, outcomes.second)),
        one_sided=_one_sided(outcomes, wins),
        length_effect=None if spread == 0 else _estimate(outcomes, 1 / (1 + np.exp(-controlled.length_effect))),
        num_votes=int(outcomes.votes.sum()),
        num_prompts=_num_prompts(outcomes),
        left_out=left_out,
        has_converged=raw.has_converged and controlled.has_converged,
    )


def _most_compared(outcomes: Outcomes) -> tuple[Outcomes, list[str]]:
    """Those of the sources that can be ranked, and the names of the others."""
    size = len(outcomes.sources)
    if size <= MAX_SOURCES:
        return outcomes, []
    num = np.bincount(outcomes.first, outcomes.num, size) + np.bincount(outcomes.second, outcomes.num, size)
    kept = np.sort(np.argsort(-num, kind="stable")[:MAX_SOURCES])
    rows = np.isin(outcomes.first, kept) & np.isin(outcomes.second, kept)
    chosen = {
        field: getattr(outcomes, field)[rows]
        for field in ("prompt", "first", "second", "length", "wins", "num", "votes")
    }
    chosen |= {field: np.searchsorted(kept, chosen[field]) for field in ("first", "second")}
    chosen["prompt"] = np.unique(chosen["prompt"], return_inverse=True)[1]
    names = [outcomes.sources[place] for place in kept]
    return Outcomes(sources=names, **chosen), sorted(set(outcomes.sources) - set(names))


def _draws(outcomes: Outcomes, *, replicates: int, seed: int, told: Telling) -> list[Floats]:
    """How often each prompt counts: once in the first replicate, which is the estimate; then as drawn."""
    num_prompts = _num_prompts(outcomes)
    generator = np.random.default_rng(seed)
    once = [np.ones(num_prompts)]
    if num_prompts < 2:
        return once
    return once + [times_drawn(num_prompts, generator) for _each in told.within(DRAWING, range(replicates))]


def _fitted(outcomes: Outcomes, length: Floats, draws: Iterable[Floats], *, with_length: bool) -> Fit:
    """Each draw is summed up as it comes, which is what takes the time."""
    lengths, step = np.unique(length, return_inverse=True)
    size = len(outcomes.sources)
    key = (outcomes.first * size + outcomes.second) * len(lengths) + step
    found, cell = np.unique(key, return_inverse=True)
    wins, num = [], []
    for times in draws:
        weight = times[outcomes.prompt]
        wins.append(np.bincount(cell, weight * outcomes.wins, len(found)))
        num.append(np.bincount(cell, weight * outcomes.num, len(found)))
    pair, step = np.divmod(found, len(lengths))
    cells = Cells(pair // size, pair % size, lengths[step], size)
    return fit(cells, np.stack(wins), np.stack(num), with_length=with_length)


def _standings(outcomes: Outcomes, raw: Fit, controlled: Fit) -> list[Standing]:
    size = len(outcomes.sources)
    ratings = [_estimate(outcomes, AVERAGE + POINTS * raw.strength[:, source]) for source in range(size)]
    votes = np.bincount(outcomes.first, outcomes.votes, size) + np.bincount(outcomes.second, outcomes.votes, size)
    ends = np.concatenate([outcomes.first, outcomes.second])
    pairs = np.unique(np.column_stack([ends, np.tile(outcomes.prompt, 2)]), axis=0)
    prompts = np.bincount(pairs[:, 0], minlength=size)
    standings = []
    for source in np.argsort(-raw.strength[0], kind="stable").tolist():
        own = ratings[source]
        standings.append(
            Standing(
                source=outcomes.sources[source],
                rating=own,
                controlled=_estimate(outcomes, AVERAGE + POINTS * controlled.strength[:, source]),
                best=1 + sum(_low(other) > _high(own) for other in ratings),
                worst=size - sum(_high(other) < _low(own) for other in ratings),
                wins_against_average=1 / (1 + math.exp(-raw.strength[0, source])),
                num_votes=int(votes[source]),
                num_prompts=int(prompts[source]),
            )
        )
    return standings


def _estimate(outcomes: Outcomes, replicates: Floats) -> Estimate:
    """The first is the estimate, the others its bootstrap distribution."""
    return estimate(float(replicates[0]), replicates[1:], _num_prompts(outcomes))


def _num_prompts(outcomes: Outcomes) -> int:
    return int(outcomes.prompt.max()) + 1


def _low(figure: Estimate) -> float:
    return -math.inf if figure.low is None else figure.low


def _high(figure: Estimate) -> float:
    return math.inf if figure.high is None else figure.high


def _by_pair(outcomes: Outcomes) -> tuple[Floats, Floats]:
    """(sources, sources): wins of the row over the column, ties as halves, and of how many, by weight."""
    size = len(outcomes.sources)
    wins, num = np.zeros((size, size)), np.zeros((size, size))
    np.add.at(wins, (outcomes.first, outcomes.second), outcomes.wins)
    np.add.at(wins, (outcomes.second, outcomes.first), outcomes.num - outcomes.wins)
    np.add.at(num, (outcomes.first, outcomes.second), outcomes.num)
    return wins, num + num.T


def _matchups(wins: Floats, num: Floats, order: Integers) -> list[list[Matchup | None]]:
    return [
        [
            None if row == column else Matchup(wins[row, column] / num[row, column], round(num[row, column]))
            if num[row, column]
            else Matchup(None, 0)
            for column in order
        ]
        for row in order
    ]  # fmt: skip


def _one_sided(outcomes: Outcomes, wins: Floats) -> list[list[str]]:
    size = len(outcomes.sources)
    whole = connected(size, outcomes.first, outcomes.second)
    winner, loser = np.nonzero(wins > 0)
    parts = unbroken(size, winner, loser)
    return _named(outcomes, [part for part in parts if part not in whole])


def _named(outcomes: Outcomes, groups: list[list[int]]) -> list[list[str]]:
    return [[outcomes.sources[source] for source in group] for group in groups]
