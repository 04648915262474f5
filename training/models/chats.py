"""Chats: a person talks with one version, or with two that they cannot tell apart, and says whose answer is better.

A turn keeps the whole conversation as its models were asked it, so an answer can be written again, and its row holds
the settings it is written with. What was said of a turn is a judgment like any other; here stands where it came from.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotation.models import Making, Project, Response, Role, Task, User
from training.models.versions import ModelVersion


class ChatQuerySet(models.QuerySet["Chat"]):
    def visible_to(self, user: User) -> ChatQuerySet:
        """One's own in projects that one still reviews, and everybody's in those that one runs."""
        own = Q(by=user, project__in=Project.objects.with_role(user, Role.REVIEWER))
        return self.filter(own | Q(project__in=Project.objects.with_role(user, Role.ADMIN)))

    def with_versions(self) -> ChatQuerySet:
        return self.select_related("project", "a", "b", "by")


class Chat(models.Model):
    """One conversation of one person. With a second version it is blind: sides are drawn anew for every turn."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="chats")
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="chats")
    a = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="chats")
    b = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="chats_as_second")
    making = models.OneToOneField(
        Making, null=True, on_delete=models.SET_NULL, related_name="+",
        help_text="The tasks that its votes became; none before the first.",
    )  # fmt: skip
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(default=timezone.now, help_text="When something was said last.")

    objects = ChatQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at", "-id"]
        constraints = [models.CheckConstraint(condition=~Q(a=F("b")), name="a_chat_is_with_two_different_versions")]

    def __str__(self) -> str:
        return f"chat {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("training:chat", args=[self.project.slug, self.pk])

    @property
    def is_blind(self) -> bool:
        return self.b_id is not None

    @property
    def versions(self) -> list[ModelVersion]:
        return [self.a] if self.b is None else [self.a, self.b]


class ChatTurn(models.Model):
    """What the person said, the answers to it, and which of them the conversation goes on with."""

    class Choice(models.TextChoices):
        """As a comparison's scale has it, of the sides that were shown; SAME: both wrote the same, nothing to judge."""

        A_MUCH_BETTER = "-3", _("A much better")
        A_BETTER = "-2", _("A better")
        A_SLIGHTLY = "-1", _("A slightly")
        TIE = "0", _("tie")
        B_SLIGHTLY = "1", _("B slightly")
        B_BETTER = "2", _("B better")
        B_MUCH_BETTER = "3", _("B much better")
        BOTH_BAD = "both_bad", _("both bad")
        SAME = "same", _("the same answer twice")

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="turns", db_index=False)
    # The chat's own person once more, so that what they said leaves with their data and goes with their account.
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveSmallIntegerField(help_text="1, 2, 3 … in the chat.")
    messages = models.JSONField(help_text="A list of {role, content}: the conversation so far, ending with their turn.")
    is_swapped = models.BooleanField(default=False, help_text="True: the chat's second version answers as A.")
    choice = models.CharField(max_length=10, choices=Choice.choices, blank=True)
    chosen = models.ForeignKey(
        "training.ChatAnswer", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False,
        help_text="The answer that the conversation goes on with.",
    )  # fmt: skip
    task = models.ForeignKey(Task, null=True, on_delete=models.SET_NULL, related_name="in_chats")
    created_at = models.DateTimeField(auto_now_add=True)
    voted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["chat", "number"], name="turns_are_numbered_in_their_chat"),
            models.CheckConstraint(
                condition=Q(choice="", voted_at__isnull=True) | ~Q(choice="") & Q(voted_at__isnull=False),
                name="a_vote_on_a_turn_has_its_moment",
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.number} of {self.chat_id}"

    @property
    def said(self) -> str:
        return str(self.messages[-1]["content"])

    @property
    def is_voted(self) -> bool:
        return self.choice != ""

    def side_of(self, answer: ChatAnswer) -> int:
        """0 for A, 1 for B."""
        return int((answer.version_id == self.chat.b_id) != self.is_swapped)


