"""The door out: judgments leave as preferences, ratings, corrections, and as they were given.

Only what counts leaves: the newest version of each judgment that was not undone. docs/formats.md describes the files.
"""

from annotation.export.lines import FORMATS, FileFormat, lines
from annotation.export.pairs import ORIGINS, Origin, Preference
from annotation.export.preferences import preferences
from annotation.export.records import (
    Correction,
    Ranked,
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
    "Ranked",
    "RatedResponse",
    "RawJudgment",
    "corrections",
    "judgments",
    "lines",
    "preferences",
    "ratings",
]
