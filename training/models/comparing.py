"""What two versions say of the answers of both, token by token."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from annotation.models import Response
from training.models.runs import Run
from training.models.versions import ModelVersion


class LikelihoodQuerySet(models.QuerySet["Likelihood"]):
    def of_pair(self, a: ModelVersion, b: ModelVersion) -> LikelihoodQuerySet:
        """In either order: the pair is kept once, the older version as a."""
        first, second = sorted((a, b), key=lambda version: version.pk)
        return self.filter(a=first, b=second)


class Likelihood(models.Model):
    """One answer as two versions read it, in nats. Versions and answers never change, so it is computed once."""

    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="likelihoods")
    a = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    b = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="likelihoods")
    logprob_a = models.FloatField(help_text="Sum over its tokens under a.")
    logprob_b = models.FloatField()
    kl_a = models.FloatField(help_text="KL(a || b), summed over the positions of this answer.")
    kl_b = models.FloatField(help_text="KL(b || a), likewise.")
    tokens = models.JSONField(help_text="[text, logprob_a, logprob_b] each; an empty last one ends the answer.")

    objects = LikelihoodQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["a", "b", "response"], name="two_versions_read_an_answer_once"),
            models.CheckConstraint(condition=Q(a__lt=F("b")), name="a_pair_of_versions_is_kept_once"),
        ]

    def __str__(self) -> str:
        return f"{self.response} under {self.a} and {self.b}"
