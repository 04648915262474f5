"""What a judgment gives each response: a rating by criterion, a place in a ranking."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.content import Response
from annotation.models.people import Criterion
from annotation.models.work import Judgment


class Rating(models.Model):
    judgment = models.ForeignKey(Judgment, on_delete=models.CASCADE, related_name="ratings")
    criterion = models.ForeignKey(Criterion, on_delete=models.PROTECT, related_name="+")
    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="ratings")
    value = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["judgment", "criterion", "response"], name="one_value_per_criterion"),
            models.CheckConstraint(condition=Q(value__gte=1, value__lte=9), name="a_rating_is_1_to_9"),
        ]

    def __str__(self) -> str:
        return f"{self.criterion}: {self.value}"


class Rank(models.Model):
    """The place one response got in a ranking: 1 is best; equal places are ties."""

    judgment = models.ForeignKey(Judgment, on_delete=models.CASCADE, related_name="ranks")
    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="+")
    rank = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["judgment", "response"], name="one_rank_per_response"),
            models.CheckConstraint(condition=Q(rank__gte=1, rank__lte=6), name="a_rank_is_1_to_6"),
        ]

    def __str__(self) -> str:
        return f"{self.rank}. {self.response}"
