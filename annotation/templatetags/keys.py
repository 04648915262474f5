"""A person's own keys, for pages of either side that are worked by one hand."""

from __future__ import annotations

from dataclasses import dataclass

from django import template

from annotation.keys import keys_of, shown
from annotation.models import User

register = template.Library()


@dataclass(frozen=True)
class Keys:
    bindings: dict[str, str]
    """Action to key, for scripts."""
    caps: dict[str, str]
    """The same as printed on key caps."""


@register.simple_tag
def own_keys(user: User) -> Keys:
    bindings = keys_of(user)
    return Keys(bindings, shown(bindings))
