"""What a reviewer decides where people disagree, and taking it back."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.actions.answers import Answer, checked
from annotation.models import AuditEntry, Response, Task, User, Verb, Verdict


@transaction.atomic
def adjudicate(
    task: Task,
    *,
    by: User,
    seen: str,
    cause: str,
    preferred: Response | None = None,
    strength: int | None = None,
    both_bad: bool = False,
    ratings: Mapping[int, int] | None = None,
    ranks: Mapping[int, int] | None = None,
    note: str = "",
) -> Verdict:
    """Decide the task, or change what was decided. It wins in every consensus; people's votes stay as they are.

    preferred, strength, both_bad, ratings, ranks: as in judge(). seen: `Verdict.mark` of the verdict that the reviewer
    looked at, empty for none: two reviewers do not overwrite each other unseen.
    Raises ValueError with a sentence when the verdict will not do.
    """
    _lock(task)
    standing = Verdict.objects.select_related("decided_by").filter(task=task).first()
    if (standing.mark if standing else "") != seen:
        raise ValueError(_changed(standing))
    if cause not in Verdict.Cause.values:
        raise ValueError(_("Choose why people disagreed."))
    if "\0" in note:
        raise ValueError(_("The text contains a character that cannot be kept (NUL): remove it."))
    said = Answer.said(preferred=preferred, strength=strength, both_bad=both_bad, ratings=ratings, ranks=ranks)
    answer = checked(task, said)
    keys = dict(task.project.criteria.values_list("pk", "key"))
    values = {
        "preferred": answer.preferred,
        "strength": answer.strength,
        "both_bad": answer.both_bad,
        "ratings": {keys[pk]: value for pk, value in answer.ratings.items()},
        "ranks": {str(pk): place for pk, place in answer.ranks.items()},
        "cause": cause,
        "note": note.strip(),
        "decided_by": by,
    }
    AuditEntry.objects.record(Verb.VERDICT_GIVEN, by=by, project=task.project, subject=f"task {task.pk}", cause=cause)
    return Verdict.objects.update_or_create(task=task, defaults=values)[0]


@transaction.atomic
def withdraw_verdict(task: Task, *, by: User, seen: str) -> Verdict | None:
    """Leave the task open again; returns what was decided, None when nothing was. Raises ValueError when it changed."""
    _lock(task)
    standing = Verdict.objects.select_related("decided_by").filter(task=task).first()
    if standing is None:
        return None
    if standing.mark != seen:
        raise ValueError(_changed(standing))
    Verdict.objects.filter(pk=standing.pk).delete()
    AuditEntry.objects.record(Verb.VERDICT_WITHDRAWN, by=by, project=task.project, subject=f"task {task.pk}")
    return standing


def _lock(task: Task) -> None:
    """Of a question that somebody judged; verdicts on one task come one after the other."""
    locked = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    if locked.control:
        raise ValueError(_("This task measures people, not answers: it takes no verdict."))
    if not locked.judgments.counted().exists():
        raise ValueError(_("Nobody has judged this task yet, so there is nothing to decide."))


def _changed(standing: Verdict | None) -> str:
    if standing is None:
        return _("The verdict was withdrawn meanwhile. Look at it again, then decide.")
    return _("%(name)s has decided this meanwhile. Load the page again to see how, before you change it.") % {
        "name": standing.decided_by or _("Somebody")
    }
