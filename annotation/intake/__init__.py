"""The door in: prompts, responses, tasks and judgments, from files, programs or a trained policy.

Everything comes in once however often it is sent. docs/formats.md describes the files.
"""

from annotation.intake.content import (
    NewResponse,
    add_answered_prompts,
    add_comparisons,
    add_prompt,
    add_ratings,
    add_responses,
    lock,
)
from annotation.intake.files import FILE_TYPES, FileType, detect_type, opened, read_file
from annotation.intake.formats import FORMATS, Format
from annotation.intake.importing import CreateTasks, ImportReport, LineError, Options, import_lines, import_records
from annotation.intake.records import Place, Record, read_jsonl

__all__ = [
    "FILE_TYPES",
    "FORMATS",
    "CreateTasks",
    "FileType",
    "Format",
    "ImportReport",
    "LineError",
    "NewResponse",
    "Options",
    "Place",
    "Record",
    "add_answered_prompts",
    "add_comparisons",
    "add_prompt",
    "add_ratings",
    "add_responses",
    "detect_type",
    "import_lines",
    "import_records",
    "lock",
    "opened",
    "read_file",
    "read_jsonl",
]
