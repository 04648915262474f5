"""What people rate by: criteria are added, reworded and put in order while people are at work.

A criterion's key and steps never change: judgments, right answers and files speak in them. One that nothing speaks of
yet can be removed, and added anew.
"""

from __future__ import annotations

import math
from typing import Any

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotation.models import AuditEntry, Criterion, Gold, Project, Rating, User, Verb, Verdict


@transaction.atomic
def add_criterion(
    project: Project,
    *,
    key: str,
    name: str,
    description: str = "",
    scale_max: int = 5,
    low_anchor: str = "",
    high_anchor: str = "",
    weight: float = 1.0,
    by: User | None = None,
) -> Criterion:
    """One more thing to rate, asked after those that are there. Raises ValueError for a taken key or a bad scale."""
    if not key or slugify(key) != key.lower():
        raise ValueError(_("The key “%(key)s” must be letters, digits, hyphens and underscores.") % {"key": key})
    if not 2 <= scale_max <= 9:
        raise ValueError(_("A scale has 2 to 9 steps, not %(steps)d.") % {"steps": scale_max})
    _check_weight(weight)
    _lock(project)
    if project.criteria.filter(key=key).exists():
        raise ValueError(_("The project already has a criterion “%(key)s”.") % {"key": key})
    AuditEntry.objects.record(Verb.CRITERION_ADDED, by=by, project=project, subject=key, scale_max=scale_max)
    return Criterion.objects.create(
        project=project,
        key=key,
        name=name,
        description=description,
        scale_max=scale_max,
        low_anchor=low_anchor,
        high_anchor=high_anchor,
        weight=weight,
        position=project.criteria.count(),
    )


@transaction.atomic
def change_criterion(
    criterion: Criterion,
    *,
    by: User | None,
    name: str,
    description: str,
    low_anchor: str,
    high_anchor: str,
    weight: float,
    place: int,
) -> None:
    """Change its words, its weight, and its place among the criteria, from 1. Raises ValueError with a sentence."""
    _check_weight(weight)
    project = criterion.project
    _lock(project)
    order = list(project.criteria.all())
    if criterion not in order:
        raise ValueError(_("This criterion was removed meanwhile."))
    standing = order[order.index(criterion)]
    if weight == 0 and not any(other.weight for other in order if other != criterion):
        raise ValueError(_("Give at least one criterion a weight: ratings become preferences by it."))
    wanted = {
        "name": name, "description": description, "low_anchor": low_anchor, "high_anchor": high_anchor, "weight": weight
    }  # fmt: skip
    changes: dict[str, Any] = {
        field: [getattr(standing, field), value] for field, value in wanted.items() if getattr(standing, field) != value
    }
    before = order.index(criterion)
    order.insert(min(place, len(order)) - 1, order.pop(before))
    if order.index(criterion) != before:
        changes["place"] = [before + 1, order.index(criterion) + 1]
    if not changes:
        return
    Criterion.objects.filter(pk=criterion.pk).update(**wanted)
    for position, one in enumerate(order):
        Criterion.objects.filter(pk=one.pk).update(position=position)
    AuditEntry.objects.record(Verb.CRITERION_CHANGED, by=by, project=project, subject=criterion.key, **changes)


@transaction.atomic
def remove_criterion(criterion: Criterion, *, by: User | None) -> None:
    """Raises ValueError with a sentence when somebody has rated by it, or a right answer or a verdict speaks of it."""
    project = criterion.project
    _lock(project)
    # The whole row: a rating that comes in meanwhile waits for it, or is seen here.
    if not Criterion.objects.select_for_update().filter(pk=criterion.pk).exists():
        return
    if is_used(criterion):
        raise ValueError(_("People have rated by “%(name)s”: it stays. Its words may change.") % {"name": criterion})
    Criterion.objects.filter(pk=criterion.pk).delete()
    AuditEntry.objects.record(
        Verb.CRITERION_REMOVED, by=by, project=project, subject=criterion.key, scale_max=criterion.scale_max
    )


def is_used(criterion: Criterion) -> bool:
    """Whether a rating, a right answer or a verdict speaks of it."""
    of_project = {"task__project": criterion.project, "ratings__has_key": criterion.key}
    return (
        Rating.objects.filter(criterion=criterion).exists()
        or Gold.objects.filter(**of_project).exists()
        or Verdict.objects.filter(**of_project).exists()
    )


def _lock(project: Project) -> None:
    """Two admins change a project's criteria one after the other."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _check_weight(weight: float) -> None:
    if not math.isfinite(weight):
        raise ValueError(_("A weight is a number, such as 1 or 0.5."))
