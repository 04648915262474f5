"""Single values of a line, each checked: a wrong one is a ValueError that names its key."""

from __future__ import annotations

import datetime
from typing import Any

from django.utils.translation import gettext as _


def text_of(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(_("“%(key)s” must be a text.") % {"key": key})
    return value


def short(text: str, key: str, most: int = 200) -> str:
    if len(text) > most:
        raise ValueError(_("“%(key)s” is longer than %(most)d characters.") % {"key": key, "most": most})
    return text


def flag_of(row: dict[str, Any], key: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(_("“%(key)s” must be true or false.") % {"key": key})
    return value


def external_id_of(row: dict[str, Any]) -> str:
    value = row.get("prompt_id", row.get("id", ""))
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(_("“id” must be a text or a number."))
    return short(str(value), "id")


def metadata_of(row: dict[str, Any], used: set[str]) -> dict[str, Any]:
    """What else the line says in single values, and its “metadata” object: kept, shown to nobody who labels."""
    extra = {key: value for key, value in row.items() if key not in used and isinstance(value, str | int | float)}
    nested = row.get("metadata")
    return {**extra, **nested} if isinstance(nested, dict) else extra


def seconds_of(row: dict[str, Any]) -> float | None:
    seconds = row.get("active_seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        raise ValueError(_("“active_seconds” must be a number, 0 or more."))
    return float(seconds)


def moment_of(row: dict[str, Any]) -> datetime.datetime | None:
    text = text_of(row, "judged_at")
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_("“judged_at” must be a time such as 2026-05-01T09:30:00+00:00.")) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