class ChatAnswerQuerySet(models.QuerySet["ChatAnswer"]):
    def unfinished(self) -> ChatAnswerQuerySet:
        return self.filter(status__in=[ChatAnswer.Status.WAITING, ChatAnswer.Status.WRITING])

    def waiting(self) -> ChatAnswerQuerySet:
        return self.filter(status=ChatAnswer.Status.WAITING)

    def held_by(self, worker: str) -> ChatAnswerQuerySet:
        """Being written, and still by this worker: one that was stopped or given up is nobody's."""
        return self.filter(status=ChatAnswer.Status.WRITING, worker=worker)

    def lost(self, now: datetime.datetime | None = None) -> ChatAnswerQuerySet:
        """Being written by a worker that has not been heard of for CHAT_HEARTBEAT_TIMEOUT seconds."""
        horizon = (now or timezone.now()) - datetime.timedelta(seconds=settings.CHAT_HEARTBEAT_TIMEOUT)
        return self.filter(status=ChatAnswer.Status.WRITING, heartbeat_at__lt=horizon)

    def unclaimed(self, now: datetime.datetime | None = None) -> ChatAnswerQuerySet:
        """Waiting, but no worker has taken the message that was sent CHAT_REDELIVERY_SECONDS ago or earlier."""
        horizon = (now or timezone.now()) - datetime.timedelta(seconds=settings.CHAT_REDELIVERY_SECONDS)
        return self.waiting().filter(sent_at__lt=horizon)


class ChatAnswer(models.Model):
    """One version's answer to one turn: first a place in the queue, then a text that grows."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        WRITING = "writing", _("being written")
        DONE = "done", _("complete")
        STOPPED = "stopped", _("stopped")
        FAILED = "failed", _("failed")

    turn = models.ForeignKey(ChatTurn, on_delete=models.CASCADE, related_name="answers", db_index=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.WAITING)
    settings = models.JSONField(help_text="Of a generate run, the seed among them: with them it can be written again.")
    text = models.TextField(blank=True)
    num_tokens = models.PositiveIntegerField(default=0)
    logprob = models.FloatField(null=True, help_text="Sum over its tokens, in nats.")
    has_ended = models.BooleanField(default=False, help_text="By itself, neither stopped nor cut.")
    is_cut = models.BooleanField(default=False, help_text="The conversation was too long: only its end was read.")
    error = models.TextField(blank=True, help_text="A sentence that says what to change.")
    response = models.ForeignKey(
        Response, null=True, on_delete=models.SET_NULL, related_name="in_chats",
        help_text="What it became when it was voted on.",
    )  # fmt: skip

    # How it goes: written by the worker that has it.
    worker = models.CharField(max_length=200, blank=True)
    queued_at = models.DateTimeField(default=timezone.now, help_text="Its place in the queue.")
    sent_at = models.DateTimeField(default=timezone.now, help_text="When its message was last sent to the workers.")
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = ChatAnswerQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["turn", "version"], name="a_version_answers_a_turn_once")]
        indexes = [
            models.Index(
                fields=["status", "queued_at"],
                condition=Q(status__in=["waiting", "writing"]),
                name="chat_answers_under_way",
            )
        ]

    def __str__(self) -> str:
        return f"{self.version_id} to {self.turn_id} ({self.status})"

    @property
    def is_finished(self) -> bool:
        return self.status not in (self.Status.WAITING, self.Status.WRITING)

    @property
    def is_usable(self) -> bool:
        """Whether it can be voted on and gone on from: whole, even when empty, or stopped with something there."""
        return self.status == self.Status.DONE or (self.status == self.Status.STOPPED and bool(self.text.strip()))

    def move(self, old: Status, new: Status, *, held_by: str | None = None, **changes: Any) -> bool:
        """Move it from `old` to `new`; True when this very call did it. The database decides races.

        held_by: move it only while this worker still has it.
        """
        candidates = ChatAnswer.objects.filter(pk=self.pk, status=old)
        if held_by is not None:
            candidates = candidates.held_by(held_by)
        moved = candidates.update(status=new, **changes)
        if moved:
            self.refresh_from_db(fields=["status", *changes])
        return moved == 1
