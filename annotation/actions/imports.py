"""A file comes in step by step: kept, looked at, started, taken on from where it stopped, or given up.

No worker does it: the page that shows it asks for the next step. Closing the page pauses the import, opening it again
goes on; two pages take turns. A step is one transaction, so that nothing comes in twice or gets lost.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import re
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.intake import Format, ImportReport, Options, Place, read_file
from annotation.intake.content import lock
from annotation.intake.files import FileType
from annotation.intake.importing import Batches, CreateTasks, ahead, announce_finished, settle, take_in
from annotation.models import AuditEntry, Import, ImportProblem, Project, User, Verb
from annotation.uploads import keep, path_of

STEP_SECONDS = 1.5
"""How long a step takes in records before it answers; the last batch may take it a little beyond."""
COUNTS = ("num_lines", "num_prompts", "num_responses", "num_tasks", "num_judgments", "num_known_judgments", "num_golds")

KEEP_FOR = datetime.timedelta(days=7)
"""How long a file waits for its next step."""
ORPHANED_AFTER = datetime.timedelta(hours=1)
"""How long a file may lie there before its import is written down."""
UNFINISHED = (Import.Status.UPLOADED, Import.Status.RUNNING)
KEY = re.compile("[0-9a-f]{32}")
"""What a kept file is called."""


def keep_upload(project: Project, upload: UploadedFile[Any], *, by: User | None) -> Import:
    """Raises ValueError with a sentence for a file that cannot be read at all."""
    name = Path(upload.name or "").name[:200] or "file"
    kept = keep(upload)
    try:
        return project.imports.create(
            created_by=by,
            name=name,
            key=kept.key,
            file_type=kept.file_type,
            size=kept.size,
            source=name.split(".")[0][:190] or "file",
        )
    except BaseException:
        path_of(kept.key).unlink(missing_ok=True)
        raise


@transaction.atomic
def start_import(pk: int, *, by: User | None, **chosen: Any) -> Import:
    """Set how the file is read and let it run. One that runs already, or is over, stays as it is."""
    row = Import.objects.select_for_update(of=("self",)).select_related("project").get(pk=pk)
    if row.status == Import.Status.UPLOADED:
        for name, value in chosen.items():
            setattr(row, name, value)
        row.status = Import.Status.RUNNING
        row.save()
        AuditEntry.objects.record(
            Verb.IMPORTED, by=by, project=row.project, subject=f"import {row.pk}", format=row.format, size=row.size
        )
    return row


def take_step(pk: int, *, by: User | None, seconds: float = STEP_SECONDS) -> Import:
    """Take in what follows, for about so long. Does nothing while another page is at it, or when it does not run."""
    with transaction.atomic():
        running = Import.objects.select_for_update(skip_locked=True, of=("self",)).select_related("project")
        row = running.filter(pk=pk, status=Import.Status.RUNNING).first()
        if row is not None:
            _go_on(row, by=by, until=time.monotonic() + seconds)
            return row
    return Import.objects.select_related("project").get(pk=pk)


def _go_on(row: Import, *, by: User | None, until: float) -> None:
    """The caller holds the import's row."""
    report, options = ImportReport(), options_of(row)
    with contextlib.suppress(FileNotFoundError):
        os.utime(path_of(row.key))  # for prune_uploads()
    lock(row.project)
    is_over = True
    with _file_of(row) as file:
        records = read_file(file, cast(FileType, row.file_type), Place(row.offset, row.line))
        with contextlib.closing(ahead(Batches(row.project, records, options))) as batches:
            for batch in batches:
                take_in(row.project, batch, report, options, by=by)
                row.offset, row.line = min(batch.after.offset, row.size), batch.after.line
                if time.monotonic() > until:
                    is_over = row.offset >= row.size
                    break
    for name in COUNTS:
        setattr(row, name, getattr(row, name) + getattr(report, name))
    settle(row.num_tasks if is_over else report.num_tasks, is_over=is_over)
    row.num_problems += len(report.errors)
    ImportProblem.objects.bulk_create(
        ImportProblem(of=row, line=error.line, sentence=error.sentence) for error in report.errors
    )
    if is_over:
        _finish(row, Import.Status.DONE)
    row.save()


def _file_of(row: Import) -> BinaryIO:
    """What is gone from the disk is an empty rest: with a sentence, and an end."""
    try:
        return path_of(row.key).open("rb")
    except OSError:
        ImportProblem.objects.create(
            of=row, line=row.line + 1, sentence=_("The file is gone from the server: upload it again.")
        )
        row.num_problems += 1
        row.file_type, row.offset = "jsonl", row.size
        return io.BytesIO()


@transaction.atomic
def cancel_import(pk: int, *, by: User | None) -> Import:
    """What came in stays; the rest of the file is thrown away."""
    row = Import.objects.select_for_update(of=("self",)).select_related("project").get(pk=pk)
    if row.status in UNFINISHED:
        _finish(row, Import.Status.CANCELLED)
        row.save()
        AuditEntry.objects.record(Verb.IMPORT_CANCELLED, by=by, project=row.project, subject=f"import {row.pk}")
    return row


def prune_uploads() -> int:
    """Throw away the files that nobody needs any more; returns how many. Run by the scheduler.

    A file's time is that of its last step. One that rests for KEEP_FOR is given up: what came in of it stays. One that
    no import speaks of, because its project is gone or its upload broke off, goes after ORPHANED_AFTER.
    """
    now, folder, num = time.time(), Path(settings.UPLOADS_DIR), 0
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            rested = now - path.stat().st_mtime
        except FileNotFoundError:  # thrown away meanwhile
            continue
        if rested > ORPHANED_AFTER.total_seconds():
            num += _prune(path, is_too_old=rested > KEEP_FOR.total_seconds())
    return num


@transaction.atomic
def _prune(path: Path, *, is_too_old: bool) -> bool:
    imports = Import.objects.filter(key=path.name, status__in=UNFINISHED) if KEY.fullmatch(path.name) else None
    if imports is None or not imports.exists():
        path.unlink(missing_ok=True)
        return True
    row = imports.select_related("project").select_for_update(skip_locked=True, of=("self",)).first()
    if row is None or not is_too_old:
        return False
    _finish(row, Import.Status.CANCELLED)
    row.save()
    return True


def _finish(row: Import, status: Import.Status) -> None:
    """A file thrown away before it ran is nobody's news; one stopped on its way is: what came in stays."""
    if row.status == Import.Status.RUNNING:
        announce_finished(row.project, row, num_bad=row.num_problems, is_whole=status == Import.Status.DONE)
    row.status, row.finished_at = status, timezone.now()
    key = row.key
    transaction.on_commit(lambda: path_of(key).unlink(missing_ok=True))


def options_of(row: Import) -> Options:
    return Options(
        source=row.source or row.name,
        format=cast(Format, row.format),
        create_tasks=cast(CreateTasks, row.create_tasks),
        overlap=row.overlap,
        priority=row.priority,
        mapping=row.mapping,
    )
