"""What a team decides about a version: a review of two versions, with blind votes, comments and a verdict."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from annotation.models import Project, Prompt, Response, Role, User
from training.models.versions import ModelVersion


class ReviewQuerySet(models.QuerySet["Review"]):
    def visible_to(self, user: User) -> ReviewQuerySet:
        """Reviews in projects in which the user is at least a reviewer."""
        return self.filter(project__in=Project.objects.with_role(user, Role.REVIEWER))

    def of_pair(self, a: ModelVersion, b: ModelVersion) -> ReviewQuerySet:
        """Whether b is fit to follow a; the other way round is another question."""
        return self.filter(a=a, b=b)

    def approving(self, version: ModelVersion) -> ReviewQuerySet:
        return self.filter(b=version, status=Review.Status.APPROVED)


class Review(models.Model):
    """Is b fit to take a's place? Open until somebody approves or rejects it, with a reason."""

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        APPROVED = "approved", _("approved")
        REJECTED = "rejected", _("rejected")

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="reviews")
    a = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="reviews_before")
    b = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="reviews")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.OPEN)
    reason = models.TextField(blank=True)
    opened_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    closed_at = models.DateTimeField(null=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["a", "b"], condition=Q(status="open"), name="one_open_review_of_a_pair"),
            models.CheckConstraint(condition=~Q(a=F("b")), name="a_review_is_of_two_versions"),
            models.CheckConstraint(
                condition=Q(status="open", closed_at=None) | (~Q(status="open") & Q(closed_at__isnull=False)),
                name="a_closed_review_says_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.a} → {self.b}"

    @property
    def is_open(self) -> bool:
        return self.status == self.Status.OPEN


class ReviewVote(models.Model):
    """What a reviewer said of one pair without knowing which version wrote which answer. It stays as it was given."""

    class Choice(models.TextChoices):
        A = "a", _("the former version's answer")
        B = "b", _("the new version's answer")
        TIE = "tie", _("no difference")

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="votes")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="+")
    response_a = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="+")
    response_b = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="+")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="review_votes")
    is_swapped = models.BooleanField(help_text="b's answer stood first.")
    choice = models.CharField(max_length=10, choices=Choice.choices)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["review", "prompt", "by"], name="one_vote_on_a_pair")]

    def __str__(self) -> str:
        return f"{self.review}, prompt {self.prompt_id}: {self.choice}"


class ReviewComment(models.Model):
    """A remark on one pair of a review, or on the whole where it names no prompt."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="comments")
    prompt = models.ForeignKey(Prompt, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text[:40]
