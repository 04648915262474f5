"""Snapshots and runs: frozen judgments, one job each with its status, and the metrics and samples it wrote.

A run's truth is the events.jsonl in its folder; Metric and Sample rows are filled from it (training/follow.py) and may
be filled again at any time with the same result.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotation.models import Judgment, Project, Role, User


class SnapshotQuerySet(models.QuerySet["Snapshot"]):
    def with_changes(self) -> SnapshotQuerySet:
        """With what became of the judgments they used: num_voided, num_revised, num_undone; are_uses_known.

        One query however many snapshots: 0.1 s for each 100,000 judgments.
        """
        uses = SnapshotJudgment.objects.filter(snapshot=OuterRef("pk")).order_by()
        gone = uses.filter(judgment__is_current=False)
        newer = Judgment.objects.filter(
            task=OuterRef("judgment__task"), annotator=OuterRef("judgment__annotator"), pk__gt=OuterRef("judgment")
        )
        of_person = gone.filter(judgment__voiding__isnull=True)

        def num(rows: models.QuerySet[SnapshotJudgment]) -> Coalesce:
            counted = rows.values("snapshot").annotate(num=Count("pk")).values("num")
            return Coalesce(Subquery(counted), 0)

        return self.annotate(
            num_voided=num(gone.filter(judgment__voiding__isnull=False)),
            num_revised=num(of_person.filter(Exists(newer))),
            num_undone=num(of_person.filter(~Exists(newer))),
            are_uses_known=Exists(uses),
        )

    def behind(self, run: Run | None) -> list[Snapshot]:
        """What the run learned from, with_changes: its own snapshot first, then those of its models' runs."""
        if run is None:
            return []
        runs = [run, *(version.run for version in (run.reward_model, run.model) if version)]
        keys = list(dict.fromkeys(each.snapshot_id for each in runs if each and each.snapshot_id))
        found = {row.pk: row for row in self.with_changes().filter(pk__in=keys).select_related("created_by")}
        return [found[key] for key in keys]


class Snapshot(models.Model):
    """An immutable export of judgments, split by prompt, named by the hash of its content."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="snapshots")
    content_hash = models.CharField(max_length=64)
    settings = models.JSONField(default=dict, help_text="How it was frozen: split shares, seed, targets, who counted.")
    counts = models.JSONField(default=dict, help_text="Judgments, pairs, prompts and demonstrations, by split.")
    num_simulated = models.PositiveIntegerField(default=0, help_text="Judgments by simulated annotators among them.")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["project", "content_hash"], name="same_content_same_snapshot")]

    def __str__(self) -> str:
        return f"{self.content_hash[:12]} ({self.counts.get('pairs', 0)} pairs)"

    @property
    def folder(self) -> Path:
        """Where preferences.jsonl, prompts.jsonl and demonstrations.jsonl of this snapshot lie."""
        return settings.VAR_DIR / "snapshots" / self.content_hash


class SnapshotJudgment(models.Model):
    """A judgment that a snapshot has used. What became of it since is asked of the judgment."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="uses", db_index=False)
    judgment = models.ForeignKey(Judgment, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["snapshot", "judgment"], name="a_snapshot_uses_a_judgment_once")]

    def __str__(self) -> str:
        return f"{self.judgment} in {self.snapshot}"


class Sweep(models.Model):
    """Runs that differ in their seed alone: how much of a result is luck."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="sweeps")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Sweep {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("training:sweep", args=[self.pk])


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: User) -> RunQuerySet:
        """Runs of projects in which the user is at least a reviewer."""
        return self.filter(project__in=Project.objects.with_role(user, Role.REVIEWER))

    def with_origins(self) -> RunQuerySet:
        """What it started from and learned from, in the same query: num_simulated looks at all of it."""
        return self.select_related("snapshot", "model__run__snapshot", "reward_model__run__snapshot")

    def unfinished(self) -> RunQuerySet:
        return self.filter(status__in=[Run.Status.QUEUED, Run.Status.RUNNING])

    def stale(self, now: datetime.datetime | None = None) -> RunQuerySet:
        """Running, but their worker has not been heard of for RUN_HEARTBEAT_TIMEOUT seconds."""
        horizon = (now or timezone.now()) - datetime.timedelta(seconds=settings.RUN_HEARTBEAT_TIMEOUT)
        return self.filter(status=Run.Status.RUNNING, heartbeat_at__lt=horizon)

    def unclaimed(self, now: datetime.datetime | None = None) -> RunQuerySet:
        """Queued, but no worker has taken the message that was sent RUN_REDELIVERY_SECONDS ago or earlier."""
        horizon = (now or timezone.now()) - datetime.timedelta(seconds=settings.RUN_REDELIVERY_SECONDS)
        return self.filter(status=Run.Status.QUEUED, queued_at__lt=horizon)

    def held_by(self, worker: str) -> RunQuerySet:
        """Running, and still this worker's: after a sweep the row belongs to whoever claimed it next."""
        return self.filter(status=Run.Status.RUNNING, worker=worker)


