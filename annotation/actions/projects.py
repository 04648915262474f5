"""How a project comes to be: its criteria and guidelines."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max
from django.utils.text import slugify
from django.utils.translation import gettext as _

from annotation.actions.members import add_member
from annotation.models import AuditEntry, Criterion, Event, Guidelines, Project, Role, User, Verb
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
