"""Rounds: a version's answers sent back to people as comparisons, some by chance and some because they are doubtful."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from annotation.models import Making, Project, Role, Task, User
from training.models.versions import ModelVersion


class RoundQuerySet(models.QuerySet["Round"]):
    def visible_to(self, user: User) -> RoundQuerySet:
        """Rounds of projects in which the user is at least a reviewer."""
        return self.filter(project__in=Project.objects.with_role(user, Role.REVIEWER))

    def with_versions(self) -> RoundQuerySet:
        return self.select_related("project", "version", "opponent", "scorer", "created_by", "making")


class Round(models.Model):
    """One time round the loop: which version's answers people were asked about, against whose, and how they were drawn.

    The questions that were drawn by chance say how often people prefer the version; those that were chosen because the
    reward model is unsure teach it most, and would bend that figure.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="rounds")
    number = models.PositiveIntegerField(help_text="1, 2, 3 … in the project.")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="rounds")
    opponent = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="rounds_against",
        help_text="The version itself: its own other answers.",
    )  # fmt: skip
    scorer = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        help_text="The reward model whose doubt chose pairs; none where no pair was chosen by doubt.",
    )  # fmt: skip
    making = models.OneToOneField(Making, null=True, on_delete=models.SET_NULL, related_name="+")
    num_asked = models.PositiveIntegerField(help_text="Questions that were asked for.")
    random_share = models.FloatField(help_text="Of the questions, drawn by chance.")
    seed = models.PositiveBigIntegerField(default=0)
    num_random = models.PositiveIntegerField()
    num_doubtful = models.PositiveIntegerField()
    num_pairs = models.PositiveIntegerField(help_text="Pairs of different answers that there were to draw from.")
    num_same = models.PositiveIntegerField(help_text="Pairs of equal answers: nothing to ask.")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RoundQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="rounds_are_numbered_in_their_project"),
            models.CheckConstraint(
                condition=Q(random_share__gte=0, random_share__lte=1), name="the_random_share_of_a_round_is_a_share"
            ),
        ]

    def __str__(self) -> str:
        return _("round %(number)d") % {"number": self.number}

    @property
    def is_against_itself(self) -> bool:
        return self.version_id == self.opponent_id


class RoundTask(models.Model):
    """A question of a round. It stands here and not in annotation.Task, so that no annotator's page can know of it."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="questions", db_index=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="in_rounds")
    is_random = models.BooleanField(help_text="Drawn by chance, and so part of the win rate.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["round", "task"], name="a_round_asks_a_question_once")]

    def __str__(self) -> str:
        return f"{self.task_id} in {self.round_id}"
