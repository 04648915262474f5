"""A line of JSON becomes an object, or a ValueError with a sentence for the person who sent it."""

from __future__ import annotations

import re
from typing import Any

import orjson
from django.utils.translation import gettext as _

LONGEST_LINE = 4_000_000
"""Bytes; a longer line is a file of another kind (a JSON array, a binary), not a conversation."""
ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL character as JSON writes it; the six characters \\u0000 of a program's text are none."""


def parse_line(raw: str | bytes) -> dict[str, Any]:
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(data) > LONGEST_LINE:
        raise ValueError(too_long())
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\\u0000" in data and ESCAPED_NUL.search(data):
        raise ValueError(_("The text contains a character that cannot be kept (NUL): remove it."))
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(_sentence(data, error)) from None
    if not isinstance(row, dict):
        raise ValueError(_("The line is not a JSON object: give one {…} a line (JSONL), not a list."))
    return row


def too_long() -> str:
    return _("The line is longer than %(most)d characters: give one object a line.") % {"most": LONGEST_LINE}


def _sentence(data: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return _("The line is not UTF-8 text: save the file as UTF-8.")
    if "surrogate" in error.msg:
        return _("The text contains half a character (a lone surrogate): remove it.")
    constant = re.match(r"NaN|Infinity", error.doc[error.pos :])
    if constant:
        return _("%(constant)s is no JSON number: write null.") % {"constant": constant[0]}
    wrong = f"{error.msg}, character {error.colno}"
    return _("The line is not JSON (%(error)s).") % {"error": wrong}


def refuse_unstorable(row: dict[str, Any]) -> None:
    """PostgreSQL keeps neither NUL characters nor halves of surrogate pairs, JSON no NaN. Raises ValueError."""
    try:
        data = orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, RecursionError) as error:
        if "surrogate" in str(error):
            raise ValueError(_("The text contains half a character (a lone surrogate): remove it.")) from None
        raise ValueError(_("The entry holds what cannot be kept (%(error)s).") % {"error": error}) from None
    if b"\\u0000" in data and ESCAPED_NUL.search(data):
        raise ValueError(_("The text contains a character that cannot be kept (NUL): remove it."))
