"""Judgments taken out of the count by an admin, and put back.

Nothing is deleted: a voided judgment is kept with the act that voided it. Its place on the task opens again, for
others: the person whose judgment it was has had the task. The locks are the queue's, in the queue's order: the person's
membership first, then the tasks, in the order of their ids, so that two such acts at once wait and never deadlock.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import AuditEntry, Event, Judgment, Membership, Project, Task, User, Verb, Voiding
from annotation.progress import NOBODY, Telling
from annotation.webhooks import announce

PART = 5000
"""Tasks whose judgments one statement changes; in between the page hears how far it is."""

VOID = """
WITH voided AS (
    UPDATE annotation_judgment SET is_current = FALSE, voiding_id = %(voiding)s
    WHERE id IN (SELECT id FROM annotation_judgment WHERE annotator_id = %(annotator)s AND is_current
                 AND task_id = ANY(%(tasks)s) AND created_at >= %(since)s AND created_at < %(until)s)
    RETURNING task_id
)
UPDATE annotation_task SET num_judged = num_judged - 1 FROM voided WHERE annotation_task.id = voided.task_id
"""

# Whose place was taken meanwhile stays out, and so does what the person has judged anew.
RESTORE = """
WITH restored AS (
    UPDATE annotation_judgment judgment SET is_current = TRUE, voiding_id = NULL
    FROM annotation_task task
    WHERE judgment.voiding_id = %(voiding)s AND task.id = judgment.task_id AND task.id = ANY(%(tasks)s)
      AND task.overlap > task.num_judged + task.num_leased
      AND NOT EXISTS (SELECT FROM annotation_judgment newer WHERE newer.is_current
                      AND newer.task_id = judgment.task_id AND newer.annotator_id = judgment.annotator_id)
    RETURNING judgment.task_id
)
UPDATE annotation_task SET num_judged = num_judged + 1 FROM restored WHERE annotation_task.id = restored.task_id
"""

FIRST = datetime.datetime.min.replace(tzinfo=datetime.UTC)
LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)


class Restored(NamedTuple):
    num_restored: int
    num_left: int
    """Kept, but not counted: others have judged, or hold, these tasks in the meantime."""


def voidable(
    project: Project,
    *,
    annotator: User,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> QuerySet[Judgment]:
    """What void_judgments would take out of the count: the preview, and the act, speak of the same rows."""
    found = Judgment.objects.counted().of(annotator).in_project(project)
    return found.filter(created_at__gte=since or FIRST, created_at__lt=until or LAST)


@transaction.atomic
def void_judgments(
    project: Project,
    *,
    annotator: User,
    by: User,
    reason: str,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    telling: Telling = NOBODY,
) -> Voiding:
    """Take the person's judgments in this project out of the count: all, or those from `since` to before `until`.

    Gold tasks and repeats among them are taken out too. Raises ValueError with a sentence when there is no reason, or
    nothing to void.
    """
    if not reason.strip():
        raise ValueError(_("Say why these labels shall not count: whoever asks later reads it."))
    _lock(project, annotator)
    tasks = list(
        Task.objects.select_for_update(no_key=True)
        .filter(pk__in=voidable(project, annotator=annotator, since=since, until=until).values("task"))
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    voiding = Voiding.objects.create(project=project, annotator=annotator, reason=reason.strip(), voided_by=by)
    values: dict[str, Any] = {
        "voiding": voiding.pk,
        "annotator": annotator.pk,
        "since": since or FIRST,
        "until": until or LAST,
    }
    num = sum(_carry_out(VOID, {**values, "tasks": part}) for part in telling.parts(tasks, PART))
    if not num:
        raise ValueError(_("There is nothing to void: no label of that person counts in that time."))
    announce(project, Event.JUDGMENTS_VOIDED, voiding=voiding.pk, annotator=annotator.username, num_judgments=num)
    AuditEntry.objects.record(
        Verb.LABELS_VOIDED, by=by, project=project, about=annotator, num=num, since=since, until=until
    )  # fmt: skip
    return voiding


@transaction.atomic
def restore(voiding: Voiding, *, by: User, telling: Telling = NOBODY) -> Restored:
    """Let the voided judgments count again where their places are still free; the others stay as they are.

    May be repeated, when places have become free again.
    """
    _lock(voiding.project, voiding.annotator)
    judgments = Judgment.objects.filter(voiding=voiding)
    tasks = Task.objects.select_for_update(no_key=True).filter(pk__in=judgments.values("task")).order_by("pk")
    voided = list(tasks.values_list("pk", flat=True))
    num_restored = sum(
        _carry_out(RESTORE, {"voiding": voiding.pk, "tasks": part}) for part in telling.parts(voided, PART)
    )
    voiding.restored_at = timezone.now()
    voiding.save(update_fields=["restored_at"])
    announce(
        voiding.project,
        Event.JUDGMENTS_RESTORED,
        voiding=voiding.pk,
        annotator=voiding.annotator.username,
        num_judgments=num_restored,
        num_left=len(voided) - num_restored,
    )
    AuditEntry.objects.record(
        Verb.LABELS_RESTORED, by=by, project=voiding.project, about=voiding.annotator, num=num_restored
    )
    return Restored(num_restored, len(voided) - num_restored)


def _carry_out(statement: str, values: dict[str, Any]) -> int:
    """Returns how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def _lock(project: Project, annotator: User) -> None:
    """Nothing that the person judges, undoes or claims in this project happens at the same time."""
    Membership.objects.select_for_update(no_key=True).filter(project=project, user=annotator).first()
