"""The fence that every page of this side stands behind: who goes to the login, who gets 404, 403, or the page."""

from dataclasses import dataclass

from django.test import Client

from annotation.models import User


@dataclass(frozen=True)
class Cast:
    """Alice annotates, Bob reviews, Charlie is a stranger, Dana is an admin."""

    alice: User
    bob: User
    charlie: User
    dana: User


def check(cast: Cast, address: str, *, admin_only: bool = False, method: str = "get", allows: str = "GET") -> None:
    """Strangers 404, annotators 403, reviewers 403 where only admins may; the wrong method 405; nobody: the login."""
    statuses = {}
    for name in ("alice", "bob", "charlie", "dana"):
        client = Client()
        client.force_login(getattr(cast, name))
        statuses[name] = getattr(client, method)(address).status_code
    assert statuses["charlie"] == 404, statuses
    assert statuses["alice"] == 403, statuses
    assert (statuses["bob"] == 403) == admin_only, statuses
    assert statuses["dana"] not in (403, 404, 500), statuses

    nobody = getattr(Client(), method)(address)
    assert nobody.status_code == 302, "nobody is sent to the login"
    assert nobody["Location"].startswith("/login/"), nobody["Location"]

    client = Client()
    client.force_login(cast.dana)
    wrong = client.put(address)
    assert wrong.status_code == 405, "the wrong method is refused"
    assert set(allows.split(", ")) <= set(wrong["Allow"].split(", ")), wrong["Allow"]
