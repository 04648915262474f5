"""The judging itself: tasks, the leases on them, judgments in versions, and drafts.

What must always be true is a database constraint: the overlap is never exceeded, one person judges a task once,
responses are stored by id and never by the side they were shown on.
"""

from __future__ import annotations

import datetime
import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Count, F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from annotation.models.content import Prompt, Response
from annotation.models.people import Guidelines, Project, Revision, User

REPEAT_AFTER = 10
"""How many other judgments a person must have made since, before they are asked the same again."""


class TaskQuerySet(models.QuerySet["Task"]):
    def open(self) -> TaskQuerySet:
        """Tasks with a place left for one more person (judged and lent together below the overlap)."""
        return self.filter(is_open=True)

    def done(self) -> TaskQuerySet:
        return self.filter(num_judged__gte=F("overlap"))

    def withdrawn(self) -> TaskQuerySet:
        return self.filter(is_withdrawn=True)

    def questions(self) -> TaskQuerySet:
        """Tasks asked for the answers' sake, not to measure people: neither gold nor repeats."""
        return self.filter(control="")

    def counts(self) -> dict[str, int]:
        """How many there are, have a place left, and are done, in one query."""
        is_done = Q(num_judged__gte=F("overlap"))
        return self.questions().aggregate(
            all=Count("pk"), open=Count("pk", filter=Q(is_open=True)), done=Count("pk", filter=is_done)
        )


