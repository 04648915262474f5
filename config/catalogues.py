"""The languages of the pages: what is to be translated, kept in locale/, and compiled where Django reads it.

    python -m config.catalogues      bring locale/*/LC_MESSAGES/django.po up to date with the code: new texts come in
                                     empty, texts that are gone leave; then fill in what it lists

Texts are found without gettext's own programs, which many machines lack: Python by its syntax tree, templates by
Django's own reader, and the help of a run's settings where the trainer, which knows no Django, describes them.
`compile_all` runs at every start (config/prepare.py) and writes into var/, so that nothing compiled is ever committed.
"""

import ast
import datetime
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

from training.rlhf.config import KINDS, describe

ROOMS = ("annotation", "config", "training", "templates")
MARKS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop", "_lazy"), ("id",)),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), ("id", "plural")),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ("context", "id")),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ("context", "id", "plural")),
    "SettingError": ("id",),
}
"""Calls whose first arguments are texts for people; SettingError is the trainer's own, translated where it is shown."""


class Text(NamedTuple):
    """One text as gettext knows it."""

    id: str
    plural: str = ""
    context: str = ""


def source(locale: str) -> Path:
    return settings.BASE_DIR / "locale" / locale / "LC_MESSAGES" / "django.po"


def locales() -> list[str]:
    """Those of LANGUAGES but the one that the code is written in."""
    return [to_locale(code) for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]


def texts() -> dict[Text, list[str]]:
    """Every text that a person may read, with the files it stands in."""
    found: dict[Text, list[str]] = {}
    for room in ROOMS:
        for file in sorted((settings.BASE_DIR / room).rglob("*")):
            if file.suffix in {".py", ".html", ".txt"} and "migrations" not in file.parts:
                for text in in_python(file) if file.suffix == ".py" else in_template(file):
                    places = found.setdefault(text, [])
                    if (place := file.relative_to(settings.BASE_DIR).as_posix()) not in places:
                        places.append(place)
    for config_class in KINDS.values():
        for setting in describe(config_class):
            found.setdefault(Text(setting.help), ["training/rlhf/config.py"])
    return found


def in_python(file: Path) -> Iterator[Text]:
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Call):
            yield from in_call(node)


def in_template(file: Path) -> Iterator[Text]:
    """Django turns a template into lines of calls; each call is cut out at the bracket that makes it valid Python."""
    lines = templatize(file.read_text(), origin=str(file))
    for start in re.finditer(r"\b(?:n?p?gettext|_)\(", lines):
        for end in re.finditer(r"\)", lines[start.end() :]):
            try:
                node = ast.parse(lines[start.start() : start.end() + end.end()], mode="eval").body
            except SyntaxError:
                continue
            if isinstance(node, ast.Call):
                yield from in_call(node)
            break


def in_call(node: ast.Call) -> Iterator[Text]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    wanted = MARKS.get(name, ())
    values = [
        argument.value
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value
    ]
    if wanted and len(values) >= len(wanted):
        yield Text(**dict(zip(wanted, values, strict=False)))


def new(locale: str) -> Catalog:
    """Empty; the date is fixed, so that a file changes only when its texts do."""
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    dates: dict[str, Any] = {"creation_date": day, "revision_date": day}
    people = {"last_translator": "Plumbline", "language_team": locale, "copyright_holder": "Plumbline"}
    return Catalog(
        locale=locale, project="Plumbline", charset="utf-8", fuzzy=False, header_comment="#", **people, **dates
    )


def read(locale: str) -> Catalog:
    path = source(locale)
    if not path.is_file():
        return new(locale)
    with path.open("rb") as file:
        return read_po(file, locale=locale)


def update(locale: str) -> list[str]:
    """Write the catalogue anew, in the order of the files; returns the texts that still lack a translation."""
    before = read(locale)
    after = new(locale)
    missing = []
    for text, places in sorted(texts().items(), key=lambda item: (item[1][0], item[0])):
        known = before.get(text.id, text.context or None)
        translated = known.string if known and known.string else ""
        if text.plural and isinstance(translated, str):
            translated = (translated,)
        elif not text.plural and not isinstance(translated, str):
            translated = translated[0]
        after.add(
            (text.id, text.plural) if text.plural else text.id,
            translated,
            locations=[(place, 0) for place in places],
            context=text.context or None,
        )
        if not any(translated):
            missing.append(text.id)
    source(locale).parent.mkdir(parents=True, exist_ok=True)
    with source(locale).open("wb") as file:
        write_po(file, after, width=120, include_lineno=False)
    return missing


def compile_all() -> None:
    """Bring what Django reads up to date with locale/: a file that is newer than its source is left alone."""
    for locale in locales():
        compiled = settings.LOCALE_PATHS[0] / locale / "LC_MESSAGES" / "django.mo"
        if compiled.is_file() and compiled.stat().st_mtime > source(locale).stat().st_mtime:
            continue
        compiled.parent.mkdir(parents=True, exist_ok=True)
        beside = compiled.with_name(f"django.{os.getpid()}.new")
        with beside.open("wb") as file:
            write_mo(file, read(locale))
        beside.replace(compiled)


def main() -> None:
    for locale in locales():
        missing = update(locale)
        sys.stdout.write(f"{source(locale)}: {len(missing)} without a translation\n")
        for text in missing:
            sys.stdout.write(f"  {text!r}\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main()
