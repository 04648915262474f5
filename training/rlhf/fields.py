"""How a setting is declared, checked and described: what config.py is written with. Standard library only."""

import ast
import dataclasses
import difflib
import functools
import inspect
import math
import textwrap
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

Number = int | float


def gettext_noop(text: str) -> str:
    """Marks a text that is translated where it is shown; the trainer itself speaks English."""
    return text


class SettingError(ValueError):
    """What is wrong with a setting, in a sentence that can also be said in another language."""

    def __init__(self, template: str, *, nearest: str = "", **values: Any) -> None:
        self.template, self.nearest, self.values = template, nearest, values
        super().__init__(self.said_in(str))

    def said_in(self, translate: Callable[[str], str]) -> str:
        """The sentence with its values; `translate` turns an English template into another language's (gettext)."""
        sentence = translate(self.template) % self.values
        if not self.nearest:
            return sentence
        return f"{sentence} {translate(DID_YOU_MEAN) % {'nearest': self.nearest}}"


DID_YOU_MEAN = gettext_noop("Did you mean '%(nearest)s'?")
ONE_OF = gettext_noop("%(name)s must be one of %(choices)s, got '%(value)s'.")
TYPES = {
    bool: gettext_noop("%(name)s must be true or false, got %(value)s."),
    str: gettext_noop("%(name)s must be text, got %(value)s."),
    int: gettext_noop("%(name)s must be a whole number, got %(value)s."),
    float: gettext_noop("%(name)s must be a number, got %(value)s."),
}


def bounded(
    default: Number, *, at_least: Number | None = None, above: Number | None = None, at_most: Number | None = None
) -> Any:
    """A number field with its bounds; the same bounds are checked here and drawn in the form."""
    return dataclasses.field(default=default, metadata={"at_least": at_least, "above": above, "at_most": at_most})


def app_filled() -> Any:
    """A place that the web app fills in and a form does not ask for; a person who writes config.json by hand does."""
    return dataclasses.field(default="", metadata={"filled_by": "app"})


@dataclass(frozen=True, kw_only=True)
class FieldHelp:
    """One setting as a form needs it: how to draw it, what it may be, what it means."""

    name: str
    kind: Literal["int", "float", "bool", "str", "choice"]
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    at_least: Number | None = None
    above: Number | None = None
    at_most: Number | None = None
    filled_by_app: bool = False


def describe(config_class: type) -> tuple[FieldHelp, ...]:
    """Every setting of one kind with its help, in the order in which they are written above."""
    help_texts: dict[str, str] = {}
    for ancestor in reversed(config_class.__mro__[:-1]):
        help_texts |= _field_docstrings(ancestor)
    return tuple(_help(field, config_class, help_texts[field.name]) for field in dataclasses.fields(config_class))


def _help(field: "dataclasses.Field[Any]", config_class: type, text: str) -> FieldHelp:
    hint = hints(config_class)[field.name]
    bounds = {key: field.metadata.get(key) for key in ("at_least", "above", "at_most")}
    choices: tuple[str, ...] = typing.get_args(hint)
    return FieldHelp(
        name=field.name,
        kind="choice" if choices else hint.__name__,
        default=field.default,
        help=text,
        choices=choices,
        filled_by_app=field.metadata.get("filled_by") == "app",
        **bounds,
    )


def hints(config_class: type) -> dict[str, Any]:
    return typing.get_type_hints(config_class)


@functools.cache
def _field_docstrings(config_class: Any) -> dict[str, str]:
    """The string under each annotated name of the class's own source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(config_class))).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            assert isinstance(statement.target, ast.Name) and isinstance(following.value, ast.Constant)
            texts[statement.target.id] = inspect.cleandoc(str(following.value.value))
    return texts


def checked(field: "dataclasses.Field[Any]", hint: Any, value: Any) -> Any:
    """The value as its field's type, or ValueError with a sentence."""
    name = field.name
    if choices := typing.get_args(hint):
        if value not in choices:
            raise SettingError(
                ONE_OF, name=name, choices=", ".join(choices), value=value, nearest=nearest(value, choices)
            )
        return value
    if hint in (bool, str):
        if not isinstance(value, hint):
            raise SettingError(TYPES[hint], name=name, value=repr(value))
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingError(TYPES[hint], name=name, value=repr(value))
    if hint is int and value != int(value):
        raise SettingError(TYPES[int], name=name, value=repr(value))
    at_least, above, at_most = (field.metadata.get(key) for key in ("at_least", "above", "at_most"))
    if at_least is not None and value < at_least:
        raise SettingError(
            "%(name)s must be at least %(bound)s, got %(value)s.", name=name, bound=at_least, value=value
        )
    if above is not None and value <= above:
        raise SettingError("%(name)s must be above %(bound)s, got %(value)s.", name=name, bound=above, value=value)
    if at_most is not None and value > at_most:
        raise SettingError("%(name)s must be at most %(bound)s, got %(value)s.", name=name, bound=at_most, value=value)
    return hint(value)


def nearest(given: Any, valid: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(given), list(valid), n=1)
    return close[0] if close else ""
