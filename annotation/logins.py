"""Who is logged in: the person that was read with their session, else by a prepared statement."""

from __future__ import annotations

from contextvars import ContextVar

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib import auth
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from annotation.models import User
from annotation.sessions import USER
from annotation.statements import prepared

ONE = f"SELECT {USER.sql} FROM annotation_user person WHERE person.id = %(id)s"

ASKING: ContextVar[SessionBase | None] = ContextVar("ASKING", default=None)
"""The session of which Django finds out whose it is."""


class Backend(AuthenticationBackend):
    """allauth's, which takes names and passwords."""

    def get_user(self, user_id: int) -> User | None:
        person = getattr(ASKING.get(), "person", None)
        if person is None or person.pk != int(user_id):
            rows = prepared(ONE, {"id": int(user_id)})
            person = USER.instance(iter(rows[0])) if rows else None
        return person if person is not None and self.user_can_authenticate(person) else None


class Middleware(AuthenticationMiddleware):
    """Django's, whose checks of the session it leaves to Django."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: person_of(request))  # type: ignore[assignment]


def person_of(request: HttpRequest) -> AbstractBaseUser | AnonymousUser:
    token = ASKING.set(request.session)
    try:
        return auth.get_user(request)
    finally:
        ASKING.reset(token)
