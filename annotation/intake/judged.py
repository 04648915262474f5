"""Judgments from files: each by an annotator, on a task, once, and within the task's overlap."""

from __future__ import annotations

import dataclasses
import datetime
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.controls import make_repeats
from annotation.intake.annotators import AnnotatorName
from annotation.intake.content import Answer, NewTask
from annotation.intake.copying import copy_rows, reserve_ids
from annotation.intake.entries import Said
from annotation.models import Assignment, Judgment, Project, Rank, Rating, Response, Task, User


class SaidOfTask(NamedTuple):
    """A judgment of a file, beside the rows it speaks of."""

    line: int
    task_id: int
    responses: list[Answer]
    said: Said

    @property
    def preferred(self) -> int | None:
        return None if self.said.preferred is None else self.responses[self.said.preferred].id

    @property
    def is_swapped(self) -> bool:
        """Whether the response of the higher id was shown first. An order that the file does not tell is drawn, so that
        it speaks neither for nor against a side.
        """
        if len(self.responses) != 2:
            return False
        first = self.said.shown_first if self.said.shown_first is not None else random.randrange(2)
        return self.responses[first].id > self.responses[1 - first].id

    @property
    def order(self) -> list[int]:
        """A ranking's responses as they were shown, drawn likewise where the file does not tell."""
        if len(self.responses) < 3:
            return []
        places = self.said.shown or random.sample(range(len(self.responses)), len(self.responses))
        return [self.responses[place].id for place in places]

    @property
    def ranks(self) -> dict[int, int]:
        """Response id to place."""
        return {response.id: rank for response, rank in zip(self.responses, self.said.ranks, strict=False)}


JUDGMENT = (
    *("id", "assignment_id", "task_id", "annotator_id", "created_at", "submission_key", "preferred_id"),
    *("strength", "both_bad", "flags", "rationale", "reasons", "active_seconds"),
)
"""The columns a file's judgment fills."""


@dataclasses.dataclass
class Kept:
    num_new: int = 0
    num_known: int = 0
    errors: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    """Line, sentence."""


class _Row(NamedTuple):
    """A judgment that will be created, and who gave it."""

    item: SaidOfTask
    annotator_id: int
    ratings: dict[int, int]
    """Criterion id to value."""


def check_ratings(said: Said, criteria: Mapping[str, int]) -> None:
    """Raise ValueError for a rating that the project's criteria (key to the scale's last step) do not know."""
    for key, value in said.ratings.items():
        if key not in criteria:
            raise ValueError(_("The project has no criterion “%(key)s”: add it first.") % {"key": key})
        if said.scales.get(key, criteria[key]) != criteria[key]:
            raise ValueError(
                _("“%(key)s” has %(ours)d steps in the project and %(theirs)d in the file.")
                % {"key": key, "ours": criteria[key], "theirs": said.scales[key]}
            )
        if not 1 <= value <= criteria[key]:
            raise ValueError(_("“%(key)s” goes from 1 to %(most)d.") % {"key": key, "most": criteria[key]})


def num_judged(judgments: Iterable[tuple[NewTask, Said]], annotators: Mapping[AnnotatorName, User]) -> Counter[NewTask]:
    """How many judgments a task gets of these if it is new: one a person, repeats apart."""
    given = {(task, annotators[said.name].pk) for task, said in judgments if not said.is_repeat}
    return Counter(task for task, _annotator in given)


def keep_judgments(
    project: Project,
    items: Sequence[SaidOfTask],
    *,
    annotators: Mapping[AnnotatorName, User],
    new_tasks: Collection[int] = (),
) -> Kept:
    """Keep what the annotators of a file said. The caller holds the project's lock, in a transaction.

    A task's overlap grows where the file brings more judgments than it has places. new_tasks: those that nobody can
    have been given yet, and which count these judgments already (num_judged).
    """
    kept = Kept()
    if not items:
        return kept
    items = _on_repeats(items, annotators)
    known_tasks = {item.task_id for item in items}.difference(new_tasks)
    # Locked in one order, so that two imports and the queue never wait for each other in a circle.
    locked = Task.objects.select_for_update(no_key=True).filter(pk__among=known_tasks)
    list(locked.order_by("pk").values_list("pk"))
    rows = _new_rows(project, items, annotators, kept, known_tasks=known_tasks)
    _create(rows)
    _raise_counters(Counter(row.item.task_id for row in rows if row.item.task_id not in new_tasks))
    kept.num_new = len(rows)
    return kept


def _on_repeats(items: Sequence[SaidOfTask], annotators: Mapping[AnnotatorName, User]) -> list[SaidOfTask]:
    """What was said of a task for the second time belongs to the repeat of it, and is no second vote."""
    wanted = {(item.task_id, annotators[item.said.name].pk) for item in items if item.said.is_repeat}
    if not wanted:
        return list(items)
    make_repeats(wanted)
    repeats = Task.objects.filter(repeat_of__among={task_id for task_id, _annotator in wanted})
    ids = {(row[0], row[1]): row[2] for row in repeats.values_list("repeat_of_id", "reserved_for_id", "pk")}
    return [
        item._replace(task_id=ids[item.task_id, annotators[item.said.name].pk]) if item.said.is_repeat else item
        for item in items
    ]


def _raise_counters(num_judged: Counter[int]) -> None:
    """Task id to the number of its new judgments; one statement for all tasks with the same number."""
    by_num: dict[int, list[int]] = defaultdict(list)
    for task_id, num in num_judged.items():
        by_num[num].append(task_id)
    for num, task_ids in by_num.items():
        Task.objects.filter(pk__among=task_ids).update(
            num_judged=F("num_judged") + num,
            overlap=Greatest(F("overlap"), F("num_judged") + F("num_leased") + num),
        )


