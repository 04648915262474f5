"""Krippendorff's alpha and percent agreement, with intervals bootstrapped over prompts.

The values come from the library `krippendorff`; the replicates from the same formula over coincidence matrices,
computed once a prompt.

Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability; Krippendorff (2019), Content Analysis, 4th ed.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import krippendorff
import numpy as np

from annotation.agreement.drawing import REPLICATES, Estimate, by_prompt, draw, estimate
from annotation.agreement.reasons import Reason
from annotation.agreement.tables import Bools, Floats, Ints, Table

Level = Literal["nominal", "ordinal"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Alpha: 1 is perfect, 0 as by chance, below 0 worse than that. num_…: what two or more people answered, alone."""

    nominal: Estimate
    """Alpha of which is better (or of the value), whatever the degree."""
    ordinal: Estimate
    """Alpha of the degree: near misses count less."""
    percent: Estimate
    """0 … 1: how often another judgment of the same question says the same."""
    num_units: int
    num_judgments: int
    num_people: int
    num_prompts: int


def agreement(data: Table, *, replicates: int = REPLICATES, seed: int = 0) -> Agreement:
    """How far people agree on the units they share. The same data and seed give the same intervals."""
    shared = data.shared()
    if len(shared):
        nominal, ordinal, percent = _figures(shared, replicates, seed)
    else:
        nominal = ordinal = percent = Estimate(None, reason=_reason(data))
    return Agreement(
        nominal=nominal,
        ordinal=ordinal,
        percent=percent,
        num_units=len(np.unique(shared.units)),
        num_judgments=len(shared),
        num_people=len(np.unique(shared.people)),
        num_prompts=len(np.unique(shared.prompts)),
    )


def _reason(data: Table) -> Reason:
    """Why a table without shared units says nothing."""
    if len(data) == 0:
        return Reason.NOTHING
    return Reason.ONE_PERSON if len(np.unique(data.people)) == 1 else Reason.NO_OVERLAP


def _figures(shared: Table, replicates: int, seed: int) -> tuple[Estimate, Estimate, Estimate]:
    classes, values = value_counts(shared.units, shared.classes), value_counts(shared.units, shared.values)
    prompts = shared.prompts[np.unique(shared.units, return_index=True)[1]]
    sums = [by_prompt(coincidences(counts), prompts) for counts in (classes, values)]
    num_prompts, of_classes = sums[0].shape[:2]
    of_values = sums[1].shape[1]
    flat = np.concatenate([each.reshape(num_prompts, -1) for each in sums], axis=1)
    drawn = draw(flat, replicates, seed)
    nominal, percent = alpha_and_percent(drawn[:, : of_classes**2].reshape(-1, of_classes, of_classes))
    ordinal, _same = alpha_and_percent(drawn[:, of_classes**2 :].reshape(-1, of_values, of_values), level="ordinal")
    whole = sums[0].sum(axis=0)
    return (
        estimate(reference_alpha(classes), nominal, num_prompts),
        estimate(reference_alpha(values, level="ordinal"), ordinal, num_prompts),
        estimate(float(np.trace(whole) / whole.sum()), percent, num_prompts),
    )


def value_counts(units: Ints, values: Floats) -> Ints:
    """(U, V) how many people gave each unit each value; units and values in ascending order."""
    unit_places = np.unique(units, return_inverse=True)[1]
    found, value_places = np.unique(values, return_inverse=True)
    num_units = int(unit_places.max()) + 1
    flat = np.bincount(unit_places * len(found) + value_places, minlength=num_units * len(found))
    return flat.reshape(num_units, len(found))


def reference_alpha(counts: Ints, *, level: Level = "nominal") -> float | None:
    """Alpha of (U, V) value counts, the values in ascending order, by the library; None when all values are one."""
    if np.count_nonzero(counts[counts.sum(axis=1) >= 2].sum(axis=0)) < 2:
        return None
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement=level))


def coincidences(counts: Ints) -> Floats:
    """(U, V, V): each unit's ordered pairs of values by different people, weighted 1/(m - 1); they sum to its m."""
    num = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    return np.asarray(pairs / np.maximum(num - 1, 1)[:, None, None], np.float64)


def alpha_and_percent(matrices: Floats, *, level: Level = "nominal") -> tuple[Floats, Floats]:
    """(R,) alphas and (R,) shares of equal values of (R, V, V) coincidence matrices; NaN where not defined.

    alpha = 1 - (n - 1)·Σ o_ck δ²_ck / Σ n_c n_k δ²_ck. δ² is 1 between different values (nominal), or the squared
    distance between the values' mid-ranks (ordinal), which depends on the marginals and so on the replicate.
    """
    marginals = matrices.sum(axis=2)
    n = marginals.sum(axis=1)
    distances = np.broadcast_to(1 - np.eye(matrices.shape[1]), matrices.shape)
    if level == "ordinal":
        midranks = np.cumsum(marginals, axis=1) - marginals / 2
        distances = (midranks[:, :, None] - midranks[:, None, :]) ** 2
    observed = (matrices * distances).sum(axis=(1, 2))
    expected = (marginals[:, :, None] * marginals[:, None, :] * distances).sum(axis=(1, 2))
    is_defined: Bools = expected > 1e-9
    alphas = np.full(len(matrices), np.nan)
    alphas[is_defined] = 1 - (n[is_defined] - 1) * observed[is_defined] / expected[is_defined]
    same = np.trace(matrices, axis1=1, axis2=2)
    return alphas, np.divide(same, n, out=np.full(len(matrices), np.nan), where=n > 0)
