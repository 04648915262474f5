"""Kinds of values that operations share, and how a body is read."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja.parser import Parser
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MOST_AT_ONCE = 500
"""Prompts, answers or pairs in one request."""
DEEPEST = 100
LARGEST = 2**63 - 1
"""Of whole numbers: what others can read."""
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What PostgreSQL does not keep: NUL, and halves of surrogate pairs."""


def storable(text: str) -> str:
    if UNSTORABLE.search(text):
        raise ValueError(_("The text contains a character that cannot be kept (NUL or half a character): remove it."))
    return text


Text = Annotated[str, AfterValidator(storable)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
BodyId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
"""An id in a body, where true and "1" are no numbers; in an address everything is a text."""
DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]")


def as_written(moment: object) -> object:
    """Pydantic would take 0.5 for seconds since 1970."""
    if isinstance(moment, str) and not DATE.match(moment):
        raise ValueError(_("Write a time such as 2026-05-01T09:30:00Z."))
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(as_written)]


class Body(BaseModel):
    """What a request says. A key that is not known is refused: misspelt, it would be left out in silence."""

    model_config = ConfigDict(extra="forbid")


class BodyParser(Parser):
    """JSON as the standard has it, without what could not be stored anywhere in it."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            body = json.loads(request.body.decode(), parse_constant=_refuse)
        except UnicodeDecodeError:
            raise ValueError(_("The body is not UTF-8 text.")) from None
        except (ValueError, RecursionError) as error:
            raise ValueError(_("The body is not JSON (%(error)s).") % {"error": error}) from None
        _check(body)
        return body


def _check(value: Any, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise ValueError(_("The body is nested more than %(most)d deep.") % {"most": DEEPEST})
    if isinstance(value, str):
        storable(value)
    elif (isinstance(value, int) and not -LARGEST <= value <= LARGEST) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise ValueError(_("The body contains a number that is too large."))
    elif isinstance(value, dict):
        for key, inner in value.items():
            storable(key)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)


def _refuse(constant: str) -> None:
    raise ValueError(_("%(constant)s is no JSON number") % {"constant": constant})
