"""The door out: judgments leave as preferences, ratings, corrections, and as they were given.

Only what counts leaves: the newest version of each judgment that was not undone. docs/formats.md describes the files.
"""

from annotation.export.lines import FORMATS, FileFormat, lines
from annotation.export.preferences import ORIGINS, Origin, Preference, preferences
from annotation.export.records import (
    Correction,
    RatedResponse,
    RawJudgment,
    corrections,
    judgments,
    ratings,
)
from annotation.export.targets import Grading

__all__ = [
    "FORMATS",
    "ORIGINS",
    "Correction",
    "FileFormat",
    "Grading",
    "Origin",
    "Preference",
    "RatedResponse",
    "RawJudgment",
    "corrections",
    "judgments",
    "lines",
    "preferences",
    "ratings",
]
