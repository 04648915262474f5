"""Model versions, their stages, and what they wrote."""

from __future__ import annotations

import datetime
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotation.models import Project, Response, Role, User
from training.models.runs import Run


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def visible_to(self, user: User) -> ModelVersionQuerySet:
        """Versions in projects in which the user is at least a reviewer."""
        return self.filter(project__in=Project.objects.with_role(user, Role.REVIEWER))

    def with_origins(self) -> ModelVersionQuerySet:
        """The run it came from and all behind that run, in the same query."""
        return self.select_related("run__snapshot", "run__model__run__snapshot", "run__reward_model__run__snapshot")

    def policies(self) -> ModelVersionQuerySet:
        """Everything that writes answers: base models and tuned policies."""
        return self.filter(kind__in=[ModelVersion.Kind.BASE, ModelVersion.Kind.POLICY])

    def reward_models(self) -> ModelVersionQuerySet:
        return self.filter(kind=ModelVersion.Kind.REWARD)


SERVED = "served"
"""The revision of a model that a server has and we do not: `location` is what it is called there."""


class ModelVersion(models.Model):
    """A base, policy or reward model with its parent, its run, its artifact and its stage."""

    class Kind(models.TextChoices):
        BASE = "base", _("base model")
        POLICY = "policy", _("policy")
        REWARD = "reward", _("reward model")

    class Stage(models.TextChoices):
        CANDIDATE = "candidate", _("candidate")
        APPROVED = "approved", _("approved")
        PRODUCTION = "production", _("production")
        ARCHIVED = "archived", _("archived")

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="model_versions")
    name = models.SlugField(max_length=100, help_text=_("Also the source label of its answers."))
    kind = models.CharField(max_length=20, choices=Kind.choices)
    stage = models.CharField(max_length=20, choices=Stage.choices, default=Stage.CANDIDATE)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    run = models.OneToOneField(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="version")
    location = models.CharField(max_length=500, help_text=_("The artifact's folder, or a model hub's id."))
    revision = models.CharField(max_length=100, blank=True, help_text=_("The pinned revision of a hub's model."))
    checksum = models.CharField(max_length=64, blank=True, help_text=_("SHA-256 over the artifact's files."))
    metrics = models.JSONField(default=dict, blank=True)
    presets = models.JSONField(
        default=dict, blank=True, help_text=_("Settings that suit it, by kind of run; descendants inherit them.")
    )
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="version_names_are_distinct"),
            models.UniqueConstraint(
                fields=["project", "kind"], condition=Q(stage="production"), name="one_in_production_per_kind"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_served(self) -> bool:
        return self.revision == SERVED

    @property
    def folder(self) -> Path:
        return Path(self.location)


class StageChange(models.Model):
    """Who moved a version to which stage, and why."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="stage_changes")
    stage = models.CharField(max_length=20, choices=ModelVersion.Stage.choices)
    reason = models.TextField(blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.version} → {self.stage}"


class Generation(models.Model):
    """Which version wrote a response, in which run, with which settings, and how its reward model scored it.

    It stands here and not in annotation.Response, so that nothing an annotator's page loads knows the writer.
    """

    response = models.OneToOneField(Response, on_delete=models.CASCADE, related_name="generation")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="generations")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="generations")
    settings = models.JSONField(default=dict)
    reward = models.FloatField(null=True, blank=True)
    reward_std = models.FloatField(
        null=True, blank=True, help_text="How far the reward model's heads disagree; empty where it has one."
    )
    logprob = models.FloatField(null=True, blank=True, help_text="Sum over its tokens, in nats.")
    num_tokens = models.PositiveIntegerField(default=0)
    has_ended = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.version}: {self.response}"


class HubPushQuerySet(models.QuerySet["HubPush"]):
    def stale(self, now: datetime.datetime) -> HubPushQuerySet:
        """Running, but their worker has not been heard of for RUN_HEARTBEAT_TIMEOUT seconds."""
        horizon = now - datetime.timedelta(seconds=settings.RUN_HEARTBEAT_TIMEOUT)
        return self.filter(status=HubPush.Status.RUNNING, alive_at__lt=horizon)

    def unclaimed(self, now: datetime.datetime) -> HubPushQuerySet:
        """Queued, but no worker has taken the message that was sent RUN_REDELIVERY_SECONDS ago or earlier."""
        horizon = now - datetime.timedelta(seconds=settings.RUN_REDELIVERY_SECONDS)
        return self.filter(status=HubPush.Status.QUEUED, alive_at__lt=horizon)


class HubPush(models.Model):
    """A version sent to a model hub: asked for on its page, carried out by a worker."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="pushes")
    repo_id = models.CharField(max_length=200)
    is_private = models.BooleanField(default=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    address = models.URLField(max_length=500, blank=True, help_text="Of the commit at the hub.")
    error = models.TextField(blank=True, help_text="A sentence that says what to change.")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    alive_at = models.DateTimeField(
        default=timezone.now, help_text="When its worker was last heard of; of a queued one, when its message was sent."
    )

    objects = HubPushQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version} → {self.repo_id}"

    @property
    def is_under_way(self) -> bool:
        return self.status in (self.Status.QUEUED, self.Status.RUNNING)

    def move(self, old: Status, new: Status, **changes: object) -> bool:
        """Move it from `old` to `new`; True when this very call did it. The database decides races."""
        moved = HubPush.objects.filter(pk=self.pk, status=old).update(status=new, **changes)
        self.refresh_from_db()
        return moved == 1
