"""Reads what a run writes into the database: from any offset, as often as needed, with the same result.

    while trainer.poll() is None:
        follow(run)

Metrics are kept by (run, step) and samples by (run, step, prompt): a resumed trainer writes steps again, and the last
write wins. Names that one step's lines bring separately (train, then validation) are joined. The status of the run is
not moved here: only the worker that holds it may (training/tasks.py).
"""

import itertools
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from training.actions import register_version, storable
from training.models import Metric, ModelVersion, Run, Sample
from training.points import keep_blocks
from training.rlhf.rundir import RunDir, read_events

Event = dict[str, Any]

PACE_STEPS = 20
FOLLOWED = ("step", "total_steps", "seconds_left", "warnings", "summary", "memory", "error", "events_offset")


def follow(run: Run) -> list[Event]:
    """Apply the events after run.events_offset; returns them. To fill everything again, set the offset to 0 before."""
    folder = RunDir(run.folder)
    events, offset = read_events(folder.events, run.events_offset)
    if not events:
        return []
    for event in events:
        if event["type"] == "artifact":  # before the transaction: hashing gigabytes is no time to hold a lock
            _keep_artifact(run, event)
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=run.pk)  # two followers of one run take turns
        _keep_metrics(run, [event for event in events if event["type"] == "metrics"])
        _keep_samples(run, [event for event in events if event["type"] == "sample"])
        _keep_state(run, events)
        if run.seconds_left is None and run.step < run.total_steps:
            run.seconds_left = estimate_seconds_left(run)
        run.events_offset = offset
        run.save(update_fields=FOLLOWED)
    return events


def _keep_metrics(run: Run, events: Sequence[Event]) -> None:
    steps = {event["step"] for event in events}
    rows = {metric.step: metric for metric in run.metrics.filter(step__in=steps)}
    for event in events:
        row = rows.setdefault(event["step"], Metric(run=run, step=event["step"], values={}))
        row.values = {**row.values, **event["values"]}
        row.spreads = event.get("spreads", row.spreads)
        row.time = event["time"]
    Metric.objects.bulk_create(
        rows.values(), update_conflicts=True, unique_fields=["run", "step"], update_fields=["time", "values", "spreads"]
    )
    keep_blocks(run, steps)


def _keep_samples(run: Run, events: Sequence[Event]) -> None:
    rows = {
        (event["step"], str(item["prompt_id"])): Sample(
            run=run,
            step=event["step"],
            prompt_id=str(item["prompt_id"]),
            prompt=item["prompt"],
            text=storable(item["text"]),
            reward=item.get("reward"),
            kl=item.get("kl"),
            num_tokens=item.get("num_tokens", 0),
            has_ended=item.get("ended", True),
        )
        for event in events
        for item in event["items"]
    }
    Sample.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["run", "step", "prompt_id"],
        update_fields=["prompt", "text", "reward", "kl", "num_tokens", "has_ended"],
    )


def _keep_state(run: Run, events: Sequence[Event]) -> None:
    """Progress, warnings, summary and error, as they stand after the last of these events."""
    for event in events:
        match event["type"]:
            case "progress":
                run.step, run.total_steps = event["step"], event["total_steps"]
                run.seconds_left = event.get("seconds_left")
            case "warning" if event["message"] not in run.warnings:  # a resumed trainer warns again
                run.warnings = [*run.warnings, event["message"]]
            case "memory":  # of a run's last life, which did most of it or all
                run.memory = {"peak": event["peak"], "estimated": event["estimated"]}
            case "done":
                run.summary = event["summary"]
                run.seconds_left = None
            case "error":
                run.error = sentence(event)
        if event["type"] in ("progress", "resumed", "done"):
            run.error = ""  # of an earlier attempt, and overcome


def estimate_seconds_left(run: Run) -> float | None:
    """From the pace of the last steps, for a trainer that does not say it; None before there are two steps."""
    recent = list(run.metrics.order_by("-step").values_list("step", "time")[:PACE_STEPS])
    if len(recent) < 2:
        return None
    (last_step, last_time), (first_step, first_time) = recent[0], recent[-1]
    pace = max(last_time - first_time, 0) / (last_step - first_step)
    return pace * (run.total_steps - run.step)


def sentence(event: Event) -> str:
    """An error event as the run's page says it: the person's own as it is, ours with what can be done."""
    if event["owner"] == "user":
        return str(event["message"])
    return f"Plumbline itself failed here, not your data or settings. {event['message']} Resuming may work."


def _keep_artifact(run: Run, event: Event) -> None:
    kind = ModelVersion.Kind.REWARD if event["model_kind"] == "reward" else ModelVersion.Kind.POLICY
    register_version(
        run.project,
        path=run.folder / event["path"],
        name=_free_name(run),
        kind=kind,
        parent=run.model,
        run=run,
        by=run.created_by,
        metrics=event["metrics"],
    )


def _free_name(run: Run) -> str:
    """reward-7 of run 7, or reward-7-2 where a person has given that name to something else."""
    taken = set(run.project.model_versions.exclude(run=run).values_list("name", flat=True))
    names = (f"{run.kind}-{run.pk}" + (f"-{n}" if n > 1 else "") for n in itertools.count(1))
    return next(name for name in names if name not in taken)
