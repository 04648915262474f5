"""What of a task may change while people are at work on it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from annotation.models import AuditEntry, Task, User, Verb


@transaction.atomic
def change_task(
    task: Task,
    *,
    by: User | None,
    overlap: int | None = None,
    priority: int | None = None,
    is_withdrawn: bool | None = None,
) -> None:
    """Change what is given. Raises ValueError for an overlap below the number of those who judged it or hold it.

    A withdrawn task is lent to nobody any more; what was judged of it stays.
    """
    given: dict[str, Any] = {"overlap": overlap, "priority": priority, "is_withdrawn": is_withdrawn}
    changes = {name: value for name, value in given.items() if value is not None}
    rows = Task.objects.filter(pk=task.pk)
    if overlap is not None and task.control:
        raise ValueError(_("This task measures people: how many get it is not a matter of its overlap."))
    if overlap is not None:
        if overlap < 1:
            raise ValueError(_("At least one person must judge each task: raise the overlap to 1."))
        rows = rows.filter(num_judged__lte=overlap - F("num_leased"))
    if changes and not rows.update(**changes):
        raise ValueError(_("More people have judged or hold this task already: the overlap cannot be so low."))
    if changes:
        AuditEntry.objects.record(Verb.TASKS_CHANGED, by=by, project=task.project, subject=f"task {task.pk}", **changes)
