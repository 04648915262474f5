"""Django's sessions in the database, read with whose they are by the prepared statement that begins every request."""

from __future__ import annotations

from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends import db
from django.utils import timezone

from annotation.models import User
from annotation.statements import Columns, prepared

USER = Columns(User, "person")
# Whose a session is stands inside it, signed. allauth notes it beside, so that the person can be read along.
LIVE = f"""
SELECT session.session_data, {USER.sql}
FROM django_session session
LEFT JOIN {UserSession._meta.db_table} noted ON noted.session_key = session.session_key
LEFT JOIN annotation_user person ON person.id = noted.user_id
WHERE session.session_key = %(key)s::varchar AND session.expire_date > %(now)s
"""


class SessionStore(db.SessionStore):
    person: User | None = None
    """Whose it is by allauth's note, as it was when the session was read. What the session says decides."""

    def load(self) -> dict[str, Any]:
        rows = prepared(LIVE, {"key": self.session_key, "now": timezone.now()})
        if not rows:
            self._session_key = None
            return {}
        data, *person = rows[0]
        self.person = USER.instance(iter(person))
        said: dict[str, Any] = self.decode(data)
        return said
