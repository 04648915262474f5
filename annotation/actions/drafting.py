"""What a person has typed and not sent, kept with the task they hold, so that any browser of theirs brings it back."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from annotation.models import Assignment, Draft, User
from annotation.places import lock

Values = Mapping[str, list[str]]


@transaction.atomic
def keep_draft(assignment: Assignment, *, by: User, values: Values) -> bool:
    """Keep the form's fields (name to values); False when the task was judged or skipped, and nothing is kept.

    The lock lets a draft that was on its way while its judgment was sent come before it, where it is deleted, or after
    it, where it is refused: never stay behind. A character that the database cannot hold (NUL) is left out.
    """
    lock(assignment, by=by)
    if assignment.status in {Assignment.Status.JUDGED, Assignment.Status.SKIPPED}:
        return False
    clean = {name.replace("\0", ""): [value.replace("\0", "") for value in given] for name, given in values.items()}
    Draft.objects.update_or_create(assignment=assignment, defaults={"values": clean})
    return True