def _new_rows(
    project: Project,
    items: Sequence[SaidOfTask],
    annotators: Mapping[AnnotatorName, User],
    kept: Kept,
    *,
    known_tasks: Collection[int],
) -> list[_Row]:
    """The judgments that are new; the others are counted, or refused with a sentence."""
    criteria = dict(project.criteria.values_list("key", "pk"))
    ids = {annotator.pk for annotator in annotators.values()}
    known = _known(known_tasks, ids) if known_tasks else {}
    lent = set(
        Assignment.objects.filter(task__among=known_tasks, annotator__among=ids).values_list("task_id", "annotator_id")
        if known_tasks
        else ()
    )
    rows = []
    for item in items:
        annotator = annotators[item.said.name]
        key = item.task_id, annotator.pk
        ratings = {criteria[name]: value for name, value in item.said.ratings.items()}
        values = item.preferred, item.said.strength, frozenset(ratings.items()), frozenset(item.ranks.items())
        if known.get(key) == values:
            kept.num_known += 1
        elif key in known:
            kept.errors.append((item.line, _("“%(name)s” judged this already, and otherwise.") % {"name": annotator}))
        elif key in lent:
            kept.errors.append((item.line, _("“%(name)s” was given this task here.") % {"name": annotator}))
        else:
            known[key] = values
            rows.append(_Row(item, annotator.pk, ratings))
    return rows


def _known(task_ids: Collection[int], annotators: Collection[int]) -> dict[tuple[int, int], object]:
    """(task id, annotator id) → what was said, for the judgments that are there."""
    judgments = (
        Judgment.objects.counted()
        .filter(task__among=task_ids, annotator__among=annotators)
        .prefetch_related("ratings", "ranks")
    )
    return {
        (judgment.task_id, judgment.annotator_id): (
            judgment.preferred_id,
            judgment.strength,
            frozenset((rating.criterion_id, rating.value) for rating in judgment.ratings.all()),
            frozenset((rank.response_id, rank.rank) for rank in judgment.ranks.all()),
        )
        for judgment in judgments
    }


def _create(rows: list[_Row]) -> None:
    now, judged = timezone.now(), Assignment.Status.JUDGED.value
    moments = [row.item.said.judged_at or now for row in rows]
    assignment_ids, judgment_ids = reserve_ids(Assignment, len(rows)), reserve_ids(Judgment, len(rows))
    copy_rows(
        Assignment,
        ("id", "leased_at", "expires_at", "task_id", "annotator_id", "status", "is_swapped", "order"),
        (
            (pk, moment, moment, row.item.task_id, row.annotator_id, judged, row.item.is_swapped, row.item.order)
            for pk, row, moment in zip(assignment_ids, rows, moments, strict=True)
        ),
    )
    copy_rows(
        Judgment,
        JUDGMENT,
        (
            _judgment(pk, assignment_id, row, moment)
            for pk, assignment_id, row, moment in zip(judgment_ids, assignment_ids, rows, moments, strict=True)
        ),
    )
    _create_ratings(judgment_ids, rows)
    _create_ranks(judgment_ids, rows)
    _create_corrections(judgment_ids, rows)


def _judgment(pk: int, assignment_id: int, row: _Row, moment: datetime.datetime) -> tuple[Any, ...]:
    """The values of a judgment, in the order of JUDGMENT."""
    said = row.item.said
    return (
        *(pk, assignment_id, row.item.task_id, row.annotator_id, moment, uuid.uuid4(), row.item.preferred),
        *(said.strength, said.both_bad, said.flags, said.rationale, said.reasons, said.active_seconds),
    )


def _create_ratings(judgment_ids: list[int], rows: list[_Row]) -> None:
    values = [
        (judgment_id, row.item.responses[0].id, criterion_id, value)
        for judgment_id, row in zip(judgment_ids, rows, strict=True)
        for criterion_id, value in row.ratings.items()
    ]
    ids = reserve_ids(Rating, len(values))
    copy_rows(
        Rating,
        ("id", "judgment_id", "response_id", "criterion_id", "value"),
        ((pk, *value) for pk, value in zip(ids, values, strict=True)),
    )


def _create_ranks(judgment_ids: list[int], rows: list[_Row]) -> None:
    values = [
        (judgment_id, response_id, rank)
        for judgment_id, row in zip(judgment_ids, rows, strict=True)
        for response_id, rank in row.item.ranks.items()
    ]
    copy_rows(
        Rank,
        ("id", "judgment_id", "response_id", "rank"),
        ((pk, *value) for pk, value in zip(reserve_ids(Rank, len(values)), values, strict=True)),
    )


def _create_corrections(judgment_ids: list[int], rows: list[_Row]) -> None:
    """Rare: each is a response of its own, linked to its judgment."""
    corrected = [
        (judgment_id, _correction(row, original=row.item.responses[number], text=text))
        for judgment_id, row in zip(judgment_ids, rows, strict=True)
        for number, text in row.item.said.corrections
    ]
    Response.objects.bulk_create(correction for _judgment_id, correction in corrected)
    links = Judgment.corrections.through
    links.objects.bulk_create(
        links(judgment_id=judgment_id, response_id=correction.pk) for judgment_id, correction in corrected
    )


def _correction(row: _Row, *, original: Answer, text: str) -> Response:
    return Response(
        prompt_id=original.prompt_id,
        text=text,
        source=Response.CORRECTION,
        content_hash=Response.hash_of(text),
        parent_id=original.id,
        author_id=row.annotator_id,
    )
