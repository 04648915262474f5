"""Two answers judged where they were written: prompt, answers, question and judgment come in together, or not at all.

The judgment is kept by the verb that keeps all others, so it counts, leaves and can be undone as they can.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.actions.judging import Judged, judge
from annotation.intake.content import NewResponse, add_prompt, add_responses, add_tasks, comparison_of, lock
from annotation.models import Assignment, Making, Project, Task, User
from annotation.models import Response as Answer
from annotation.standing import locked_standing


class Live(NamedTuple):
    """What became of a pair that somebody judged on the spot."""

    judged: Judged
    task: Task
    left: Answer
    right: Answer


@transaction.atomic
def judge_live(
    project: Project,
    messages: Sequence[Mapping[str, str]],
    *,
    by: User,
    left: NewResponse,
    right: NewResponse,
    strength: int,
    submission_key: uuid.UUID,
    both_bad: bool = False,
    rationale: str = "",
    making: Making | None = None,
) -> Live:
    """Keep what somebody said of two answers that they saw side by side.

    strength: −3 to 3 as on the page: negative when the left one is better, 0 for a tie. making: what holds the new
    tasks together. Where the person judged the very same pair before, that judgment stays (`judged.is_new` is False).
    Raises ValueError for two equal texts and for an answer that will not do, PermissionDenied for who is not at work in
    the project.
    """
    if left.text == right.text:
        raise ValueError(_("Both answers are the same: there is nothing to compare."))
    lock(project)
    locked_standing(by, project)  # before the task's row, in the order of every verb of a person's
    prompt = add_prompt(project, messages)
    first, second = add_responses(prompt, [left, right])
    added = add_tasks(project, [comparison_of(first, second)], overlap=1, priority=0)
    if making and added.created:
        Task.objects.filter(pk__in=added.created).update(making=making)
        Making.objects.filter(pk=making.pk).update(num_tasks=F("num_tasks") + 1)
    task = Task.objects.select_related("project", "prompt", "response_a", "response_b").get(pk=added.ids[0])
    preferred = None if strength == 0 else first if strength < 0 else second
    judged = judge(
        _lend(task, by, is_swapped=first.pk != task.response_a_id), by=by, submission_key=submission_key,
        preferred=preferred, strength=abs(strength), both_bad=both_bad, rationale=rationale,
    )  # fmt: skip
    return Live(judged, task, first, second)


def _lend(task: Task, by: User, *, is_swapped: bool) -> Assignment:
    """The person's place at the task, whatever the queue holds: the overlap grows where there is none left.

    One who has it in hand, or judged it, keeps what they have. The caller holds the membership's lock.
    """
    Task.objects.select_for_update(no_key=True).values_list("pk").get(pk=task.pk)
    found = Assignment.objects.filter(task=task, annotator=by).first()
    if found and found.status in (Assignment.Status.LEASED, Assignment.Status.JUDGED):
        found.task = task
        return found
    now = timezone.now()
    until = now + datetime.timedelta(seconds=task.project.lease_seconds)
    Task.objects.filter(pk=task.pk).update(
        num_leased=F("num_leased") + 1, overlap=Greatest(F("overlap"), F("num_judged") + F("num_leased") + 1)
    )
    values = {"status": Assignment.Status.LEASED, "is_swapped": is_swapped, "leased_at": now, "expires_at": until}
    lent, _is_new = Assignment.objects.update_or_create(task=task, annotator=by, defaults=values)
    lent.task = task
    return lent
