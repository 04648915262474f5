"""How long a run may take, told before it starts: by the pace of one like it that is over."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from django.db.models import Max, Min

from training.actions.runs import trainer_config
from training.models import ModelVersion, Run

MOST_LOOKED_AT = 20
"""Runs of the kind, the newest first, among which one of the same family is looked for."""


class Expected(NamedTuple):
    """About how many seconds its steps may take, and the run whose pace that is."""

    seconds: float
    like: Run


def expected(run: Run) -> Expected | None:
    """What the steps of `run`, which need not be saved, may take. None where no run of its kind and its model's family
    is over, and for kinds that do not learn: those take seconds.

    What a row costs is taken from the earlier run, so other lengths, passes or adapters make it wrong; rows and steps
    do not.
    """
    if (asked := work_of(run)) is None:
        return None
    parents = dict(ModelVersion.objects.filter(project=run.project_id).values_list("pk", "parent"))
    over = Run.objects.filter(project=run.project_id, kind=run.kind, status=Run.Status.SUCCEEDED, attempt=0)
    for like in over.select_related("snapshot", "model", "reward_model").order_by("-pk")[:MOST_LOOKED_AT]:
        if base_of(like.model_id, parents) == base_of(run.model_id, parents) and (cost := seconds_a_row(like)):
            return Expected(asked * cost, like)
    return None


def base_of(version: int | None, parents: dict[int, int | None]) -> int | None:
    """The version that all began with."""
    while version and (parent := parents.get(version)):
        version = parent
    return version


def seconds_a_row(run: Run) -> float | None:
    """Of a step's rows, from its first step to its last; None of a run too short to tell."""
    ends = run.metrics.aggregate(first=Min("step"), last=Max("step"), begun=Min("time"), over=Max("time"))
    if ends["first"] is None or ends["last"] == ends["first"]:
        return None
    try:
        config = trainer_config(run)
    except ValueError:  # a setting of an older version
        return None
    return (ends["over"] - ends["begun"]) / ((ends["last"] - ends["first"]) * rows_a_step(config))


def work_of(run: Run) -> int | None:
    """The rows it will go through in all: rollouts, or rows of its snapshot as often as it reads them."""
    try:
        config: Any = trainer_config(run)
    except ValueError:
        return None
    if run.kind == Run.Kind.POLICY:
        return config.total_steps() * rows_a_step(config)
    name = {Run.Kind.SFT: "demonstrations", Run.Kind.REWARD: "pairs", Run.Kind.DPO: "pairs", Run.Kind.ILQL: "pairs"}
    if run.snapshot is None or run.kind not in name:
        return None
    num_rows = run.snapshot.counts["splits"]["train"][name[Run.Kind(run.kind)]]
    steps = math.ceil(num_rows / config.batch_size) * config.epochs
    return config.batch_size * (min(steps, config.max_steps) if config.max_steps else steps)


def rows_a_step(config: Any) -> int:
    return getattr(config, "rollout_batch_size", None) or config.batch_size
