"""How good the judging is: known answers, the verdict where people disagree, judgments taken out of the count."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotation.models.content import Response
from annotation.models.people import Project, User
from annotation.models.work import Task


class Gold(models.Model):
    """The right answer of a gold task. Of a comparison, the side: the degree is not asked for.

    preferred: the better response of a comparison, or the best of a ranking; empty: a tie is right.
    """

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="gold")
    preferred = models.ForeignKey(Response, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    ratings = models.JSONField(
        default=dict, blank=True, help_text="Of a rating: criterion key to [lowest, highest] value that is right."
    )
    note = models.TextField(blank=True, help_text=_("Why this is right; reviewers see it."))
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "gold"

    def __str__(self) -> str:
        return f"gold of {self.task}"


class Verdict(models.Model):
    """What a reviewer decided where people disagreed, and why they did."""

    class Cause(models.TextChoices):
        AMBIGUOUS = "ambiguous", _("the question is ambiguous")
        GUIDELINE_GAP = "guideline_gap", _("the guidelines leave it open")
        MISTAKE = "mistake", _("somebody made a mistake")

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="verdict")
    preferred = models.ForeignKey(Response, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    strength = models.PositiveSmallIntegerField(null=True, blank=True, help_text="As a judgment's.")
    both_bad = models.BooleanField(default=False)
    ratings = models.JSONField(default=dict, blank=True, help_text="Of a rating: criterion key to value.")
    ranks = models.JSONField(default=dict, blank=True, help_text="Of a ranking: response id to place.")
    cause = models.CharField(max_length=20, choices=Cause.choices)
    note = models.TextField(blank=True)
    decided_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(strength__isnull=True, preferred__isnull=True)
                | Q(strength__isnull=False, strength=0, preferred__isnull=True)
                | Q(strength__isnull=False, strength__gte=1, strength__lte=3, preferred__isnull=False),
                name="a_verdict_of_a_tie_prefers_none",
            ),
        ]

    def __str__(self) -> str:
        return f"verdict on {self.task}"

    @property
    def mark(self) -> str:
        """Changes with every decision: what tells a reviewer that somebody else decided meanwhile."""
        return self.decided_at.isoformat()

    @property
    def signed_strength(self) -> int | None:
        """As a judgment's: −3 … +3, positive when the task's response_a is better; None of a rating or ranking."""
        if self.strength is None or self.preferred_id is None:
            return self.strength
        return self.strength if self.preferred_id == self.task.response_a_id else -self.strength


class Voiding(models.Model):
    """An admin's act that took a person's judgments out of the count; they are kept, and can be restored."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="voidings")
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="voidings")
    reason = models.TextField()
    voided_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    restored_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.annotator} in {self.project}"
