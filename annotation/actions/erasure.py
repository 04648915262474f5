"""A person's account erased for good: what makes them known goes, what they did for the projects stays, by a number.

The rule is read off the database's own: a row that belongs to a person (deleted with them: CASCADE) is deleted, a row
that is work (PROTECT, SET_NULL) stays and points at the account, which is from then on a number. So e-mail addresses,
second factors, services, sessions, access tokens, rights and memberships go by themselves, those of models to come too.

Judgments stay because models were trained on them and figures were reported from them: a count that changes when
somebody leaves could not be checked. Rationales and notes stay as well, unless the person wants them gone: they explain
verdicts to the team, but they are free text, which may tell who wrote it.
"""

from __future__ import annotations

import json
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.actions.account_data import relations, rows_of
from annotation.actions.members import remove_member
from annotation.actions.traces import erase_traces
from annotation.models import (
    Assignment,
    AuditEntry,
    Candidate,
    Draft,
    Invitation,
    Judgment,
    Membership,
    Response,
    Role,
    Task,
    User,
    Verb,
)
from annotation.progress import NOBODY, Telling
from annotation.queue import release

PART = 5000
"""Rationales removed at once; in between the page hears how far it is."""
KEPT: set[tuple[type[models.Model], str]] = {(Task, "reserved_for")}
"""Deleted with a person by the database's rule, but work all the same: a repeat holds a judgment."""


def last_admin_of(user: User) -> list[str]:
    """Projects that nobody could run without this person, by name."""
    own = Membership.objects.filter(user=user, role=Role.ADMIN, is_paused=False).values("project")
    others = Membership.objects.filter(role=Role.ADMIN, is_paused=False, user__is_active=True).exclude(user=user)
    alone = Membership.objects.filter(user=user, project__in=own).exclude(project__in=others.values("project"))
    return list(alone.order_by("project__name").values_list("project__name", flat=True))


@transaction.atomic
def erase_account(user: User, *, by: User, with_texts: bool, telling: Telling = NOBODY) -> User:
    """Make the account a pseudonym. with_texts: what the person wrote goes too (see `_erase_texts`).

    Raises ValueError when a project, or the installation, would be left without an admin. There is no way back.
    """
    user = User.objects.select_for_update().get(pk=user.pk)
    if alone := last_admin_of(user):
        sentence = _("This account is the last admin of %(projects)s: make somebody else admin there first.")
        raise ValueError(sentence % {"projects": ", ".join(alone)})
    if user.is_superuser and not User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk).exists():
        raise ValueError(_("This account is the last that runs the installation: give somebody else that right first."))
    addresses = [user.email, *EmailAddress.objects.filter(user=user).values_list("email", flat=True)]
    Invitation.objects.filter(email__in=[address for address in addresses if address]).update(email="")
    Draft.objects.filter(assignment__annotator=user).delete()
    # The queue's order: memberships, then tasks by id.
    memberships = Membership.objects.select_related("project", "user").select_for_update(no_key=True, of=("self",))
    own = list(memberships.filter(user=user).order_by("project"))
    for lease in Assignment.objects.filter(annotator=user, status=Assignment.Status.LEASED).order_by("task"):
        release(lease)
    for membership in own:
        remove_member(membership, by=by)
    if with_texts:
        _erase_texts(user, telling)
    pseudonym = _pseudonym(user)
    erase_traces(user, pseudonym=pseudonym, by=by)
    _end_sessions(user)
    _delete_what_belongs_to(user)
    _anonymise(user, pseudonym)
    AuditEntry.objects.record(Verb.ACCOUNT_ERASED, by=by, about=user, with_texts=with_texts)
    AuditEntry.objects.filter(actor=user).update(address=None)
    return user


def _erase_texts(user: User, telling: Telling) -> None:
    """Rationales, notes on skipped tasks, and corrected answers that no task asks about: those would take others' work
    with them, and stay without an author."""
    explained = Judgment.objects.filter(annotator=user).exclude(rationale="").order_by("pk")
    for part in telling.parts(list(explained.values_list("pk", flat=True)), PART):
        Judgment.objects.filter(pk__among=part).update(rationale="")
    Assignment.objects.filter(annotator=user).exclude(skip_note="").update(skip_note="")
    written = Response.objects.filter(author=user, source=Response.CORRECTION)
    asked = Q(pk__in=Task.objects.values("response_a")) | Q(pk__in=Candidate.objects.values("response"))
    asked |= Q(pk__in=Task.objects.exclude(response_b=None).values("response_b"))
    preferred = Q(pk__in=Judgment.objects.exclude(preferred=None).values("preferred"))
    gone = list(written.exclude(asked | preferred).values_list("pk", flat=True))
    Judgment.corrections.through.objects.filter(response__in=gone).delete()
    Response.objects.filter(pk__in=gone).delete()
    Response.objects.filter(author=user).update(author=None)


def _end_sessions(user: User) -> None:
    """A session says whose it is only inside, so all of them are looked at."""
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


def _delete_what_belongs_to(user: User) -> None:
    for relation in relations():
        model: type[models.Model] = relation.related_model
        if relation.on_delete is not models.CASCADE or (model, relation.field.name) in KEPT:
            continue
        belongings = rows_of(relation, user)
        _unname(model, list(belongings.values_list("pk", flat=True)))
        belongings.delete()


def _unname(model: type[models.Model], keys: list[Any]) -> None:
    """Django's admin keeps in its own log how the rows it changed were called."""
    log = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model))
    log.filter(object_id__in=[str(key) for key in keys]).update(object_repr="–")


def _unname_inside(username: str) -> None:
    """The same log names the rows that were changed on the page of another, such as a project's members."""
    for entry in LogEntry.objects.filter(change_message__contains='"object"'):
        parts = json.loads(entry.change_message)
        named = [said for part in parts for said in part.values() if username in said.get("object", "")]
        for said in named:
            said["object"] = "–"
        if named:
            entry.change_message = json.dumps(parts)
            entry.save(update_fields=["change_message"])


def _pseudonym(user: User) -> str:
    name = f"erased-{user.pk}"
    while User.objects.filter(username=name).exclude(pk=user.pk).exists():
        name += "-"
    return name


def _anonymise(user: User, pseudonym: str) -> None:
    """Every column that says something of the person; a new one must be told of here, and a test says so."""
    _unname(User, [user.pk])
    _unname_inside(user.username)
    user.username = pseudonym
    user.first_name = user.last_name = user.email = user.language = ""
    user.key_bindings = {}
    user.last_login = None
    user.is_active = user.is_staff = user.is_superuser = False
    user.set_unusable_password()
    user.save()
