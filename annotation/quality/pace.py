"""Labels an hour of active time, with an interval that knows its prompts."""

from __future__ import annotations

import math
from typing import NamedTuple

from django.db import connection

from annotation.agreement.drawing import Estimate
from annotation.agreement.shares import Z
from annotation.models import Project

FEW_PROMPTS = 5
"""Fewer say too little about how much the time a label takes varies."""

TIMES = """
SELECT annotator_id, count(*), sum(num)::bigint, sum(seconds), sum(num * num)::bigint, sum(num * seconds),
       sum(seconds * seconds)
FROM (
    SELECT judgment.annotator_id, task.prompt_id, count(*) AS num, sum(judgment.active_seconds) AS seconds
    FROM annotation_judgment judgment JOIN annotation_task task ON task.id = judgment.task_id
    WHERE task.project_id = %(project)s AND judgment.is_current AND judgment.active_seconds IS NOT NULL
    GROUP BY 1, 2
) by_prompt
GROUP BY 1
"""


class Times(NamedTuple):
    """Over a person's prompts i with n_i labels that took t_i seconds: all that the pace and its variance need."""

    num_prompts: int
    num: int
    seconds: float
    num_squared: int
    num_by_seconds: float
    seconds_squared: float


def paces_of(project: Project) -> dict[int, Estimate]:
    """By user id, of everybody with a label whose time is known. One query."""
    with connection.cursor() as cursor:
        cursor.execute(TIMES, {"project": project.pk})
        return {annotator: pace(Times(*times)) for annotator, *times in cursor.fetchall()}


def pace(times: Times) -> Estimate:
    """3600 · Σn/Σt with a 95 % interval, on the scale of its logarithm, so that it stays above 0.

    The variance of a ratio over clusters (Kish 1965): Σ (n_i/Σn − t_i/Σt)² · k/(k − 1), over k prompts; a count of
    labels alone (Poisson) would not see that some labels take ten times as long as others. The quantile is Student's of
    k − 1 degrees of freedom. Undefined where no time has passed; no interval for fewer than FEW_PROMPTS prompts.
    """
    if times.seconds <= 0:
        return Estimate(None)
    value, k = 3600 * times.num / times.seconds, times.num_prompts
    if k < FEW_PROMPTS:
        return Estimate(value)
    spread = times.num_squared / times.num**2 + times.seconds_squared / times.seconds**2
    spread -= 2 * times.num_by_seconds / (times.num * times.seconds)
    factor = math.exp(students(k - 1) * math.sqrt(max(spread, 0.0) * k / (k - 1)))
    return Estimate(value, value / factor, value * factor)


def students(freedom: int) -> float:
    """The 97.5th percentile of Student's t, to 0.01 from 4 degrees on (Abramowitz and Stegun 1964, 26.7.5)."""
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + first / freedom + second / freedom**2 + third / freedom**3
