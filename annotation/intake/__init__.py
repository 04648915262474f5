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
)
from annotation.intake.formats import Format
from annotation.intake.importing import CreateTasks, ImportReport, LineError, import_lines

__all__ = [
    "CreateTasks",
    "Format",
    "ImportReport",
    "LineError",
    "NewResponse",
    "add_answered_prompts",
    "add_comparisons",
    "add_prompt",
    "add_ratings",
    "add_responses",
    "import_lines",
]