class Run(models.Model):
    """One training, generation or evaluation job and all it did."""

    class Kind(models.TextChoices):
        SFT = "sft", _("fine-tuning on demonstrations")
        REWARD = "reward", _("reward model")
        POLICY = "policy", _("policy (PPO)")
        DPO = "dpo", _("policy from pairs (DPO)")
        ILQL = "ilql", _("policy by token values (ILQL)")
        GENERATE = "generate", _("fresh answers")
        EVALUATE = "evaluate", _("evaluation")
        COMPARE = "compare", _("answers read by two models")

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    config = models.JSONField(default=dict, help_text="The config as the form gave it; the folder has it in full.")
    snapshot = models.ForeignKey(Snapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    model = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="runs_from",
        help_text="The version it starts from, samples with or evaluates.",
    )  # fmt: skip
    reward_model = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="runs_scored"
    )
    watcher = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="runs_watched",
        help_text="Another reward model, which scores the answers but pays nothing for them.",
    )  # fmt: skip
    reference = models.ForeignKey(
        "training.ModelVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="runs_compared",
        help_text="Of a compare run: what its model is compared with.",
    )  # fmt: skip
    sweep = models.ForeignKey(Sweep, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(default=timezone.now, help_text="When its message was last sent to the workers.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    # How it goes: written by the worker that follows it.
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="Restarts after its worker was lost.")
    max_restarts = models.PositiveSmallIntegerField(default=3)
    is_cancel_requested = models.BooleanField(default=False)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    seconds_left = models.FloatField(null=True, blank=True)
    events_offset = models.PositiveBigIntegerField(default=0, help_text="Bytes of events.jsonl already read.")
    error = models.TextField(blank=True, help_text="A sentence that says what to change.")
    mail_at = models.DateTimeField(
        null=True, blank=True, help_text="When whoever started it is to be mailed how it ended; empty: nothing to mail."
    )
    warnings = models.JSONField(default=list, blank=True)
    summary = models.JSONField(default=dict, blank=True, help_text="What the `done` event reported.")
    memory = models.JSONField(default=dict, blank=True, help_text="What the `memory` event reported, in bytes.")

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["heartbeat_at"], condition=Q(status="running"), name="running_by_heartbeat"),
            models.Index(fields=["mail_at"], condition=Q(mail_at__isnull=False), name="runs_to_mail_of"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("training:run", args=[self.pk])

    @property
    def folder(self) -> Path:
        return settings.RUNS_DIR / str(self.pk)

    @property
    def chart_settings(self) -> dict[str, Any]:
        """What decides which charts it has: its settings, and whether a model watches."""
        return {**self.config, "watcher": self.watcher_id}

    @property
    def num_simulated(self) -> int:
        """Simulated labels behind it: in its own snapshot, or in those that its models have learned from."""
        runs = [self, *(version.run for version in (self.model, self.reward_model) if version)]
        return max((run.snapshot.num_simulated for run in runs if run and run.snapshot), default=0)

    @property
    def is_finished(self) -> bool:
        return self.status not in (self.Status.QUEUED, self.Status.RUNNING)

    def move(self, old: Status, new: Status, *, held_by: str | None = None, **changes: object) -> bool:
        """Move the run from `old` to `new`; True when this very call did it. The database decides races.

        held_by: move it only while this worker still holds it.
        """
        candidates = Run.objects.filter(pk=self.pk, status=old)
        if held_by is not None:
            candidates = candidates.held_by(held_by)
        moved = candidates.update(status=new, **changes)
        if moved:
            self.refresh_from_db()
        return moved == 1


class Sample(models.Model):
    """One of a run's fixed prompts, answered at one step: what the reward curve stands for."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    prompt_id = models.CharField(max_length=200)
    prompt = models.JSONField()
    text = models.TextField()
    reward = models.FloatField(null=True, blank=True)
    kl = models.FloatField(null=True, blank=True)
    num_tokens = models.PositiveIntegerField(default=0)
    has_ended = models.BooleanField(default=True)

    class Meta:
        ordering = ["prompt_id", "step"]
        constraints = [models.UniqueConstraint(fields=["run", "step", "prompt_id"], name="one_sample_per_step")]

    def __str__(self) -> str:
        return f"{self.run} step {self.step}: {self.text[:40]}"
