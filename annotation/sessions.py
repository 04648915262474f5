"""Django's sessions in the database, read by a prepared statement: every request of every page begins with it."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from annotation.statements import Columns, prepared

SESSION = Columns(Session, "session")
LIVE = f"""
SELECT {SESSION.sql} FROM django_session session
WHERE session.session_key = %(key)s::varchar AND session.expire_date > %(now)s
"""


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> Session | None:
        rows = prepared(LIVE, {"key": self.session_key, "now": timezone.now()})
        if not rows:
            self._session_key = None
            return None
        session: Session = SESSION.instance(iter(rows[0]))
        return session
