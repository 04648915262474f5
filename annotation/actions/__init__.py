"""Verbs over several rows: what people do in a project, and how projects come to be.

Every verb is atomic and knows nothing of pages; what a person got wrong is a ValueError whose sentence says what to
change. Who may call it is decided where the person is known: `Project.require`.
"""

from annotation.actions.judging import Judged, Undone, judge, skip, undo
from annotation.actions.projects import add_criterion, add_member, create_project, pause_member, publish_guidelines
from annotation.actions.voiding import Restored, restore, void_judgments, voidable

__all__ = [
    "Judged",
    "Restored",
    "Undone",
    "add_criterion",
    "add_member",
    "create_project",
    "judge",
    "pause_member",
    "publish_guidelines",
    "restore",
    "skip",
    "undo",
    "void_judgments",
    "voidable",
]
