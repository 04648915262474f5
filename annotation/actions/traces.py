"""Where a person is named in passing: in sentences about a file's lines, in messages to programs, in files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.db.models import F, Value
from django.db.models.functions import Replace

from annotation.actions.imports import UNFINISHED, cancel_import
from annotation.models import Import, ImportProblem, User, WebhookDelivery

PIECE = 1 << 20


def erase_traces(user: User, *, pseudonym: str, by: User) -> None:
    """Files that they sent and that are not in yet are thrown away; sentences and messages name the pseudonym. The
    caller is in a transaction.
    """
    for pk in Import.objects.filter(created_by=user, status__in=UNFINISHED).values_list("pk", flat=True):
        cancel_import(pk, by=by)
    in_sentence = f"“{user.username}”"  # as every sentence about a line quotes a name, in every language
    problems = ImportProblem.objects.filter(sentence__contains=in_sentence)
    problems.update(sentence=Replace(F("sentence"), Value(in_sentence), Value(f"“{pseudonym}”")))
    in_message, instead = (f'"annotator":{json.dumps(name, ensure_ascii=False)}' for name in (user.username, pseudonym))
    told = WebhookDelivery.objects.filter(body__contains=in_message)
    told.update(body=Replace(F("body"), Value(in_message), Value(instead)))


def files_naming(words: Sequence[str], folder: Path) -> Iterator[Path]:
    """The files below a folder in which one of the words stands, small and capital letters alike."""
    wanted = [word.encode().lower() for word in words]
    overlap = max(len(word) for word in wanted) - 1
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and _names(path, wanted, overlap):
            yield path


def _names(path: Path, wanted: Sequence[bytes], overlap: int) -> bool:
    end = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            text = end + piece.lower()
            if any(word in text for word in wanted):
                return True
            end = text[-overlap:] if overlap else b""
    return False
