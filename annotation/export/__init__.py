"""The door out: judgments leave as preferences, ratings, corrections, and as they were given.

Only what counts leaves: the newest version of each judgment that was not undone. docs/formats.md describes the files.
"""

from annotation.export.batches import at_one_moment
from annotation.export.files import CONTENT_TYPES, FILE_TYPES, FileType, check_type, encoded
from annotation.export.layouts import LAYOUTS, Layout
from annotation.export.lines import FORMATS, FileFormat, lines, num_lines
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
    "CONTENT_TYPES",
    "FILE_TYPES",
    "FORMATS",
    "LAYOUTS",
    "ORIGINS",
    "Correction",
    "FileFormat",
    "FileType",
    "Grading",
    "Layout",
    "Origin",
    "Preference",
    "Ranked",
    "RatedResponse",
    "RawJudgment",
    "at_one_moment",
    "check_type",
    "corrections",
    "encoded",
    "judgments",
    "lines",
    "num_lines",
    "preferences",
    "ratings",
]
