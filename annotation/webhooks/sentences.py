"""What went wrong with a webhook, kept without a language: whoever reads it gets it in theirs."""

from __future__ import annotations

from typing import Any, NamedTuple

from annotation.models.programs import in_words


class Sentence(NamedTuple):
    """text: as in the source code (gettext_noop), with named places for the values, which JSON can hold."""

    text: str = ""
    values: dict[str, Any] = {}

    def __str__(self) -> str:
        """In the language of now."""
        return in_words(self.text, self.values)


class Refused(ValueError):
    """An address that will not do."""

    def __init__(self, text: str, **values: Any) -> None:
        self.sentence = Sentence(text, values)
        super().__init__(text, values)

    def __str__(self) -> str:
        return str(self.sentence)
