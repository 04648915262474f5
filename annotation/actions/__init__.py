"""Verbs over several rows: what people do in a project, and how projects come to be.

Every verb is atomic and knows nothing of pages; what a person got wrong is a ValueError whose sentence says what to
change. Who may call it is decided where the person is known: `Project.require`.
"""

from annotation.actions.account_data import export_account
from annotation.actions.adjudicating import adjudicate, withdraw_verdict
from annotation.actions.answers import Answer
from annotation.actions.changing import change_task
from annotation.actions.criteria import add_criterion, change_criterion, is_used, remove_criterion
from annotation.actions.drafting import keep_draft
from annotation.actions.erasure import erase_account
from annotation.actions.invitations import Invited, accept_invitation, invite, revoke_invitation
from annotation.actions.judging import Judged, Undone, judge, locked_sentence, skip, undo
from annotation.actions.members import add_member, pause_member, remove_member
from annotation.actions.projects import change_project, create_project, publish_guidelines
from annotation.actions.revising import revise
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
    "Answer",
    "Invited",
    "Judged",
    "NewToken",
    "Restored",
    "Undone",
    "accept_invitation",
    "add_criterion",
    "add_member",
    "add_webhook",
    "adjudicate",
    "change_criterion",
    "change_project",
    "change_secret",
    "change_task",
    "change_webhook",
    "create_project",
    "create_token",
    "digest_of",
    "erase_account",
    "export_account",
    "invite",
    "is_used",
    "judge",
    "keep_draft",
    "locked_sentence",
    "pause_member",
    "publish_guidelines",
    "remove_criterion",
    "remove_member",
    "remove_webhook",
    "restore",
    "revise",
    "revoke_invitation",
    "revoke_token",
    "send_again",
    "send_test",
    "skip",
    "undo",
    "void_judgments",
    "voidable",
    "withdraw_verdict",
]
