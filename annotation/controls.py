"""Tasks that measure people: gold tasks, whose right answer is known, and repeats of what a person judged before.

The queue mixes them in between the others (annotation/queue.py); they count in no progress, agreement or preference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from annotation.models import Gold, Task

MAKE_REPEATS = """
WITH asked AS (
    SELECT first.id, first.candidate_ids, wanted.annotator_id
    FROM unnest(%(tasks)s::bigint[], %(annotators)s::bigint[]) AS wanted (task_id, annotator_id)
    JOIN annotation_task first ON first.id = wanted.task_id
), made AS (
    INSERT INTO annotation_task (
        project_id, prompt_id, kind, response_a_id, response_b_id, candidate_ids, making_id, priority,
        control, repeat_of_id, reserved_for_id, overlap, num_judged, num_leased, is_withdrawn, created_at
    )
    SELECT first.project_id, first.prompt_id, first.kind, first.response_a_id, first.response_b_id, first.candidate_ids,
        %(making)s, 0, 'repeat', first.id, asked.annotator_id, 1, 0, 0, FALSE, now()
    FROM asked JOIN annotation_task first ON first.id = asked.id
    ON CONFLICT DO NOTHING
    RETURNING id, candidate_ids
), candidates AS (
    INSERT INTO annotation_candidate (task_id, response_id) SELECT id, unnest(candidate_ids) FROM made
)
SELECT count(*) FROM made
"""


def make_repeats(task_and_annotator: Collection[tuple[int, int]], *, making: int | None = None) -> int:
    """Ask these people these tasks once more; returns how many repeats are new: each is made once."""
    values = {
        "tasks": [task for task, _annotator in task_and_annotator],
        "annotators": [annotator for _task, annotator in task_and_annotator],
        "making": making,
    }
    with connection.cursor() as cursor:
        cursor.execute(MAKE_REPEATS, values)
        return int(cursor.fetchone()[0])


def make_gold(golds: Sequence[Gold]) -> int:
    """Keep right answers, unsaved rows with their task, and make gold tasks of these; returns how many are new.

    What people said of such a task so far counts as an answer to a gold task from now on, and is no vote any more. A
    task that has its right answer already, and a repeat, are left as they are.
    """
    with transaction.atomic():
        tasks = Task.objects.filter(pk__among={gold.task_id for gold in golds}).exclude(control=Task.Control.REPEAT)
        known = set(tasks.filter(gold__isnull=False).values_list("pk", flat=True))
        allowed = set(tasks.order_by("pk").select_for_update(of=["self"], no_key=True).values_list("pk", flat=True))
        missing = {gold.task_id: gold for gold in golds if gold.task_id in allowed - known}
        Gold.objects.bulk_create(missing.values())
        Task.objects.filter(pk__among=missing).update(control=Task.Control.GOLD, overlap=Task.EVERYBODY)
    return len(missing)


@transaction.atomic
def unmake_gold(task: Task) -> None:
    """The task is a question like any other again: what people said of it are votes."""
    Gold.objects.filter(task=task).delete()
    Task.objects.filter(pk=task.pk, control=Task.Control.GOLD).update(
        control="", overlap=Greatest(task.project.overlap, F("num_judged") + F("num_leased"))
    )


def check_gold(gold: Gold, task: Task) -> None:
    """Raise ValueError with a sentence when this cannot be the right answer of the task."""
    if task.control == Task.Control.REPEAT:
        raise ValueError(_("A repeat cannot be a gold task: choose the task that it repeats."))
    if task.kind == Task.Kind.RATING:
        if gold.preferred_id is not None:
            raise ValueError(_("The right answer to a rating is a range of values, no preference."))
        check_ranges(gold.ratings, dict(task.project.criteria.values_list("key", "scale_max")))
        return
    if gold.ratings:
        raise ValueError(_("Only the right answer to a rating has values."))
    if task.kind == Task.Kind.RANKING and gold.preferred_id is None:
        raise ValueError(_("The right answer to a ranking is the one that is best."))
    answers = {*task.candidate_ids, task.response_a_id, task.response_b_id}
    if gold.preferred_id is not None and gold.preferred_id not in answers:
        raise ValueError(_("The right answer does not belong to this task."))


def check_ranges(ratings: Mapping[str, Any], criteria: Mapping[str, int]) -> None:
    """ratings: criterion key to [lowest, highest] right value; criteria: key to the scale's last step."""
    if not ratings:
        raise ValueError(_("Say for at least one criterion which values are right."))
    for key, (low, high) in ratings.items():
        if key not in criteria:
            raise ValueError(_("The project has no criterion “%(key)s”: add it first.") % {"key": key})
        if not 1 <= low <= high <= criteria[key]:
            sentence = _("“%(key)s” goes from 1 to %(most)d, the lowest right value first.")
            raise ValueError(sentence % {"key": key, "most": criteria[key]})


def is_right(gold: Gold, *, preferred: int | None, ratings: Mapping[str, float], best: Collection[int]) -> bool:
    """Whether an answer is the right one: the side of a comparison, every rated range, or the one best of a ranking.

    ratings: criterion key to value; best: the ids of the responses in a ranking's first place.
    """
    if gold.ratings:
        return all(low <= ratings.get(key, 0) <= high for key, (low, high) in gold.ratings.items())
    return set(best) == {gold.preferred_id} if best else preferred == gold.preferred_id
