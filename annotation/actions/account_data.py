"""A person's data, all of it, as a zip of JSON files: for themself, or for who runs the installation on their behalf.

Secrets stay out (password, keys of second factors, tokens' digests): they would help nobody but a thief of the file.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import orjson
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.db.models import F, Q

from annotation.models import Assignment, AuditEntry, Draft, Judgment, Response, Task, User, Verb
from annotation.progress import NOBODY, Telling

SECRETS = {"password", "digest", "secret", "token", "key", "session_key", "data"}
"""Columns that are left out, also with a word and an underscore before; `data` holds the keys of second factors."""
ELSEWHERE = {Judgment, Assignment, Response, EmailAddress, Authenticator, SocialAccount, UserSession, AuditEntry, Task}
"""Models that have a file of their own, or a part of account.json. Tasks say which questions were repeats."""
PART = 1000
"""Judgments read at once; in between the page hears how far it is."""
UNTOLD = {"preferred_id", "is_swapped", "order", "frozen_at"}
"""Which answer has the lower number, and where it stood, would tell something of who wrote it: the text is given.
What a snapshot took, and when, would tell votes from answers to gold tasks and repeats."""


@transaction.atomic
def export_account(user: User, *, by: User, telling: Telling = NOBODY) -> bytes:
    """The zip file, and an entry in the audit log that it was made."""
    files: dict[str, Any] = {
        "account.json": account_of(user),
        "judgments.json": list(judgments_of(user, telling=telling)),
        "assignments.json": rows(Assignment.objects.filter(annotator=user).annotate(project=F("task__project__slug"))),
        "drafts.json": rows(Draft.objects.filter(assignment__annotator=user)),
        "responses.json": rows(Response.objects.filter(author=user)),
        "audit.json": rows(AuditEntry.objects.filter(Q(actor=user) | Q(about=user)).newest_first()),
        "elsewhere.json": elsewhere(user),
    }
    AuditEntry.objects.record(Verb.ACCOUNT_EXPORTED, by=by, about=user)
    into, as_json = io.BytesIO(), DjangoJSONEncoder().default
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, orjson.dumps(content, default=as_json, option=orjson.OPT_INDENT_2))
    return into.getvalue()


def account_of(user: User) -> dict[str, Any]:
    own = rows(User.objects.filter(pk=user.pk))[0]
    return own | {
        "email_addresses": rows(EmailAddress.objects.filter(user=user)),
        "services": rows(SocialAccount.objects.filter(user=user)),
        "second_factors": rows(Authenticator.objects.filter(user=user)),
        "sessions": rows(UserSession.objects.filter(user=user)),
    }


def judgments_of(user: User, *, telling: Telling = NOBODY) -> Iterator[dict[str, Any]]:
    """Every version of each, with what was rated, ranked and corrected."""
    own = list(Judgment.objects.filter(annotator=user).order_by("id").values_list("pk", flat=True))
    for part in telling.parts(own, PART):
        found = Judgment.objects.filter(pk__among=part).annotate(project=F("task__project__slug")).order_by("id")
        judgments = found.select_related("preferred")
        judgments = judgments.prefetch_related("ratings__criterion", "ranks__response", "corrections")
        for judgment, row in zip(judgments, rows(found), strict=True):
            yield row | {
                "preferred": judgment.preferred.text if judgment.preferred else None,
                "ratings": {rating.criterion.key: rating.value for rating in judgment.ratings.all()},
                "ranks": [{"rank": rank.rank, "text": rank.response.text} for rank in judgment.ranks.all()],
                "corrections": [correction.text for correction in judgment.corrections.all()],
            }


def elsewhere(user: User) -> dict[str, list[dict[str, Any]]]:
    """Every other row that points at the person, by model and field; a new model is in here by itself."""
    found = {}
    for relation in relations():
        if relation.related_model not in ELSEWHERE and (said := rows(rows_of(relation, user))):
            found[f"{relation.related_model._meta.label}.{relation.field.name}"] = said
    return found


def relations() -> list[Any]:
    """Every foreign key to a person in the whole database."""
    fields = User._meta.get_fields(include_hidden=True)
    return [field for field in fields if field.auto_created and (field.one_to_many or field.one_to_one)]


def rows_of(relation: Any, user: User) -> models.QuerySet[Any]:
    found: models.QuerySet[Any] = relation.related_model._base_manager.filter(**{relation.field.name: user})
    return found


def rows(found: models.QuerySet[Any]) -> list[dict[str, Any]]:
    names = [field.attname for field in found.model._meta.concrete_fields]
    kept = [name for name in names if name == "extra_data" or not is_secret(name)]
    kept = [name for name in kept if name not in UNTOLD]
    return list(found.values(*kept, *found.query.annotations))


def is_secret(column: str) -> bool:
    return column in SECRETS or column.rpartition("_")[2] in SECRETS
