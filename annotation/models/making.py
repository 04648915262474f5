"""Acts of admins that make many tasks at once: what was asked for, by whom, so that it can be found and taken back."""

from __future__ import annotations

from django.db import models

from annotation.models.people import Project, User


class Making(models.Model):
    """One act. `kind` is a Pairing (annotation/pairing.py), or how else the tasks came to be; `settings` its values."""

    CHAT = "chat"
    """The kind of those whose questions somebody put to the models and judged in one go: no chance chose them."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="makings")
    kind = models.CharField(max_length=20)
    settings = models.JSONField(default=dict, blank=True)
    num_tasks = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
