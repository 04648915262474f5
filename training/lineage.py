"""Where things come from, and where they went: judgments to runs to versions to answers, and all the way back.

runs_behind(version)      the runs that made it what it is, nearest first
uses_of(judgments)        the snapshots that took them, the runs that learned from those, what came of it
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Count, Q

from annotation.models import Judgment, Project, Rating, Response, User
from annotation.models.work import JudgmentQuerySet
from training.models import ModelVersion, Run, Snapshot, SnapshotJudgment


def versions_of(project: Project) -> dict[int, ModelVersion]:
    """All versions of the project with the runs that made them, in one query: families are walked in memory."""
    return ModelVersion.objects.filter(project=project).select_related("run__snapshot").in_bulk()


def runs_behind(version: ModelVersion) -> list[Run]:
    """The run that made it, those that made the models of that run, and so on to the base model."""
    known = versions_of(version.project)
    found: dict[int, Run] = {}
    waiting: list[int | None] = [version.pk]
    while waiting:
        each = known.get(waiting.pop(0) or 0)
        if each and each.run and each.run.pk not in found:
            found[each.run.pk] = each.run
            waiting += [each.run.reward_model_id, each.run.model_id]
    return list(found.values())


@dataclass
class Use:
    """A snapshot that used judgments: how many of them, the runs that learned from it, and the versions these made."""

    snapshot: Snapshot
    num: int
    runs: list[Run] = field(default_factory=list)
    later: list[ModelVersion] = field(default_factory=list)
    """Versions that did not learn from the snapshot themselves, but from or against one that did."""


def uses_of(judgments: JudgmentQuerySet, *, project: Project, of: Snapshot | None = None) -> list[Use]:
    """Newest snapshot first; four queries, whatever they find. of: look at this snapshot only."""
    rows = SnapshotJudgment.objects.filter(judgment__in=judgments.order_by()).order_by()
    if of is not None:
        rows = rows.filter(snapshot=of)
    nums = dict(rows.values_list("snapshot").annotate(num=Count("pk")))
    if of is not None:
        nums.setdefault(of.pk, 0)  # one whose uses were not recorded
    uses = [Use(each, nums[each.pk]) for each in Snapshot.objects.filter(pk__in=nums).order_by("-id")]
    runs = list(Run.objects.filter(snapshot__in=nums).select_related("version").order_by("id"))
    family = versions_of(project) if uses else {}
    for use in uses:
        use.runs = [run for run in runs if run.snapshot_id == use.snapshot.pk]
        made = {each.pk for each in family.values() if each.run and each.run.snapshot_id == use.snapshot.pk}
        use.later = _descendants(made, family.values())
    return uses


def _descendants(made: set[int], family: Iterable[ModelVersion]) -> list[ModelVersion]:
    """In the order in which they came: each learned from, or against, one of `made` or of those before it."""
    touched, found = set(made), []
    for each in sorted(family, key=lambda version: version.pk):
        if each.run and each.pk not in touched and {each.run.model_id, each.run.reward_model_id} & touched:
            touched.add(each.pk)
            found.append(each)
    return found


def shown(judgments: JudgmentQuerySet) -> JudgmentQuerySet:
    """With all that a list of them shows; in the order in which they were said."""
    return judgments.select_related("task__prompt", "preferred", "annotator", "voiding").order_by("pk")


def judgments_in(snapshot: Snapshot) -> JudgmentQuerySet:
    """What the snapshot used."""
    return shown(Judgment.objects.filter(pk__in=snapshot.uses.values("judgment")))


def about(answer: Response) -> JudgmentQuerySet:
    """What people said of tasks in which this answer stood, undone and voided versions too."""
    tasks = Q(task__response_a=answer) | Q(task__response_b=answer) | Q(task__candidates__response=answer)
    ids = Judgment.objects.filter(tasks).values("pk")
    return shown(Judgment.objects.filter(pk__in=ids))


def people_of(judgments: JudgmentQuerySet) -> list[tuple[User, int]]:
    """Whose judgments these are and how many; who gave most comes first."""
    nums = dict(judgments.order_by().values_list("annotator").annotate(num=Count("pk")))
    people = User.objects.in_bulk(nums)
    return sorted(((people[pk], num) for pk, num in nums.items()), key=lambda each: (-each[1], each[0].username))


def ratings_of(judgments: Iterable[Judgment]) -> dict[int, list[tuple[str, int]]]:
    """Judgment id to what was rated: (criterion, value)."""
    found: dict[int, list[tuple[str, int]]] = {}
    rows = Rating.objects.filter(judgment__in=[each.pk for each in judgments]).order_by("criterion__position", "pk")
    for judgment, name, value in rows.values_list("judgment_id", "criterion__name", "value"):
        found.setdefault(judgment, []).append((name, value))
    return found
