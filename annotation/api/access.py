"""Who is asking, with which rights: a token, its scopes, its user's role. Session cookies count for nothing here."""

from __future__ import annotations

import datetime
import re

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from annotation import actions
from annotation.api.problems import Problem, not_found, unauthorized
from annotation.models import ApiToken, Assignment, Project, Role, User
from annotation.models.people import ProjectQuerySet

SLUG = re.compile(r"[-a-zA-Z0-9_]{1,50}")
USED_ANEW = datetime.timedelta(minutes=1)
"""So often at most the last use is written down."""

COUNT = """
INSERT INTO annotation_apiuse AS used (token_id, minute, num_requests) VALUES (%(token)s, %(minute)s, 1)
ON CONFLICT (token_id) DO UPDATE SET
    num_requests = CASE WHEN used.minute = excluded.minute THEN used.num_requests + 1 ELSE 1 END,
    minute = excluded.minute
RETURNING num_requests
"""


class TokenRequest(HttpRequest):
    """A request with a valid token; `user` is the token's."""

    user: User
    auth: ApiToken


class Token(HttpBearer):
    """scopes: one of them is needed; none: any valid token will do."""

    def __init__(self, *scopes: ApiToken.Scope) -> None:
        super().__init__()
        self.scopes = scopes

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken:
        # Looked up by its digest: how long that takes tells nothing of the token.
        row = ApiToken.objects.valid().select_related("user").filter(digest=actions.digest_of(token)).first()
        if row is None:
            raise unauthorized(_("This token is not known, was revoked or has expired: make a new one."))
        note_use(row)
        if self.scopes and not set(self.scopes) & set(row.scopes):
            scopes = ", ".join(scope.value for scope in self.scopes)
            raise Problem(403, _("This needs a token with the scope “%(scopes)s”.") % {"scopes": scopes})
        check_size(request)
        request.user = row.user
        return row


READ = Token(ApiToken.Scope.READ)
WRITE = Token(ApiToken.Scope.WRITE)
ANNOTATE = Token(ApiToken.Scope.ANNOTATE)
ANY = Token()


def note_use(token: ApiToken) -> None:
    """Count the request, and refuse it above the limit of the minute."""
    now = timezone.now()
    minute = now.replace(second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"token": token.pk, "minute": minute})
        (num,) = cursor.fetchone()
    if num > settings.API_REQUESTS_PER_MINUTE:
        sentence = _("This token has used its %(most)d requests of this minute: wait %(seconds)d seconds.")
        wait = 60 - now.second
        raise Problem(
            429,
            sentence % {"most": settings.API_REQUESTS_PER_MINUTE, "seconds": wait},
            headers={"Retry-After": str(wait)},
        )
    if token.last_used_at is None or token.last_used_at < now - USED_ANEW:
        unused = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USED_ANEW)
        ApiToken.objects.filter(unused, pk=token.pk).update(last_used_at=now)


def check_size(request: HttpRequest) -> None:
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if int(request.META.get("CONTENT_LENGTH") or 0) > most:
        sentence = _("The body is larger than %(most)d MB: send it in several requests.")
        raise Problem(413, sentence % {"most": most // 2**20})


def projects_of(request: TokenRequest) -> ProjectQuerySet:
    """Those the token reaches: its user's, or the one it is restricted to."""
    rows = Project.objects.visible_to(request.user)
    return rows.filter(pk=request.auth.project_id) if request.auth.project_id else rows


def project_for(request: TokenRequest, slug: str, *, role: Role = Role.ANNOTATOR) -> Project:
    """404 for who is not in the project, 403 for a member without that role: as on the pages."""
    project = projects_of(request).filter(slug=slug).first() if SLUG.fullmatch(slug) else None
    if project is None:
        raise not_found()
    if role > Role.ANNOTATOR:
        project.require(request.user, role)
    return project


def assignment_for(request: TokenRequest, pk: int) -> Assignment:
    """The person's own, in a project they are still in; anything else is 404."""
    own = Assignment.objects.of(request.user).with_content()
    found = own.filter(pk=pk, task__project__in=projects_of(request)).first()
    if found is None:
        raise not_found()
    return found
