"""The scale of a comparison with the person's own keys, for pages of the training side that ask as tasks do."""

from __future__ import annotations

import dataclasses

from django import template
from django.template import Context
from django.utils.functional import Promise

from annotation import keys
from annotation.forms.task import SCALE

register = template.Library()
CHOICES = tuple(f"choice_{number}" for number in range(1, 8))
SHOWN = ("tie", "both_bad", "why", "submit", "keys")
"""Beside the choices, what the keys do on such a page."""


@dataclasses.dataclass(frozen=True)
class Scale:
    bindings: dict[str, str]
    """Action to key, for keys.js."""
    caps: dict[str, str]
    steps: list[tuple[str, str | Promise, str]]
    """(value, words, key cap) of each step."""
    key_list: list[tuple[str, str]]
    """(key cap, what the key does)."""


@register.simple_tag(takes_context=True)
def comparison_scale(context: Context) -> Scale:
    bindings = keys.keys_of(context["request"].user)
    caps = keys.shown(bindings)
    names = (*CHOICES, "both_bad")
    return Scale(
        bindings={action: key for action, key in bindings.items() if action in (*CHOICES, *SHOWN)},
        caps=caps,
        steps=[(value, words, caps[name]) for (value, words), name in zip(SCALE, names, strict=True)],
        key_list=[(caps[action], str(keys.ACTIONS[action][1])) for action in SHOWN],
    )
