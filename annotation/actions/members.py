"""Who works in a project, in which role. A project never loses its last admin: nobody could let others in again."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from annotation import queue
from annotation.models import Assignment, AuditEntry, Membership, Project, Role, User, Verb


@transaction.atomic
def add_member(project: Project, *, user: User, role: Role = Role.ANNOTATOR, by: User | None = None) -> Membership:
    """Let the user work in the project; a member changes role and comes back from a pause.

    Raises ValueError for the last admin's role.
    """
    former = _locked(project).filter(user=user).first()
    if former is None:
        AuditEntry.objects.record(Verb.MEMBER_ADDED, by=by, project=project, about=user, role=role)
        return Membership.objects.create(project=project, user=user, role=role)
    if former.role != role:
        if role < Role.ADMIN:
            _keep_an_admin(former)
        verb, change = Verb.MEMBER_ROLE_CHANGED, [former.role, int(role)]
        AuditEntry.objects.record(verb, by=by, project=project, about=user, role=change)
    if former.is_paused:
        AuditEntry.objects.record(Verb.MEMBER_RESUMED, by=by, project=project, about=user)
    former.role, former.is_paused = role, False
    former.save(update_fields=["role", "is_paused"])
    return former


@transaction.atomic
def pause_member(membership: Membership, *, by: User | None = None) -> int:
    """Keep the person out until they may go on; what they hold goes back to the queue at once. Returns how many tasks.

    What they send afterwards is refused; what they have judged still counts. Raises ValueError for the last admin.
    """
    _keep_an_admin(_locked(membership.project).get(pk=membership.pk))
    # The queue's order: membership, then tasks by id.
    held = Membership.objects.select_for_update(no_key=True).get(pk=membership.pk)
    if not held.is_paused:
        AuditEntry.objects.record(Verb.MEMBER_PAUSED, by=by, project=held.project, about=held.user)
    held.is_paused = membership.is_paused = True
    held.save(update_fields=["is_paused"])
    leases = Assignment.objects.of(held.user).filter(
        task__project=held.project_id, status=Assignment.Status.LEASED
    )  # fmt: skip
    return sum(queue.release(lease) for lease in leases.order_by("task"))


@transaction.atomic
def remove_member(membership: Membership, *, by: User) -> None:
    """Take somebody, or oneself, out of the project; what they judged stays and counts.

    Raises ValueError for the last admin.
    """
    found = _locked(membership.project).filter(pk=membership.pk).first()
    if found is None:
        return  # somebody else was faster
    _keep_an_admin(found)
    AuditEntry.objects.record(
        Verb.MEMBER_REMOVED, by=by, project=found.project, about=found.user, role=Role(found.role).value
    )
    found.delete()


def _locked(project: Project) -> QuerySet[Membership]:
    """The project's members, behind a lock that makes two changes at once come one after the other."""
    Project.objects.select_for_update(no_key=True).values_list("pk").get(pk=project.pk)
    return Membership.objects.select_related("project", "user").filter(project=project)


def _keep_an_admin(membership: Membership) -> None:
    others = membership.project.memberships.filter(role=Role.ADMIN, is_paused=False, user__is_active=True)
    if membership.role == Role.ADMIN and not membership.is_paused and not others.exclude(pk=membership.pk).exists():
        sentence = _("%(name)s is the last admin of %(project)s: make somebody else admin first.")
        raise ValueError(sentence % {"name": membership.user, "project": membership.project})
