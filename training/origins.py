"""How two versions came to be, and in what they differ: kind of run, settings, labels, reward model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from training.models import ModelVersion, Run, Snapshot, SnapshotJudgment


@dataclass(frozen=True)
class Difference:
    """One thing that the two have not in common."""

    name: str
    before: Any
    after: Any
    is_setting: bool = False


@dataclass(frozen=True)
class SharedLabels:
    """How many judgments both learned from, and how many only one of the two."""

    both: int
    only_a: int
    only_b: int


def differences(a: ModelVersion, b: ModelVersion) -> list[Difference]:
    """What differs, with None where a version has no such thing: one registered by hand has no run."""
    found = [Difference(name, *two) for name, two in _facts(a.run, b.run).items() if two[0] != two[1]]
    before, after = (version.run.config if version.run else {} for version in (a, b))
    names = list(dict.fromkeys([*after, *before]))
    return found + [
        Difference(name, before.get(name), after.get(name), is_setting=True)
        for name in names
        if before.get(name) != after.get(name)
    ]


def _facts(a: Run | None, b: Run | None) -> dict[str, tuple[Any, Any]]:
    def both(read: Any) -> tuple[Any, Any]:
        return (read(a) if a else None, read(b) if b else None)

    def of_snapshot(key: str) -> tuple[Any, Any]:
        return both(lambda run: run.snapshot.counts.get(key) if run.snapshot else None)

    return {
        _("Kind of run"): both(lambda run: run.get_kind_display()),
        _("Started from"): both(lambda run: run.model.name if run.model else None),
        _("Reward model"): both(lambda run: run.reward_model.name if run.reward_model else None),
        _("Snapshot"): both(lambda run: run.snapshot.content_hash[:10] if run.snapshot else None),
        _("Judgments"): of_snapshot("judgments"),
        _("Pairs"): of_snapshot("pairs"),
        _("Demonstrations"): of_snapshot("demonstrations"),
        _("Simulated judgments"): both(lambda run: run.num_simulated),
    }


def shared_labels(a: ModelVersion, b: ModelVersion) -> SharedLabels | None:
    """Over everything behind each of the two; None unless both have learned from labels whose uses are known."""
    used_a, used_b = (_judgments_behind(version.run) for version in (a, b))
    if not used_a or not used_b:
        return None
    return SharedLabels(len(used_a & used_b), len(used_a - used_b), len(used_b - used_a))


def _judgments_behind(run: Run | None) -> set[int]:
    keys = [snapshot.pk for snapshot in snapshots_behind(run)]
    return set(SnapshotJudgment.objects.filter(snapshot__in=keys).values_list("judgment", flat=True)) if keys else set()


def snapshots_behind(run: Run | None) -> list[Snapshot]:
    """Its own snapshot and those of its models' runs, as they are already in memory."""
    if run is None:
        return []
    runs = [run, *(version.run for version in (run.reward_model, run.model) if version)]
    return list({each.snapshot.pk: each.snapshot for each in runs if each and each.snapshot}.values())
