"""Judgments from files: each by an annotator, on a task, once, and within the task's overlap.

An annotator of a file is a member of the project with that name, else a user made for the import, who cannot log in.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.contrib.auth.hashers import make_password
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotation.intake.formats import Said
from annotation.models import Assignment, Judgment, Project, Rating, Response, Task, User

AnnotatorName = tuple[str, bool]
"""Name in the file (empty: the import itself), is_simulated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SaidOfTask:
    """A judgment of a file, beside the rows it speaks of."""

    line: int
    task: Task
    responses: list[Response]
    said: Said

    @property
    def name(self) -> AnnotatorName:
        return self.said.annotator, self.said.is_simulated

    @property
    def preferred(self) -> Response | None:
        return None if self.said.preferred is None else self.responses[self.said.preferred]


@dataclasses.dataclass
class Kept:
    num_new: int = 0
    num_known: int = 0
    errors: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    """Line, sentence."""


@dataclasses.dataclass(frozen=True)
class _Row:
    """A judgment that will be created, and what belongs to it."""

    item: SaidOfTask
    judgment: Judgment
    ratings: list[Rating]


def check_ratings(said: Said, criteria: Mapping[str, int]) -> None:
    """Raise ValueError for a rating that the project's criteria (key to the scale's last step) do not know."""
    for key, value in said.ratings.items():
        if key not in criteria:
            raise ValueError(_("The project has no criterion “%(key)s”: add it first.") % {"key": key})
        if not 1 <= value <= criteria[key]:
            raise ValueError(_("“%(key)s” goes from 1 to %(most)d.") % {"key": key, "most": criteria[key]})


def keep_judgments(project: Project, items: Sequence[SaidOfTask], *, source: str) -> Kept:
    """Keep what the annotators of a file said. The caller holds the project's lock, in a transaction.

    A task's overlap grows where the file brings more judgments than it has places.
    """
    kept = Kept()
    if not items:
        return kept
    # Locked in one order, so that two imports and the queue never wait for each other in a circle.
    locked = Task.objects.select_for_update(no_key=True).filter(pk__in={item.task.pk for item in items})
    list(locked.order_by("pk").values_list("pk"))
    annotators = _annotators(project, {item.name for item in items}, source=source)
    rows = list(_new_rows(project, items, annotators, kept))
    _create(rows)
    _raise_counters(Counter(row.item.task.pk for row in rows))
    kept.num_new = len(rows)
    return kept


def _raise_counters(num_judged: Counter[int]) -> None:
    """Task id to the number of its new judgments; one statement for all tasks with the same number."""
    by_num: dict[int, list[int]] = defaultdict(list)
    for task_id, num in num_judged.items():
        by_num[num].append(task_id)
    for num, task_ids in by_num.items():
        Task.objects.filter(pk__in=task_ids).update(
            num_judged=F("num_judged") + num,
            overlap=Greatest(F("overlap"), F("num_judged") + F("num_leased") + num),
        )


def _new_rows(
    project: Project, items: Sequence[SaidOfTask], annotators: dict[AnnotatorName, User], kept: Kept
) -> Iterator[_Row]:
    """The judgments that are new; the others are counted, or refused with a sentence."""
    criteria = {criterion.key: criterion for criterion in project.criteria.all()}
    known = _known([item.task.pk for item in items], annotators.values())
    lent = set(
        Assignment.objects.filter(
            task__in={item.task.pk for item in items}, annotator__in=annotators.values()
        ).values_list("task_id", "annotator_id")
    )
    for item in items:
        annotator = annotators[item.name]
        key = item.task.pk, annotator.pk
        ratings = [
            Rating(criterion=criteria[name], response=item.responses[0], value=value)
            for name, value in item.said.ratings.items()
        ]
        preferred = item.preferred
        values = (
            preferred.pk if preferred else None,
            item.said.strength,
            frozenset((rating.criterion_id, rating.value) for rating in ratings),
        )
        if known.get(key) == values:
            kept.num_known += 1
        elif key in known:
            kept.errors.append((item.line, _("“%(name)s” judged this already, and otherwise.") % {"name": annotator}))
        elif key in lent:
            kept.errors.append((item.line, _("“%(name)s” was given this task here.") % {"name": annotator}))
        else:
            known[key] = values
            yield _Row(item, _judgment(item, annotator), ratings)


