"""A run comes to its end: its record is closed, webhooks are told, and whoever started it is to be mailed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation.models import Event, Role
from annotation.webhooks import announce
from training.models import ModelVersion, Run, RunMail

TOLD = {Run.Status.SUCCEEDED: Event.RUN_SUCCEEDED, Run.Status.FAILED: Event.RUN_FAILED}
"""Nobody is told of a cancelled run: a person has just stopped it."""


@transaction.atomic
def end_run(run: Run, status: Run.Status, *, held_by: str, error: str = "") -> bool:
    """Close the record of a running run; True when this call did it, False when another worker holds it by now."""
    now = timezone.now()
    changes: dict[str, Any] = {"finished_at": now, "seconds_left": None, "error": error}
    if status in TOLD and _wants_mail(run, status):
        changes["mail_at"] = now
    if not run.move(Run.Status.RUNNING, status, held_by=held_by, **changes):
        return False
    if status in TOLD:
        _announce(run, TOLD[status])
    return True


def _wants_mail(run: Run, status: Run.Status) -> bool:
    """Whether whoever started it has an address, may still see it, and has not chosen otherwise."""
    person = run.created_by
    if person is None or not person.email or not person.is_active:
        return False
    role = run.project.role_of(person)
    if role is None or role < Role.REVIEWER:
        return False
    choice = RunMail.choice_of(person)
    return choice == RunMail.When.ALWAYS or (choice == RunMail.When.FAILED and status == Run.Status.FAILED)


def _announce(run: Run, event: Event) -> None:
    run.project.refresh_from_db(fields=["webhook_events"])  # a run is long: a webhook may be newer than its beginning
    made = ModelVersion.objects.filter(run=run).values_list("name", flat=True).first()
    ended = {"model": made} if event == Event.RUN_SUCCEEDED else {"error": run.error}
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
    by = run.created_by.username if run.created_by else None
    announce(run.project, event, run=run.pk, kind=run.kind, started_by=by, seconds=seconds, **ended)
