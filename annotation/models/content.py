"""What is judged: prompts (conversations so far) and responses (one answer each, from any source)."""

from __future__ import annotations

import hashlib

import orjson
from django.db import models
from django.db.models import F, Q

from annotation.models.people import Project, User


class Prompt(models.Model):
    # Without an index of its own: that of the constraint begins with it.
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts", db_index=False)
    messages = models.JSONField(help_text="A list of {role, content}, ending with the user's turn.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the messages: the same prompt comes in once.")
    external_id = models.CharField(max_length=200, blank=True, help_text="Its id where it came from.")
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "content_hash"], name="a_prompt_comes_in_once")]

    def __str__(self) -> str:
        return str(self.messages[-1]["content"])[:80]

    @staticmethod
    def canonical(messages: list[dict[str, str]]) -> bytes:
        """The messages as the one JSON text that is hashed: keys in order, no spaces, UTF-8."""
        return orjson.dumps(messages, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def hash_of(cls, messages: list[dict[str, str]]) -> str:
        return hashlib.sha256(cls.canonical(messages)).hexdigest()


class Response(models.Model):
    """One answer. `source` is a text label (a model's name, a person, an import); annotators never see it."""

    CORRECTION = "correction"
    """The source of answers that annotators corrected."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="responses")
    text = models.TextField()
    source = models.CharField(max_length=200)
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the text.")
    parent = models.ForeignKey(
        "self", null=True, blank=True, db_index=False, on_delete=models.SET_NULL, related_name="corrections",
        help_text="The response that this one corrects.",
    )  # fmt: skip
    author = models.ForeignKey(User, null=True, blank=True, db_index=False, on_delete=models.SET_NULL, related_name="+")
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Corrections are kept apart, one for each judgment: two people may write the same words about two answers.
            models.UniqueConstraint(
                fields=["prompt", "source", "content_hash"],
                condition=Q(parent__isnull=True),
                name="a_source_answers_alike_once",
            ),
            models.CheckConstraint(condition=Q(parent__isnull=True) | ~Q(parent=F("id")), name="no_self_correction"),
        ]
        # Only of those that have one: few responses are corrections, and imports write them by the thousand.
        indexes = [
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="corrections_of_a_response"),
            models.Index(fields=["author"], condition=Q(author__isnull=False), name="responses_of_an_author"),
        ]

    def __str__(self) -> str:
        return f"{self.source}: {self.text[:60]}"

    @staticmethod
    def hash_of(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()
