"""Whether a person wants a mail when a run that they started has ended."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from annotation.models import User


class RunMail(models.Model):
    """A person's choice; who has made none is mailed always."""

    class When(models.TextChoices):
        ALWAYS = "always", _("when a run of mine ends")
        FAILED = "failed", _("when a run of mine fails")
        NEVER = "never", _("never")

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="run_mail")
    when = models.CharField(max_length=10, choices=When.choices)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(when__in=["always", "failed", "never"]), name="a_choice_of_mails_is_a_known_one"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.when}"

    @staticmethod
    def choice_of(user: User) -> str:
        return RunMail.objects.filter(user=user).values_list("when", flat=True).first() or RunMail.When.ALWAYS
