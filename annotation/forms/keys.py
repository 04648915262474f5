"""Which key does what, as a person chooses it; a conflict is refused with a sentence that names both."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from annotation.keys import ACTIONS, USUAL, keys_of
from annotation.models import User

ENTER = "Enter"


class KeysForm(forms.Form):
    """A field an action. Reading is forgiving: "s" and "S" are one key, "enter" is Enter."""

    def __init__(self, data: Any = None, *, user: User) -> None:
        super().__init__(data, initial=keys_of(user))
        for action, (usual, words) in ACTIONS.items():
            self.fields[action] = forms.CharField(
                label=str(words),
                max_length=10,
                strip=True,
                error_messages={"required": _("Give this a key; the usual one is “%(key)s”.") % {"key": usual}},
                widget=forms.TextInput(attrs={"data-key": "", "autocomplete": "off", "autocapitalize": "none"}),
            )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        taken: dict[str, str] = {}
        for action in ACTIONS:
            if action not in values:
                continue
            key = values[action] = self.key_of(action, str(values[action]))
            if not key:
                continue
            if key in taken:
                sentence = _("“%(key)s” is already the key of “%(other)s”: choose another.")
                self.add_error(action, sentence % {"key": key.upper(), "other": ACTIONS[taken[key]][1]})
            taken.setdefault(key, action)
        return values

    def key_of(self, action: str, typed: str) -> str:
        if typed.lower() == ENTER.lower() or typed == "⏎":
            if action == "submit":
                return ENTER
            self.add_error(action, _("Enter always submits: choose another key."))
            return ""
        if len(typed) != 1 or not typed.isprintable():
            self.add_error(action, _("A key is one letter, digit or sign, such as “%(key)s”.") % {"key": USUAL[action]})
            return ""
        return typed.lower()

    def bindings(self) -> dict[str, str]:
        """Only what differs from the usual, so that a usual key that changes later changes for everybody else."""
        return {action: key for action, key in self.cleaned_data.items() if key != USUAL[action]}
