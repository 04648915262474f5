"""What admins do with tasks: make many at once, change those there are, have some judged again, say what is right."""

from __future__ import annotations

import datetime
import math
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation import controls, intake, pairing
from annotation.models import AuditEntry, Gold, Judgment, Making, Membership, Project, Task, User, Verb
from annotation.models.work import JudgmentQuerySet
from annotation.progress import NOBODY, Telling

CHUNK = 5000
"""Tasks changed in one transaction: their rows are locked until it ends, and the queue passes over them meanwhile."""
MANY = 1000
"""From so many new tasks on the database is told at once, else its plans are those of the smaller table for a while."""
AT_WORK_SINCE = datetime.timedelta(days=1)
"""Who judged nothing for so long is asked nothing again by itself."""
GOLD_SOURCE = "gold"
"""The source of answers written for a gold task."""
REPEATS = "repeats"
"""The kind of a making that asks people again."""


def make_tasks(
    project: Project, asked: pairing.Asked, *, by: User, overlap: int, priority: int, telling: Telling = NOBODY
) -> Making | None:
    """Ask about the answers that are there; what was asked before is left as it is. None: nothing is new.

    Raises ValueError with a sentence when the pairing needs sources, or criteria, that are not there.
    """
    named = {"source": asked.source, "against": asked.against, "among": list(asked.among)}
    settings: dict[str, Any] = {"overlap": overlap, "priority": priority} | named
    if asked.pairing == pairing.Pairing.RANKINGS:
        settings["num_ranked"] = asked.num_ranked
    with transaction.atomic():
        intake.lock(project)
        making = Making.objects.create(project=project, kind=asked.pairing, settings=settings, created_by=by)
        making.num_tasks = pairing.make(
            project, asked, overlap=overlap, priority=priority, making=making.pk, telling=telling
        )
        if not making.num_tasks:
            making.delete()
            return None
        making.save(update_fields=["num_tasks"])
        AuditEntry.objects.record(
            Verb.TASKS_CREATED, by=by, project=project, subject=making.kind, tasks=making.num_tasks
        )
    if making.num_tasks >= MANY:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE annotation_task")
    return making


def change_tasks(
    tasks: QuerySet[Task],
    *,
    project: Project,
    by: User,
    is_withdrawn: bool | None = None,
    priority: int | None = None,
    overlap: int | None = None,
    telling: Telling = NOBODY,
) -> int:
    """Change what is not None; returns how many tasks this is about.

    Overlap and priority are those of questions; gold tasks and repeats keep theirs. The overlap stays at least what
    was judged and lent already. Who holds a withdrawn task may still judge it, and what was judged stays.
    """
    changes: dict[str, Any] = {}
    if is_withdrawn is not None:
        changes["is_withdrawn"] = is_withdrawn
    else:
        tasks = tasks.filter(control="")
    if priority is not None:
        changes["priority"] = priority
    if overlap is not None:
        changes["overlap"] = Greatest(overlap, F("num_judged") + F("num_leased"))
    verb = {True: Verb.TASKS_WITHDRAWN, False: Verb.TASKS_RESTORED, None: Verb.TASKS_CHANGED}[is_withdrawn]
    total = 0
    for chunk in telling.parts(list(tasks.order_by("pk").values_list("pk", flat=True)), CHUNK):
        with transaction.atomic():
            num = Task.objects.filter(pk__in=chunk, project=project).update(**changes)
            if num:
                AuditEntry.objects.record(verb, by=by, project=project, num=num, priority=priority, overlap=overlap)
        total += num
    return total


@transaction.atomic
def ask_again(project: Project, *, by: User, share: float, telling: Telling = NOBODY) -> Making:
    """Ask people again, in another order, what they said of a share (0 to 1) of their tasks, drawn at random.

    Only people at work are asked, and each judgment once. Raises ValueError with a sentence when there is none left.
    """
    intake.lock(project)
    votes = _votes_at_work(project)
    num = math.ceil(share * votes.count())
    drawn = list(_not_repeated(votes).order_by("?").values_list("task_id", "annotator_id")[:num])
    if not drawn:
        raise ValueError(_("Nobody can be asked again: nothing was judged yet that was not repeated already."))
    making = Making.objects.create(project=project, kind=REPEATS, settings={"share": share}, created_by=by)
    making.num_tasks = sum(controls.make_repeats(part, making=making.pk) for part in telling.parts(drawn, CHUNK))
    making.save(update_fields=["num_tasks"])
    AuditEntry.objects.record(Verb.TASKS_CREATED, by=by, project=project, subject=making.kind, tasks=making.num_tasks)
    return making


