"""Which key does what on the task page: the usual ones, and those a person has chosen instead.

A key is named as browsers name it: one character, letters in lower case, or "Enter".
"""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from annotation.models import User

ACTIONS: dict[str, tuple[str, str | Promise]] = {
    "choice_1": ("1", _("A much better; in a list the first, in a rating the value 1")),
    "choice_2": ("2", _("A better; in a list the second, in a rating the value 2")),
    "choice_3": ("3", _("A slightly better; in a list the third, in a rating the value 3")),
    "choice_4": ("4", _("tie; in a list the fourth, in a rating the value 4")),
    "choice_5": ("5", _("B slightly better; in a list the fifth, in a rating the value 5")),
    "choice_6": ("6", _("B better; in a rating the value 6")),
    "choice_7": ("7", _("B much better; in a rating the value 7")),
    "tie": ("t", _("tie: equally good")),
    "both_bad": ("x", _("both are bad")),
    "submit": ("Enter", _("submit (in a text: Ctrl + Enter)")),
    "skip": ("s", _("skip, with a reason")),
    "flag": ("f", _("flag, then the number of what is wrong")),
    "correct": ("e", _("correct an answer")),
    "why": ("n", _("say why")),
    "undo": ("u", _("undo the last judgment")),
    "guidelines": ("g", _("guidelines")),
    "down": ("j", _("scroll the answers down")),
    "up": ("k", _("scroll the answers up")),
    "keys": ("?", _("show all keys")),
}
"""What can be done: the usual key, and what it does in words."""

USUAL = {action: key for action, (key, _words) in ACTIONS.items()}


def keys_of(user: User) -> dict[str, str]:
    """Action to key, for every action; a stored action or key that means nothing any more is passed over."""
    own = user.key_bindings if isinstance(user.key_bindings, dict) else {}
    return {action: str(own.get(action) or usual) for action, usual in USUAL.items()}


def shown(keys: Mapping[str, str]) -> dict[str, str]:
    """As printed on a key cap."""
    return {action: "⏎" if key == "Enter" else key.upper() for action, key in keys.items()}