def _known(task_ids: list[int], annotators: Iterable[User]) -> dict[tuple[int, int], object]:
    """(task id, annotator id) → what was said, for the judgments that are there."""
    judgments = (
        Judgment.objects.counted().filter(task__in=task_ids, annotator__in=list(annotators)).prefetch_related("ratings")
    )
    return {
        (judgment.task_id, judgment.annotator_id): (
            judgment.preferred_id,
            judgment.strength,
            frozenset((rating.criterion_id, rating.value) for rating in judgment.ratings.all()),
        )
        for judgment in judgments
    }


def _judgment(item: SaidOfTask, annotator: User) -> Judgment:
    """A judgment and its assignment, not saved yet."""
    said, task = item.said, item.task
    moment = said.judged_at or timezone.now()
    # An order that the file does not tell is drawn, so that it speaks neither for nor against a side.
    first = said.shown_first if said.shown_first is not None else random.randrange(2)
    shown_first = item.responses[first % len(item.responses)]
    assignment = Assignment(
        task=task,
        annotator=annotator,
        status=Assignment.Status.JUDGED,
        is_swapped=shown_first.pk == task.response_b_id,
        leased_at=moment,
        expires_at=moment,
    )
    return Judgment(
        task=task,
        annotator=annotator,
        assignment=assignment,
        preferred=item.preferred,
        strength=said.strength,
        both_bad=said.both_bad,
        flags=said.flags,
        rationale=said.rationale,
        active_seconds=said.active_seconds,
        created_at=moment,
    )


def _create(rows: list[_Row]) -> None:
    Assignment.objects.bulk_create(row.judgment.assignment for row in rows)
    Judgment.objects.bulk_create(row.judgment for row in rows)
    for row in rows:
        for rating in row.ratings:
            rating.judgment = row.judgment
    Rating.objects.bulk_create(rating for row in rows for rating in row.ratings)
    corrected = [
        (row.judgment, _correction(row, original=row.item.responses[number], text=text))
        for row in rows
        for number, text in row.item.said.corrections
    ]
    Response.objects.bulk_create(correction for _judgment, correction in corrected)
    links = Judgment.corrections.through
    links.objects.bulk_create(
        links(judgment_id=judgment.pk, response_id=correction.pk) for judgment, correction in corrected
    )


def _correction(row: _Row, *, original: Response, text: str) -> Response:
    return Response(
        prompt_id=original.prompt_id,
        text=text,
        source=Response.CORRECTION,
        content_hash=Response.hash_of(text),
        parent=original,
        author=row.judgment.annotator,
    )


def _annotators(project: Project, names: set[AnnotatorName], *, source: str) -> dict[AnnotatorName, User]:
    members = set(project.memberships.values_list("user_id", flat=True))
    return {
        (name, is_simulated): _annotator(
            name or f"import-{slugify(source) or 'file'}", is_simulated=is_simulated, members=members
        )
        for name, is_simulated in sorted(names)
    }


def _annotator(name: str, *, is_simulated: bool, members: set[int]) -> User:
    """A member with this name, else an import's user of this name; never a person who is not in the project."""
    others = (f"{name[:130]} (imported {number})" for number in itertools.count(1))
    for username in itertools.chain([name], others):
        user, created = User.objects.get_or_create(
            username=username,
            defaults={"is_active": False, "is_simulated": is_simulated, "password": make_password(None)},
        )
        is_of_an_import = not user.is_active and not user.has_usable_password()
        if created or (user.is_simulated == is_simulated and (user.pk in members or is_of_an_import)):
            return user
    raise AssertionError("the numbers have ended")
