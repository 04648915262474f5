"""Who works on what: users, projects, their members and roles, the criteria and the guidelines."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import PermissionDenied
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    is_simulated = models.BooleanField(
        default=False, help_text=_("Labels by a program that follows a stated rule, not by a person.")
    )
    language = models.CharField(max_length=12, blank=True, help_text=_("Empty: the browser's language."))
    key_bindings = models.JSONField(default=dict, blank=True, help_text="Action to key, where it is not the usual one.")


class Role(models.IntegerChoices):
    """Each role may do everything of those below it."""

    ANNOTATOR = 10, _("annotator")
    REVIEWER = 20, _("reviewer")
    ADMIN = 30, _("admin")


class Revision(models.TextChoices):
    """Until when people may change what they judged."""

    ALWAYS = "always", _("at any time")
    UNTIL_FROZEN = "until_frozen", _("until a snapshot has taken it")
    NEVER = "never", _("not at all")


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> ProjectQuerySet:
        """Projects in which the user has any role; a stranger's lookup ends in 404."""
        return self.filter(memberships__user=user, memberships__is_paused=False)

    def with_role(self, user: User, role: Role) -> ProjectQuerySet:
        """Projects in which the user may do what `role` may."""
        return self.filter(memberships__user=user, memberships__is_paused=False, memberships__role__gte=role)


class Project(models.Model):
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    overlap = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text=_("How many people judge each task.")
    )
    lease_seconds = models.PositiveIntegerField(
        default=1800, validators=[MinValueValidator(60)], help_text=_("How long a task is lent before others get it.")
    )
    daily_goal = models.PositiveSmallIntegerField(default=40, validators=[MinValueValidator(1)])
    revision = models.CharField(
        max_length=20, choices=Revision.choices, default=Revision.UNTIL_FROZEN,
        help_text=_("How long people may change what they judged. Undoing the last is such a change."),
    )  # fmt: skip
    reason_chips = models.JSONField(
        default=list, blank=True, help_text=_("Short reasons to choose from beside the rationale, a text each.")
    )
    control_share = models.FloatField(
        default=0.1, validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
        help_text=_("The share of gold tasks and repeats among what each person gets, while there are any."),
    )  # fmt: skip
    repeat_share = models.FloatField(
        default=0.05, validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
        help_text=_("The share of what each person judged that they are asked again, without being told."),
    )  # fmt: skip
    promotion_needs_approval = models.BooleanField(
        default=True, help_text=_("A policy goes into production only after a review of it has been approved.")
    )
    webhook_events = ArrayField(
        models.CharField(max_length=40), default=list, blank=True, editable=False,
        help_text="What its active webhooks want to be told, kept here so that judging need not look for it.",
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def role_of(self, user: User) -> Role | None:
        membership = self.memberships.filter(user=user, is_paused=False).first()
        return Role(membership.role) if membership else None

    def require(self, user: User, role: Role) -> None:
        """Raise PermissionDenied (403) unless the user may do what `role` may. Strangers are 404: visible_to()."""
        own = self.role_of(user)
        if own is None or own < role:
            raise PermissionDenied(
                _("This page needs the role “%(role)s” in %(project)s. Ask an admin of the project.")
                % {"role": role.label, "project": self.name}
            )

    @property
    def current_guidelines(self) -> Guidelines | None:
        return self.guidelines.order_by("-version").first()


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.PositiveSmallIntegerField(choices=Role.choices, default=Role.ANNOTATOR)
    is_paused = models.BooleanField(default=False)
    swap_lead = models.IntegerField(
        default=0, help_text="How many more pairs this person saw swapped than not; the queue keeps it near zero."
    )
    # A place in the queue that moves with every label: neither checked nor indexed. Without its task it leads nowhere.
    last_task = models.ForeignKey(
        "annotation.Task", null=True, on_delete=models.SET_NULL, related_name="+", editable=False,
        db_constraint=False, db_index=False, help_text="What the queue lent this person last: it looks on from there.",
    )  # fmt: skip
    worked_on = models.DateField(null=True, editable=False, help_text="The day of which num_today speaks.")
    num_today = models.PositiveIntegerField(
        default=0, editable=False, help_text="What they judged on that day and did not undo."
    )
    seen_guidelines = models.ForeignKey(
        "annotation.Guidelines", null=True, on_delete=models.SET_NULL, related_name="+", editable=False,
        help_text="The version this person has read; a newer one is announced before their next task.",
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_person")]

    def __str__(self) -> str:
        return f"{self.user} · {self.project} · {self.get_role_display()}"


class Criterion(models.Model):
    """One thing to rate, such as “helpful”, on a scale with anchor texts at its ends."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="criteria")
    key = models.SlugField(help_text=_("Its name in exports; never changes."))
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    scale_max = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(2), MaxValueValidator(9)])
    low_anchor = models.CharField(max_length=100, blank=True)
    high_anchor = models.CharField(max_length=100, blank=True)
    weight = models.FloatField(default=1.0, help_text=_("Its share when ratings are turned into preferences."))
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        verbose_name_plural = "criteria"
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="one_criterion_per_key"),
            models.CheckConstraint(condition=Q(scale_max__gte=2, scale_max__lte=9), name="scale_has_2_to_9_steps"),
        ]

    def __str__(self) -> str:
        return self.name


class Guidelines(models.Model):
    """One version of a project's instructions, in Markdown; never changed, only followed by the next version."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField()
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "guidelines"
        constraints = [models.UniqueConstraint(fields=["project", "version"], name="guidelines_versions_are_distinct")]

    def __str__(self) -> str:
        return f"{self.project} v{self.version}"
