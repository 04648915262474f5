"""Severity told apart from disagreement: who rates low but orders well agrees about the answers.

Three figures stand side by side: alpha of the ratings as given; alpha after each person's offset is taken out; alpha
of the order, that is of which of two answers to one prompt each person rated higher, which no strictness, no shift
and no stretching of the scale can change.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from annotation.agreement.alpha import Agreement, agreement
from annotation.agreement.drawing import REPLICATES, Estimate, by_prompt, draw, estimate
from annotation.agreement.reasons import Reason
from annotation.agreement.shares import Z
from annotation.agreement.tables import Floats, Ints, Table, meetings, places, table

ROUNDS = 500
"""Of the alternating fit; it ends sooner when nothing moves any more."""
STILL = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Severity:
    raw: Estimate
    """Interval alpha of the ratings as given."""
    shifted: Estimate
    """Interval alpha after each person's offset is taken out."""
    order: Agreement
    """Agreement about which of two answers to one prompt is better."""
    offsets: dict[int, Estimate]
    """Person to how much higher (below 0: lower) they rate than others rate the same answers, in steps of the scale."""


def severity(ratings: Table, *, replicates: int = REPLICATES, seed: int = 0) -> Severity:
    """Of one criterion's ratings: a unit is an answer."""
    shared = ratings.shared()
    order = agreement(orders(shared), replicates=replicates, seed=seed)
    if order.num_units == 0:
        missing = Estimate(None, reason=Reason.NO_ORDERS)
        order = dataclasses.replace(order, nominal=missing, ordinal=missing, percent=missing)
    return Severity(
        raw=interval_alpha(shared, replicates=replicates, seed=seed),
        shifted=interval_alpha(without_offsets(shared), replicates=replicates, seed=seed),
        order=order,
        offsets=offsets(shared),
    )


def interval_alpha(shared: Table, *, replicates: int = REPLICATES, seed: int = 0) -> Estimate:
    """Alpha with squared differences of values, which may be any real numbers.

    Over ordered pairs Σ (x - y)² = 2·(m·Σx² - (Σx)²): so alpha = 1 - D_o/D_e is made of sums, by unit and over all.
    """
    if not len(shared):
        return Estimate(None, reason=Reason.NO_OVERLAP)
    unit, values = places(shared.units), shared.values - shared.values.mean()
    num, total, squares = (np.bincount(unit, weights) for weights in (None, values, values**2))
    observed = 2 * (num * squares - total**2) / (num - 1)
    prompts = shared.prompts[np.unique(shared.units, return_index=True)[1]]
    sums = by_prompt(np.stack([observed, num, total, squares], axis=1), prompts)
    value = _of_sums(sums.sum(axis=0)[None])[0]
    drawn = _of_sums(draw(sums, replicates, seed))
    return estimate(None if np.isnan(value) else float(value), drawn, len(sums))


def _of_sums(sums: Floats) -> Floats:
    observed, num, total, squares = sums.T
    expected = 2 * (num * squares - total**2) / (num - 1)
    is_defined = expected > STILL
    return np.asarray(1 - np.divide(observed, expected, out=np.full(len(sums), np.nan), where=is_defined))


def without_offsets(shared: Table) -> Table:
    """Each value less its person's offset, of the least-squares fit value = answer + person.

    Offsets are compared through shared answers only, so people who met different answers are not confused with strict
    ones. Taking out what was estimated from the same values flatters alpha a little where a person rated few of them.
    """
    if not len(shared):
        return shared
    unit, person = places(shared.units), places(shared.people)
    num_unit, num_person = np.bincount(unit), np.bincount(person)
    strictness = np.zeros(len(num_person))
    for _round in range(ROUNDS):
        level = np.bincount(unit, shared.values - strictness[person]) / num_unit
        newer = np.bincount(person, shared.values - level[unit]) / num_person
        newer -= newer.mean()
        moved = float(np.abs(newer - strictness).max())
        strictness = newer
        if moved < STILL:
            break
    return dataclasses.replace(shared, values=shared.values - strictness[person])


def offsets(shared: Table) -> dict[int, Estimate]:
    """Person to the mean of their value minus the others' mean on the same answer, with its 95 % interval.

    The interval is normal, its error clustered by prompt: residuals of one prompt's answers are added before they are
    squared (Liang and Zeger 1986).
    """
    if not len(shared):
        return {}
    unit = places(shared.units)
    num, total = np.bincount(unit)[unit], np.bincount(unit, shared.values)[unit]
    apart = shared.values - (total - shared.values) / (num - 1)
    return {
        int(person): _mean_by_prompt(apart[rows], shared.prompts[rows])
        for person in np.unique(shared.people)
        for rows in [shared.people == person]
    }


def _mean_by_prompt(values: Floats, prompts: Ints) -> Estimate:
    mean = float(values.mean())
    residuals = by_prompt(values - mean, prompts)
    num_prompts = len(residuals)
    if num_prompts == 1:
        return Estimate(mean, reason=Reason.ONE_PROMPT)
    error = float(np.sqrt((residuals**2).sum() * num_prompts / (num_prompts - 1)) / len(values))
    return Estimate(mean, mean - Z * error, mean + Z * error)


def orders(ratings: Table) -> Table:
    """Which of every two answers to one prompt each person rated higher: units are pairs of answers, values signs."""
    by_person = np.lexsort((ratings.units, ratings.people, ratings.prompts))
    data = ratings.where(by_person)
    group = places(np.stack([data.prompts, data.people], axis=1))
    first, second = meetings(group)
    pairs = np.stack([data.units[first], data.units[second]], axis=1)
    return table(
        units=places(pairs),
        people=data.people[first],
        prompts=data.prompts[first],
        values=np.sign(data.values[first] - data.values[second]),
        days=np.maximum(data.days[first], data.days[second]),
    )