class Task(models.Model):
    """One question to people: a comparison of two responses, a rating of one (`response_a`), or a ranking of 3 to 6.

    A ranking's responses are its candidates; their ids stand in `candidate_ids` too, ascending, so that the same set is
    asked once. `response_a` is the first of them.

    A repeat asks `reserved_for` anew what that person said of `repeat_of`, in another order. How consistent
    people are is read off a person's two counted judgments, on `repeat_of` and on the repeat: both speak of responses,
    never of sides, so they agree when `preferred` (or the ratings, or the order of the ranks) is the same.
    """

    EVERYBODY = 32_767
    """The overlap of gold tasks: everybody gets each once. The most that the column holds."""

    class Kind(models.TextChoices):
        COMPARISON = "comparison", _("comparison")
        RATING = "rating", _("rating")
        RANKING = "ranking", _("ranking")

    class Control(models.TextChoices):
        """Tasks that measure people instead of answers: mixed in between the others, left out of counts and exports."""

        GOLD = "gold", _("gold task")
        REPEAT = "repeat", _("repeat")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    response_a = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="+")
    response_b = models.ForeignKey(Response, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    candidate_ids = ArrayField(models.BigIntegerField(), default=list, blank=True, editable=False)
    making = models.ForeignKey(
        "annotation.Making", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="tasks",
        db_index=False, help_text="The admin's act that made it with others.",
    )  # fmt: skip
    overlap = models.PositiveSmallIntegerField(default=1)
    priority = models.IntegerField(default=0, help_text="Higher is asked first.")
    num_judged = models.PositiveSmallIntegerField(default=0)
    num_leased = models.PositiveSmallIntegerField(default=0)
    is_withdrawn = models.BooleanField(default=False)
    # A column, because indexes look at it: a judgment moves both counters and leaves it as it is, and PostgreSQL writes
    # no index anew for a row of which no indexed column changed.
    is_open = models.GeneratedField(
        expression=Q(is_withdrawn=False, overlap__gt=F("num_judged") + F("num_leased")),  # type: ignore[arg-type]
        output_field=models.BooleanField(), db_persist=True,
        help_text="Whether a place is left for one more person.",
    )  # fmt: skip
    control = models.CharField(max_length=10, choices=Control.choices, blank=True, editable=False)
    repeat_of = models.ForeignKey(
        "self", null=True, editable=False, db_index=False, on_delete=models.CASCADE, related_name="repeats"
    )
    reserved_for = models.ForeignKey(
        User, null=True, editable=False, db_index=False, on_delete=models.CASCADE, related_name="+",
        help_text="Only this person gets it: the one whose judgment it repeats.",
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="Of what the API tells. Kept by a trigger."
    )

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints = [
            # An unordered pair has one spelling, so the same pair cannot be asked twice the other way round.
            models.CheckConstraint(
                condition=Q(kind="comparison", response_b__isnull=False, response_a__lt=F("response_b"))
                | Q(kind__in=["rating", "ranking"], response_b__isnull=True),
                name="a_comparison_has_two_responses_in_id_order",
            ),
            models.CheckConstraint(
                condition=Q(overlap__gte=F("num_judged") + F("num_leased")), name="overlap_is_never_exceeded"
            ),
            models.UniqueConstraint(
                fields=["response_a", "response_b"],
                condition=Q(kind="comparison", repeat_of__isnull=True),
                name="a_pair_is_asked_once",
            ),
            models.UniqueConstraint(
                fields=["response_a"],
                condition=Q(kind="rating", repeat_of__isnull=True),
                name="a_response_is_rated_in_one_task",
            ),
            models.UniqueConstraint(
                fields=["candidate_ids"],
                condition=Q(kind="ranking", repeat_of__isnull=True),
                name="a_set_is_ranked_in_one_task",
            ),
            models.CheckConstraint(
                condition=Q(kind="ranking", candidate_ids__len__gte=3, candidate_ids__len__lte=6)
                | Q(~Q(kind="ranking"), candidate_ids__len=0),
                name="a_ranking_has_3_to_6_candidates",
            ),
            models.UniqueConstraint(
                fields=["repeat_of", "reserved_for"],
                condition=Q(repeat_of__isnull=False),
                name="a_judgment_is_repeated_once",
            ),
            models.CheckConstraint(
                condition=Q(control="repeat", repeat_of__isnull=False, reserved_for__isnull=False)
                | Q(control__in=["", "gold"], repeat_of__isnull=True, reserved_for__isnull=True),
                name="a_repeat_says_of_what_and_for_whom",
            ),
        ]
        indexes = [
            models.Index(
                fields=["project", "-priority", "id"],
                condition=Q(is_open=True, control=""),
                name="open_tasks_in_order",
            ),
            # Of what few tasks have, only those: else each label would write the others' emptiness into an index anew.
            models.Index(fields=["making"], condition=Q(making__isnull=False), name="tasks_of_a_making"),
            models.Index(
                fields=["reserved_for"], condition=Q(reserved_for__isnull=False), name="tasks_reserved_for_a_person",
            ),
            models.Index(
                fields=["project", "reserved_for"], condition=~Q(control=""), name="control_tasks",
            ),
            BrinIndex(fields=["updated_at"], name="tasks_by_change", autosummarize=True),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Candidate(models.Model):
    """One of the responses of a ranking."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="candidates")
    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="+")

    class Meta:
        ordering = ["response_id"]
        constraints = [models.UniqueConstraint(fields=["task", "response"], name="a_ranking_holds_a_response_once")]

    def __str__(self) -> str:
        return f"{self.response} in {self.task}"


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    def live(self) -> AssignmentQuerySet:
        return self.filter(status=Assignment.Status.LEASED, expires_at__gt=timezone.now())

    def of(self, user: User) -> AssignmentQuerySet:
        return self.filter(annotator=user)

    def in_project(self, project: Project) -> AssignmentQuerySet:
        return self.filter(task__project=project)

    def with_content(self) -> AssignmentQuerySet:
        """Everything a page needs to show the task, in one query."""
        return self.select_related("task__project", "task__prompt", "task__response_a", "task__response_b", "draft")


class Assignment(models.Model):
    """One task lent to one annotator for a while, with the order the responses were shown in."""

    class Status(models.TextChoices):
        LEASED = "leased", _("lent")
        JUDGED = "judged", _("judged")
        SKIPPED = "skipped", _("skipped")
        EXPIRED = "expired", _("expired")

    class SkipReason(models.TextChoices):
        UNCLEAR = "unclear", _("unclear prompt")
        LANGUAGE = "language", _("not my language")
        EXPERTISE = "expertise", _("needs expertise")
        HARMFUL = "harmful", _("harmful")
        OTHER = "other", _("other")

    # Without indexes of their own: those below begin with them.
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments", db_index=False)
    # Protected: with the row, the place it holds in the task's counters would be lost. Who leaves is made inactive.
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="assignments", db_index=False)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.LEASED)
    is_swapped = models.BooleanField(help_text="True: response_b was shown on the left.")
    order = ArrayField(
        models.BigIntegerField(), default=list, help_text="The ids of a ranking's responses in the order shown."
    )
    leased_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    skip_reason = models.CharField(max_length=20, choices=SkipReason.choices, blank=True)
    skip_note = models.TextField(blank=True)

    was_touched: bool | None = None
    """Not a column: whether there is a draft or a judgment of it, undone, say; None where nobody has looked."""

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "annotator"], name="a_task_is_lent_once_per_person")]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(status="leased"), name="leases_by_expiry"),
            models.Index(fields=["annotator", "status"], name="assignments_of_a_person"),
        ]

    def __str__(self) -> str:
        return f"{self.task} → {self.annotator} ({self.status})"

    @cached_property
    def shown(self) -> list[Response]:
        """The responses in the order of the page: left to right, or a ranking's from the top."""
        if self.task.kind != Task.Kind.RANKING:
            return [self.left, self.right] if self.right else [self.left]
        candidates = {row.response_id: row.response for row in self.task.candidates.select_related("response")}
        return [candidates[pk] for pk in self.order]

    @property
    def left(self) -> Response:
        if self.is_swapped and self.task.response_b:
            return self.task.response_b
        return self.task.response_a

    @property
    def right(self) -> Response | None:
        return self.task.response_a if self.is_swapped else self.task.response_b

    def as_shown(self, signed_strength: int) -> tuple[Response | None, int]:
        """What a mark on the shown scale says: (preferred response or None, strength 0 to 3).

        signed_strength: −3 … +3 as the annotator saw the pair: negative when the left one is better, 0 for a tie.
        """
        if signed_strength == 0:
            return None, 0
        return (self.left if signed_strength < 0 else self.right), abs(signed_strength)


class JudgmentQuerySet(models.QuerySet["Judgment"]):
    def counted(self) -> JudgmentQuerySet:
        """The newest version of each judgment that was not undone."""
        return self.filter(is_current=True)

    def votes(self) -> JudgmentQuerySet:
        """Those that count and speak for the answers: not given on gold tasks or repeats."""
        return self.counted().filter(task__control="")

    def revisable(self, project: Project) -> JudgmentQuerySet:
        """Those of this project that their makers may still change, as its setting says."""
        own = self.counted().filter(task__project=project)
        if project.revision == Revision.NEVER:
            return own.none()
        return own.filter(frozen_at=None) if project.revision == Revision.UNTIL_FROZEN else own

    def of(self, user: User) -> JudgmentQuerySet:
        return self.filter(annotator=user)

    def in_project(self, project: Project) -> JudgmentQuerySet:
        return self.filter(task__project=project)

    def since(self, moment: datetime.datetime) -> JudgmentQuerySet:
        return self.filter(created_at__gte=moment)


class Judgment(models.Model):
    """What one annotator said of one task. Versions are kept; `is_current` marks the one that counts (none: undone)."""

    PLAIN_STRENGTH = 2
    """What a choice without a degree counts as: “better”, between “slightly” and “much better”."""

    class Flag(models.TextChoices):
        UNSAFE = "unsafe", _("unsafe")
        PERSONAL_DATA = "personal_data", _("personal data")
        BROKEN_TEXT = "broken_text", _("broken text")

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="judgments")
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="judgments", db_index=False)
    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, related_name="judgments")
    is_current = models.BooleanField(default=True)
    submission_key = models.UUIDField(unique=True, default=uuid.uuid4, help_text="A submit sent twice counts once.")

    preferred = models.ForeignKey(Response, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    strength = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="0 tie, 1 slightly, 2 better, 3 much better; empty for a rating."
    )
    both_bad = models.BooleanField(default=False)
    flags = ArrayField(models.CharField(max_length=20, choices=Flag.choices), default=list, blank=True)
    rationale = models.TextField(blank=True)
    reasons = ArrayField(
        models.CharField(max_length=100), default=list, blank=True, help_text="The project's reason chips chosen."
    )
    corrections = models.ManyToManyField(Response, blank=True, related_name="corrected_in")
    # Guidelines are never deleted, so nothing looks for the judgments under them.
    guidelines = models.ForeignKey(
        Guidelines, null=True, blank=True, db_index=False, on_delete=models.PROTECT, related_name="+"
    )
    active_seconds = models.FloatField(null=True, blank=True, help_text="Time at work, idle time taken out.")
    voiding = models.ForeignKey(
        "annotation.Voiding", null=True, blank=True, on_delete=models.SET_NULL, related_name="judgments",
        db_index=False, help_text="The admin's act that made it count no more.",
    )  # fmt: skip
    frozen_at = models.DateTimeField(null=True, editable=False, help_text="When a snapshot first took it.")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(
        db_default=Now(), editable=False,
        help_text="When it was written, undone, replaced, voided or restored last. Kept by a trigger.",
    )  # fmt: skip

    objects = JudgmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "annotator"], condition=Q(is_current=True), name="one_judgment_per_person_and_task"
            ),
            # Each branch says whether strength is there: a check that comes to NULL passes.
            models.CheckConstraint(
                condition=Q(strength__isnull=True, preferred__isnull=True)
                | Q(strength__isnull=False, strength=0, preferred__isnull=True)
                | Q(strength__isnull=False, strength__gte=1, strength__lte=3, preferred__isnull=False),
                name="a_tie_prefers_none_and_a_choice_prefers_one",
            ),
            models.CheckConstraint(
                condition=Q(both_bad=False) | Q(strength__isnull=False, strength=0), name="both_bad_is_a_tie"
            ),
            models.CheckConstraint(
                condition=Q(voiding__isnull=True) | Q(is_current=False), name="a_voided_judgment_does_not_count"
            ),
        ]
        indexes = [
            models.Index(fields=["annotator", "created_at"], name="judgments_of_a_person"),
            models.Index(fields=["voiding"], condition=Q(voiding__isnull=False), name="judgments_of_a_voiding"),
            # Of ranges of pages, not of rows: it costs next to nothing, and what changed last stands together.
            BrinIndex(fields=["updated_at"], name="judgments_by_change", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.annotator} on {self.task}"

    @property
    def flag_labels(self) -> list[str]:
        return [str(self.Flag(flag).label) for flag in self.flags]

    @property
    def signed_strength(self) -> int | None:
        """−3 … +3, positive when the task's response_a is better; None for a rating."""
        if self.strength is None or self.preferred_id is None:
            return self.strength
        return self.strength if self.preferred_id == self.task.response_a_id else -self.strength


class Draft(models.Model):
    """What a person has typed and chosen of a task they hold and have not sent: kept as the form's fields."""

    assignment = models.OneToOneField(Assignment, on_delete=models.CASCADE, related_name="draft")
    values = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"draft of {self.assignment}"
