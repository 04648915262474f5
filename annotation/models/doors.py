"""Files on their way in: an upload, how it is read, how far it has come, and which of its lines were left out."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from annotation.models.people import Project, User


class Import(models.Model):
    """One file. Its page drives it in steps: each takes in some records and moves `offset` and `line` in one go."""

    class Status(models.TextChoices):
        UPLOADED = "uploaded", _("uploaded")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imports")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.UPLOADED)
    name = models.CharField(max_length=200, help_text="Of the file, as it was called. Never part of a path.")
    key = models.UUIDField(unique=True, default=uuid.uuid4, help_text="What the file is called where it lies.")
    file_type = models.CharField(max_length=10)
    size = models.BigIntegerField(help_text="Of the file as it lies there: bytes, of Parquet rows.")
    offset = models.BigIntegerField(default=0, help_text="Where reading goes on, in the measure of `size`.")
    line = models.BigIntegerField(default=0, help_text="The line before that.")

    format = models.CharField(max_length=20, default="auto")
    mapping = models.JSONField(default=dict, blank=True, help_text="Our key to the file's column.")
    source = models.CharField(max_length=190, blank=True)
    create_tasks = models.CharField(max_length=20, blank=True)
    overlap = models.PositiveSmallIntegerField(null=True, blank=True)
    priority = models.IntegerField(default=0)

    num_lines = models.PositiveBigIntegerField(default=0)
    num_prompts = models.PositiveBigIntegerField(default=0)
    num_responses = models.PositiveBigIntegerField(default=0)
    num_tasks = models.PositiveBigIntegerField(default=0)
    num_judgments = models.PositiveBigIntegerField(default=0)
    num_known_judgments = models.PositiveBigIntegerField(default=0)
    num_golds = models.PositiveBigIntegerField(default=0)
    num_problems = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(offset__lte=F("size")), name="no_import_reads_beyond_its_file"),
        ]

    def __str__(self) -> str:
        return f"{self.name} into {self.project}"

    @property
    def percent(self) -> int:
        return 100 if self.status == self.Status.DONE else int(100 * self.offset / self.size) if self.size else 0


class ImportProblem(models.Model):
    """A line that was left out, and why."""

    of = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="problems")
    line = models.BigIntegerField()
    sentence = models.TextField()

    class Meta:
        ordering = ["line", "id"]

    def __str__(self) -> str:
        return f"line {self.line}: {self.sentence}"
