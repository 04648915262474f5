"""How a project comes to be, its guidelines, and what an admin changes of it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotation.actions.members import add_member
from annotation.models import AuditEntry, Event, Guidelines, Project, Role, User, Verb
from annotation.webhooks import announce


@transaction.atomic
def create_project(
    name: str,
    *,
    by: User | None,
    slug: str = "",
    description: str = "",
    guidelines: str = "",
    overlap: int = 1,
    lease_seconds: int = 1800,
    daily_goal: int = 40,
) -> Project:
    """A new project; `by` becomes its admin. Raises ValueError when the name or the slug will not do."""
    name = name.strip()
    slug = slug or slugify(name)[:50].strip("-")
    if not name:
        raise ValueError(_("Give the project a name."))
    if not slug:
        raise ValueError(_("Give the project an address of letters, digits and hyphens: its name yields none."))
    if Project.objects.filter(slug=slug).exists():
        raise ValueError(_("Another project has the address “%(slug)s”. Choose another.") % {"slug": slug})
    if overlap < 1:
        raise ValueError(_("At least one person must judge each task: raise the overlap to 1."))
    if lease_seconds < 60:
        raise ValueError(_("A task must be lent for at least 60 seconds."))
    project = Project.objects.create(
        slug=slug,
        name=name,
        description=description,
        overlap=overlap,
        lease_seconds=lease_seconds,
        daily_goal=daily_goal,
    )
    AuditEntry.objects.record(Verb.PROJECT_CREATED, by=by, project=project, subject=project.slug)
    if by is not None:
        add_member(project, user=by, role=Role.ADMIN, by=by)
    if guidelines.strip():
        publish_guidelines(project, text=guidelines, by=by)
    return project


@transaction.atomic
def change_project(project: Project, *, by: User | None, **wanted: Any) -> None:
    """Change its fields by name; the log keeps what each was and is. `project` gets the new values."""
    standing = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    changes: dict[str, Any] = {
        name: [getattr(standing, name), value] for name, value in wanted.items() if getattr(standing, name) != value
    }
    for name, value in wanted.items():
        setattr(project, name, value)
    if changes:
        project.save(update_fields=list(changes))
        AuditEntry.objects.record(Verb.PROJECT_CHANGED, by=by, project=project, **changes)


@transaction.atomic
def publish_guidelines(project: Project, *, text: str, by: User | None) -> Guidelines:
    """The next version of the instructions; the same text again is the same version."""
    text = text.strip()
    if not text:
        raise ValueError(_("The guidelines are empty: write what people should look at."))
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # so that two editors get two versions
    current = project.current_guidelines
    if current is not None and current.text == text:
        return current
    newest = project.guidelines.aggregate(newest=Max("version"))["newest"] or 0
    AuditEntry.objects.record(Verb.GUIDELINES_PUBLISHED, by=by, project=project, version=newest + 1)
    published = Guidelines.objects.create(project=project, version=newest + 1, text=text, created_by=by)
    announce(project, Event.GUIDELINES_PUBLISHED, version=published.version)
    return published