def top_up_repeats() -> int:
    """Let everybody who judged something lately be asked again as much as their project wants; returns how much.

    Done by the clock. A person's repeats make up the project's share of their votes, rounded down.
    """
    said = Judgment.objects.filter(annotator=OuterRef("user"), task__project=OuterRef("project"))
    lately = said.since(timezone.now() - AT_WORK_SINCE)
    at_work = Membership.objects.filter(Exists(lately), is_paused=False)
    projects = Project.objects.filter(repeat_share__gt=0, pk__in=at_work.values("project")).order_by("pk")
    return sum(_top_up(project, at_work.filter(project=project)) for project in projects)


@transaction.atomic
def _top_up(project: Project, at_work: QuerySet[Membership]) -> int:
    intake.lock(project)
    votes = _votes_at_work(project).filter(annotator__in=at_work.values("user")).order_by()
    repeats = project.tasks.filter(control=Task.Control.REPEAT, reserved_for__in=at_work.values("user")).order_by()
    known = dict(repeats.values_list("reserved_for").annotate(num=Count("pk")))
    drawn: list[tuple[int, int]] = []
    for person, num in votes.values_list("annotator").annotate(num=Count("pk")):
        missing = int(project.repeat_share * num) - known.get(person, 0)
        if missing > 0:
            own = _not_repeated(votes.filter(annotator=person)).order_by("?").values_list("task_id", flat=True)
            drawn += [(task, person) for task in own[:missing]]
    return controls.make_repeats(drawn) if drawn else 0


def _votes_at_work(project: Project) -> JudgmentQuerySet:
    at_work = Membership.objects.filter(project=project, is_paused=False, user__is_simulated=False)
    return Judgment.objects.votes().in_project(project).filter(annotator__in=at_work.values("user"))


def _not_repeated(votes: JudgmentQuerySet) -> JudgmentQuerySet:
    known = Task.objects.filter(repeat_of=OuterRef("task"), reserved_for=OuterRef("annotator"))
    return votes.filter(~Exists(known), task__is_withdrawn=False)


@transaction.atomic
def set_controls(project: Project, *, control_share: float, repeat_share: float, by: User) -> None:
    """How often a gold task or a repeat comes in the place of a question, and how much is asked again: 0 to 0.5."""
    wanted = {"control_share": control_share, "repeat_share": repeat_share}
    changes: dict[str, Any] = {name: [getattr(project, name), share] for name, share in wanted.items()}
    for name, share in wanted.items():
        setattr(project, name, share)
    project.save(update_fields=list(wanted))
    AuditEntry.objects.record(Verb.PROJECT_CHANGED, by=by, project=project, **changes)


@transaction.atomic
def make_gold_pair(project: Project, *, prompt: str, right: str, wrong: str, note: str, by: User) -> Gold:
    """A gold comparison of two answers written for it. It is no question to anybody before it is gold."""
    row = intake.add_prompt(project, prompt)
    answers = intake.add_responses(row, [intake.NewResponse(text, GOLD_SOURCE) for text in (right, wrong)])
    intake.add_comparisons(project, [(answers[0], answers[1])])
    a, b = sorted(answer.pk for answer in answers)
    task = Task.objects.get(kind=Task.Kind.COMPARISON, response_a=a, response_b=b, repeat_of=None)
    return set_gold(task, Gold(preferred=answers[0], note=note), by=by)


@transaction.atomic
def set_gold(task: Task, gold: Gold, *, by: User) -> Gold:
    """Say what is right of a task, which makes a gold task of it, or correct what was said before.

    Raises ValueError with a sentence when this cannot be its right answer.
    """
    gold.task = task
    controls.check_gold(gold, task)
    right = {"preferred_id": gold.preferred_id, "ratings": gold.ratings, "note": gold.note}
    if not Gold.objects.filter(task=task).update(**right):
        controls.make_gold([Gold(task=task, created_by=by, **right)])
    AuditEntry.objects.record(Verb.GOLD_SET, by=by, project=task.project, subject=task.pk)
    return Gold.objects.get(task=task)


@transaction.atomic
def unset_gold(task: Task, *, by: User) -> None:
    """The task is a question like any other again, and what people said of it are votes."""
    controls.unmake_gold(task)
    AuditEntry.objects.record(Verb.GOLD_RETIRED, by=by, project=task.project, subject=task.pk)
