"""Who is logged in, read by a prepared statement as the session is: every request of every page asks it."""

from __future__ import annotations

from allauth.account.auth_backends import AuthenticationBackend

from annotation.models import User
from annotation.statements import Columns, prepared

USER = Columns(User, "person")
ONE = f"SELECT {USER.sql} FROM annotation_user person WHERE person.id = %(id)s"


class Backend(AuthenticationBackend):
    """allauth's, which takes names and passwords."""

    def get_user(self, user_id: int) -> User | None:
        rows = prepared(ONE, {"id": int(user_id)})
        person: User | None = USER.instance(iter(rows[0])) if rows else None
        return person if person is not None and self.user_can_authenticate(person) else None
