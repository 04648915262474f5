"""What people said, as arrays: a row each, with the unit that was judged, who judged, and the value."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Days = npt.NDArray[np.datetime64]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """N values that people gave, sorted by unit; every person at most once a unit. Make one with table()."""

    units: Ints
    """(N,) what was judged, numbered: an unordered pair of answers, or one answer on one criterion."""
    people: Ints
    """(N,) who judged."""
    prompts: Ints
    """(N,) the prompt of each unit: what the bootstrap draws, since units of one prompt are not independent."""
    values: Floats
    """(N,) on an ordered scale: a signed strength, a rating."""
    classes: Floats
    """(N,) what counts as the same when only names matter: the sign of a strength; a rating itself."""
    days: Days
    """(N,) when, by the day."""

    def __len__(self) -> int:
        return len(self.units)

    def where(self, rows: Bools | Ints) -> Table:
        return Table(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def shared(self) -> Table:
        """The rows of units that two or more people judged: the others say nothing about agreement."""
        return self.where(sizes(self.units) >= 2)

    @property
    def num_people(self) -> int:
        return len(np.unique(self.people))

    def busiest(self, num: int) -> Table:
        """The rows of the `num` people with the most of them."""
        people, counts = np.unique(self.people, return_counts=True)
        most = people[np.argsort(-counts, kind="stable")[:num]]
        return self.where(np.isin(self.people, most))

    @staticmethod
    def empty() -> Table:
        return table(units=[], people=[], values=[])


def table(
    *,
    units: npt.ArrayLike,
    people: npt.ArrayLike,
    values: npt.ArrayLike,
    prompts: npt.ArrayLike | None = None,
    classes: npt.ArrayLike | None = None,
    days: npt.ArrayLike | None = None,
) -> Table:
    """Rows in any order, oldest first where a person judged a unit twice: the newest of them stands.

    units, people, prompts: whole numbers of any size. prompts: each unit one of its own unless told.
    values: no NaN; who said nothing has no row. classes: the values themselves unless told.
    """
    unit, person, value = (np.asarray(units, np.int64), np.asarray(people, np.int64), np.asarray(values, np.float64))
    if np.isnan(value).any():
        raise ValueError("A value is missing: leave the row out instead.")
    rows = Table(
        units=unit,
        people=person,
        prompts=unit if prompts is None else np.asarray(prompts, np.int64),
        values=value,
        classes=value if classes is None else np.asarray(classes, np.float64),
        days=np.full(len(unit), np.datetime64("1970-01-01"))
        if days is None
        else np.asarray(days, dtype="datetime64[D]"),
    )
    order = np.lexsort((np.arange(len(unit)), person, unit))
    unit, person = unit[order], person[order]
    is_newest = np.append((unit[1:] != unit[:-1]) | (person[1:] != person[:-1]), True)[: len(unit)]
    return rows.where(order[is_newest])


def places(keys: npt.NDArray[Any]) -> Ints:
    """(N,) the keys, or rows of keys, numbered from 0 in ascending order."""
    axis = 0 if keys.ndim > 1 else None
    return np.asarray(np.unique(keys, axis=axis, return_inverse=True)[1].reshape(-1), np.int64)


def sizes(keys: Ints) -> Ints:
    """(N,) how many rows share each row's key."""
    found = places(keys)
    return np.asarray(np.bincount(found)[found], np.int64)


def meetings(keys: Ints) -> tuple[Ints, Ints]:
    """The rows of every two entries with one key, the earlier first; keys in ascending order."""
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for lag in range(1, int(sizes(keys).max(initial=1))):
        rows = np.flatnonzero(keys[lag:] == keys[:-lag])
        firsts.append(rows)
        seconds.append(rows + lag)
    return np.concatenate(firsts), np.concatenate(seconds)
