"""Parts of a page that are alike are rendered once a process; only what is fresh in them is rendered every time.

    {% kept key %}<h1>{% translate "A title" %}</h1>{% fresh %}{{ page.text }}{% endfresh %}{% endkept %}

`key` names all that the part depends on, but for the language and what is fresh; while it is empty, or what may follow
it is (`{% kept key request.htmx %}`), nothing is kept. What is fresh knows the variables that {% kept %} knows: neither
those of a loop nor those of an {% include … with … %} between the two. Whoever overlooks this learns it at once: what
is fresh is rendered twice when a part is first kept, and a difference is an error.
"""

from __future__ import annotations

import uuid
from contextvars import ContextVar
from typing import NamedTuple

from django import template
from django.template import Context, TemplateSyntaxError
from django.template.base import FilterExpression, Node, NodeList, Parser, Token
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

register = template.Library()

MOST = 1000
"""Forms of one part that a process keeps, of some kilobytes each; then it begins anew."""
PLACE = uuid.uuid4().hex
"""Stands where something fresh goes while a part is rendered to be kept. Nobody can know it, so no text holds it."""


class Part(NamedTuple):
    """What stands around the fresh nodes: one piece more than there are nodes."""

    pieces: list[str]
    fresh: list[FreshNode]


class Recording(NamedTuple):
    fresh: list[FreshNode]
    rendered: list[str]


RECORDING: ContextVar[Recording | None] = ContextVar("RECORDING", default=None)


class FreshNode(Node):
    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist

    def render(self, context: Context) -> SafeString:
        recording = RECORDING.get()
        if recording is None:
            return self.nodelist.render(context)
        recording.fresh.append(self)
        recording.rendered.append(self.now(context))
        return mark_safe(PLACE)

    def now(self, context: Context) -> SafeString:
        """As it is to be seen; what is kept within it is its own affair."""
        token = RECORDING.set(None)
        try:
            return self.nodelist.render(context)
        finally:
            RECORDING.reset(token)


class KeptNode(Node):
    def __init__(self, nodelist: NodeList, conditions: list[FilterExpression]) -> None:
        self.nodelist, self.conditions = nodelist, conditions
        self.parts: dict[tuple[str | None, str], Part] = {}

    def render(self, context: Context) -> SafeString:
        values = [condition.resolve(context) for condition in self.conditions]
        if not all(values) or RECORDING.get() is not None:  # a part of a part is kept with it
            return self.nodelist.render(context)
        key = (get_language(), str(values[0]))
        part = self.parts.get(key)
        if part is None:
            part = self.first(context)
            if len(self.parts) >= MOST:
                self.parts.clear()
            self.parts[key] = part
        seen = [part.pieces[0]]
        for node, piece in zip(part.fresh, part.pieces[1:], strict=True):
            seen += [node.nodelist.render(context), piece]
        return mark_safe("".join(seen))

    def first(self, context: Context) -> Part:
        recording = Recording([], [])
        token = RECORDING.set(recording)
        try:
            pieces = self.nodelist.render(context).split(PLACE)
        finally:
            RECORDING.reset(token)
        if [node.nodelist.render(context) for node in recording.fresh] != recording.rendered:
            raise TemplateSyntaxError("What is fresh depends on variables that {% kept %} does not know.")
        return Part(pieces, recording.fresh)


@register.tag
def kept(parser: Parser, token: Token) -> KeptNode:
    _name, *conditions = token.split_contents()
    if not conditions:
        raise TemplateSyntaxError("{% kept %} needs a key.")
    nodelist = parser.parse(("endkept",))
    parser.delete_first_token()
    return KeptNode(nodelist, [parser.compile_filter(condition) for condition in conditions])


@register.tag
def fresh(parser: Parser, token: Token) -> FreshNode:
    nodelist = parser.parse(("endfresh",))
    parser.delete_first_token()
    return FreshNode(nodelist)
