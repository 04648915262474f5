"""Agreement taken apart: by pair of people, over time."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from annotation.agreement.alpha import Agreement, agreement
from annotation.agreement.drawing import REPLICATES
from annotation.agreement.tables import Days, Table, meetings, places

Passing = Callable[[Sequence[Any]], Iterable[Any]]
"""Hands parts on as they are, and may count them."""
MOST_WEEKS = 26
"""Longer than this, months are shown instead of weeks."""


class PairOfPeople(NamedTuple):
    first: int
    second: int
    agreement: Agreement


class Period(NamedTuple):
    start: datetime.date
    is_month: bool
    agreement: Agreement


def by_pair(data: Table, *, replicates: int = REPLICATES, seed: int = 0, passing: Passing = iter) -> list[PairOfPeople]:
    """Every two people who judged a unit in common, by their ids."""
    firsts, seconds = meetings(data.units)
    if not len(firsts):
        return []
    people = np.stack([data.people[firsts], data.people[seconds]], axis=1)
    pair = places(people)
    order = np.argsort(pair, kind="stable")
    found = []
    for group in passing(np.split(order, np.flatnonzero(np.diff(pair[order])) + 1)):
        first, second = people[group[0]]
        rows = np.sort(np.concatenate([firsts[group], seconds[group]]))
        figures = agreement(data.where(rows), replicates=replicates, seed=seed)
        found.append(PairOfPeople(int(first), int(second), figures))
    return found


def by_period(data: Table, *, replicates: int = REPLICATES, seed: int = 0, passing: Passing = iter) -> list[Period]:
    """By week, or by month when that would be more than half a year of weeks; oldest first, empty ones left out.

    A unit belongs where its newest judgment came, so that each is counted once and with everybody who judged it.
    """
    shared = data.shared()
    if not len(shared):
        return []
    unit = places(shared.units)
    newest = np.full(int(unit.max()) + 1, np.datetime64("0001-01-01"), dtype="datetime64[D]")
    np.maximum.at(newest, unit, shared.days)
    days = newest[unit]
    is_month = bool((days.max() - days.min()) / np.timedelta64(7, "D") > MOST_WEEKS)
    starts = _months(days) if is_month else _weeks(days)
    found = []
    for start in passing(list(np.unique(starts))):
        figures = agreement(shared.where(starts == start), replicates=replicates, seed=seed)
        found.append(Period(start.astype(datetime.date), is_month, figures))
    return found


def _weeks(days: Days) -> Days:
    """The Monday of each day's week. Day 0 of numpy's calendar, 1 January 1970, was a Thursday."""
    since_monday = (days.astype(np.int64) + 3) % 7
    return np.asarray(days - since_monday.astype("timedelta64[D]"))


def _months(days: Days) -> Days:
    return days.astype("datetime64[M]").astype("datetime64[D]")
