"""Verbs over several rows: what people do in a project, and how projects come to be.

Every verb is atomic and knows nothing of pages; what a person got wrong is a ValueError whose sentence says what to
change. Who may call it is decided where the person is known: `Project.require`.
"""

from annotation.actions.changing import change_task
from annotation.actions.judging import Judged, Undone, judge, skip, undo
from annotation.actions.projects import add_criterion, add_member, create_project, pause_member, publish_guidelines
from annotation.actions.tokens import NewToken, create_token, digest_of, revoke_token
from annotation.actions.voiding import Restored, restore, void_judgments, voidable
from annotation.actions.webhooks import (
    add_webhook,
    change_secret,
    change_webhook,
    remove_webhook,
    send_again,
    send_test,
)

__all__ = [
    "Judged",
    "NewToken",
    "Restored",
    "Undone",
    "add_criterion",
    "add_member",
    "add_webhook",
    "change_secret",
    "change_task",
    "change_webhook",
    "create_project",
    "create_token",
    "digest_of",
    "judge",
    "pause_member",
    "publish_guidelines",
    "remove_webhook",
    "restore",
    "revoke_token",
    "send_again",
    "send_test",
    "skip",
    "undo",
    "void_judgments",
    "voidable",
]
