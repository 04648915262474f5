"""What a file says, line by line, before anything of it is in the database."""

from __future__ import annotations

import dataclasses
import datetime

from annotation.intake.content import NewPrompt, NewResponse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """A judgment in a file. Responses are named by their place in the entry's list."""

    annotator: str = ""
    """Empty: the import itself."""
    is_simulated: bool = False
    preferred: int | None = None
    strength: int | None = None
    both_bad: bool = False
    ratings: dict[str, int] = dataclasses.field(default_factory=dict)
    """Criterion key to value."""
    flags: list[str] = dataclasses.field(default_factory=list)
    rationale: str = ""
    corrections: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    shown_first: int | None = None
    active_seconds: float | None = None
    judged_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One line: a prompt, its responses, and what somebody said of them."""

    prompt: NewPrompt
    responses: list[NewResponse]
    said: Said | None = None
