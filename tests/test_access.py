"""Every address of the product and who gets what there: one line an address, and an address without a line fails.

The addresses are read off the resolver, so a page cannot be added without saying who may see it. What an annotator
gets is also searched for what they must not learn: which source or version wrote an answer. And no nonsense in an
address, from whomever, may end in an error of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.http import QueryDict
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.access_world import PEOPLE, Expected, World, make_world
from tests.kept_world import made, world

__all__ = ["made", "world"]

NEVER_SHOWN = ("import first", "import second", "zebra")
"""Who wrote the answers, what others said of them, why a gold answer is right: an annotator receives none of these."""

INSTALLATION = (302, 403, 403, 403, 403)
"""Takes a right of the installation, not a role."""
EVERYBODY = (302, 200, 200, 200, 200)
MEMBERS = (302, 404, 200, 200, 200)
REVIEWERS = (302, 404, 403, 200, 200)
REVIEWERS_CHANGE = (302, 404, 403, 302, 302)
ADMINS = (302, 404, 403, 403, 200)
ADMINS_CHANGE = (302, 404, 403, 403, 302)
EVERYBODY_SENDS = (302, 422, 422, 422, 422)
ADMINS_SEND = (302, 404, 403, 403, 422)
"""A form with nothing in it, which is refused with a sentence."""
ONES_OWN = (302, 404, 403, 404, 200)
ONES_OWN_CHANGE = (302, 404, 403, 404, 302)
"""Of an admin; another reviewer's is none of a reviewer's."""
ALICE_ALONE = (302, 404, 422, 404, 404)
"""What Alice holds; she sends an empty form, which is refused with a sentence."""

NO_SUCH_RUNS = (302, 404, 404, 200, 200)
"""An address that names its runs behind `?`: to an annotator they are not there."""
NONE_OF_THEIRS = (302, 404, 404, 404, 404)
"""A second factor that nobody here has."""
NOTHING_TO_CONFIRM = (302, 403, 403, 403, 403)
"""Asks for a password again, which nobody here has."""

EXPECTED = {
    "login": Expected((200, 302, 302, 302, 302)),
    "logout": Expected((302,) * 5, method="post"),
    "account_login": Expected((200, 302, 302, 302, 302)),
    "account_logout": Expected((302,) * 5, method="post"),
    "account_signup": Expected((200, 302, 302, 302, 302)),  # closed to who was not invited: it says so
    "account_inactive": Expected((200,) * 5),
    "account_reauthenticate": Expected(NOTHING_TO_CONFIRM),
    "account_email": Expected(EVERYBODY),
    "account_email_verification_sent": Expected((200,) * 5),
    "account_confirm_email": Expected((200,) * 5, "key"),  # a link that is no good, and says so
    "account_change_password": Expected((302,) * 5),
    "account_set_password": Expected(EVERYBODY),
    "account_reset_password": Expected((200,) * 5),
    "account_reset_password_done": Expected((200,) * 5),
    "account_reset_password_from_key": Expected((200,) * 5, "uidb36 key"),
    "account_reset_password_from_key_done": Expected((200,) * 5),
    "mfa_index": Expected(EVERYBODY),
    "mfa_authenticate": Expected((302,) * 5),  # between the two factors only
    "mfa_reauthenticate": Expected(NOTHING_TO_CONFIRM),
    "mfa_activate_totp": Expected(EVERYBODY),
    "mfa_deactivate_totp": Expected(NONE_OF_THEIRS),
    "mfa_view_recovery_codes": Expected(NONE_OF_THEIRS),
    "mfa_generate_recovery_codes": Expected(EVERYBODY),
    "mfa_download_recovery_codes": Expected(NONE_OF_THEIRS),
    "mfa_list_webauthn": Expected(EVERYBODY),
    "mfa_add_webauthn": Expected(EVERYBODY),
    "mfa_reauthenticate_webauthn": Expected(NOTHING_TO_CONFIRM),
    "mfa_remove_webauthn": Expected(NONE_OF_THEIRS, "authenticator"),
    "mfa_edit_webauthn": Expected(NONE_OF_THEIRS, "authenticator"),
    "mfa_login_webauthn": Expected((302,) * 5),
    "usersessions_list": Expected(EVERYBODY),
    "socialaccount_login_cancelled": Expected((200,) * 5),
    "socialaccount_login_error": Expected((401,) * 5),
    "socialaccount_signup": Expected((302,) * 5),
    "socialaccount_connections": Expected(EVERYBODY),
    "openid_connect_login": Expected((404,) * 5, "provider"),
    "openid_connect_callback": Expected((404,) * 5, "provider"),
    "set_language": Expected((302,) * 5, method="post"),
    "annotation:home": Expected(EVERYBODY),
    "annotation:progress": Expected((302,) * 5, "work"),  # a part of a page that waits
    "annotation:keys": Expected(EVERYBODY, post=EVERYBODY_SENDS),
    "annotation:project_new": Expected(INSTALLATION, post=INSTALLATION),
    "annotation:project": Expected(MEMBERS, "slug"),
    "annotation:annotate": Expected(MEMBERS, "slug"),
    "annotation:undo": Expected((302, 404, 302, 302, 302), "slug", method="post"),
    "annotation:guidelines": Expected(MEMBERS, "slug", post=ADMINS_SEND),
    "annotation:guidelines_versions": Expected(MEMBERS, "slug"),
    "annotation:guidelines_seen": Expected((302, 404, 302, 302, 302), "slug", method="post"),
    "annotation:settings": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "annotation:criterion_new": Expected(ADMINS_SEND, "slug", method="post"),
    "annotation:criterion": Expected(ADMINS, "slug criterion", post=ADMINS_SEND),
    "annotation:criterion_remove": Expected(ADMINS_CHANGE, "slug criterion", method="post"),
    "annotation:people": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "annotation:member_pause": Expected(ADMINS_CHANGE, "slug member", method="post"),
    "annotation:member_remove": Expected(ADMINS_CHANGE, "slug leaver", method="post"),
    "annotation:invitations": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "annotation:invitation_revoke": Expected(ADMINS_CHANGE, "slug invitation", method="post"),
    "annotation:invitation": Expected((200,) * 5, "link", post=(200, 302, 302, 302, 302)),
    "annotation:audit": Expected(ADMINS, "slug"),
    "annotation:audit_csv": Expected(ADMINS, "slug"),
    "annotation:account": Expected(EVERYBODY),
    "annotation:account_export": Expected(EVERYBODY, method="post"),
    "annotation:account_erase": Expected(EVERYBODY, post=EVERYBODY_SENDS),
    "annotation:accounts": Expected(INSTALLATION),
    "annotation:account_of": Expected(INSTALLATION, "person"),
    "annotation:account_of_export": Expected(INSTALLATION, "person", method="post"),
    "annotation:account_of_erase": Expected(INSTALLATION, "person", post=INSTALLATION),
    "annotation:tasks": Expected(ADMINS, "slug"),
    "annotation:project_quality": Expected(REVIEWERS, "slug"),
    "annotation:tasks_new": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "annotation:tasks_change": Expected(ADMINS_SEND, "slug", method="post"),
    "annotation:gold": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "annotation:gold_new": Expected(ADMINS_SEND, "slug", method="post"),
    "annotation:repeats": Expected(ADMINS_SEND, "slug", method="post"),
    "annotation:gold_task": Expected(ADMINS, "slug task", post=ADMINS_SEND),
    "annotation:gold_unset": Expected((302, 404, 403, 403, 404), "slug task", method="post"),
    "annotation:people_csv": Expected(ADMINS, "slug"),
    "annotation:person": Expected(ADMINS, "slug member"),
    "annotation:void": Expected(ADMINS_SEND, "slug member", method="post"),
    "annotation:restore": Expected(ADMINS_CHANGE, "slug voiding", method="post"),
    "annotation:agreement": Expected(REVIEWERS, "slug"),
    "annotation:agreement_csv": Expected(REVIEWERS, "slug"),
    "annotation:consensus": Expected(REVIEWERS, "slug"),
    "annotation:adjudicate": Expected(REVIEWERS, "slug"),
    "annotation:decided": Expected(REVIEWERS, "slug"),
    "annotation:decide": Expected(REVIEWERS, "slug judged", post=(302, 404, 403, 422, 422)),
    "annotation:verdict_withdraw": Expected(REVIEWERS_CHANGE, "slug judged", method="post"),
    "annotation:leaderboard": Expected(REVIEWERS, "slug"),
    "annotation:leaderboard_csv": Expected(REVIEWERS, "slug"),
    "annotation:webhooks": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "annotation:webhook": Expected(ADMINS, "slug webhook", post=ADMINS_SEND),
    "annotation:webhook_secret": Expected(ADMINS_CHANGE, "slug webhook", method="post"),
    "annotation:webhook_test": Expected(ADMINS_CHANGE, "slug webhook", method="post"),
    "annotation:webhook_again": Expected(ADMINS_CHANGE, "slug webhook delivery", method="post"),
    "annotation:webhook_remove": Expected(ADMINS_CHANGE, "slug webhook", method="post"),
    "annotation:tokens": Expected(EVERYBODY, post=EVERYBODY_SENDS),
    "annotation:token_revoke": Expected((302, 404, 302, 404, 404), "token", method="post"),  # Alice's own
    "annotation:api_reference": Expected((200,) * 5),
    "annotation:openapi": Expected((200,) * 5),
    "annotation:api_unknown": Expected((404,) * 5, "rest"),
    "annotation:imports": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "annotation:import": Expected(ADMINS, "slug import"),
    "annotation:import_start": Expected(ADMINS_CHANGE, "slug import", method="post"),
    "annotation:import_step": Expected(ADMINS_CHANGE, "slug import", method="post"),
    "annotation:import_cancel": Expected(ADMINS_CHANGE, "slug import", method="post"),
    "annotation:import_problems": Expected(ADMINS, "slug import"),
    "annotation:export": Expected(ADMINS, "slug"),
    "annotation:export_file": Expected(ADMINS, "slug"),
    "annotation:judge": Expected(ALICE_ALONE, "assignment", method="post"),
    "annotation:skip": Expected(ALICE_ALONE, "assignment", method="post"),
    "annotation:draft": Expected((302, 404, 200, 404, 404), "assignment", method="post"),
    "annotation:revise": Expected((302, 404, 200, 404, 404), "said", post=(302, 404, 422, 404, 404)),
    "annotation:judgments": Expected(MEMBERS, "slug"),
    "training:dashboard": Expected(REVIEWERS, query="?project=support"),
    "training:freeze": Expected(ADMINS, "slug", post=ADMINS_SEND),
    "training:runs": Expected(EVERYBODY),  # an empty list for whoever reviews nothing
    "training:run_new": Expected(ADMINS, query="?project=support&kind=reward", post=ADMINS_SEND),
    "training:run": Expected(REVIEWERS, "run"),
    "training:overlay": Expected(EVERYBODY, query="?run={sweep}"),  # a sentence for whoever may not see them
    "training:sweep": Expected(REVIEWERS, "sweep"),
    "training:overlay_csv": Expected(NO_SUCH_RUNS, query="?run={sweep}"),
    "training:overlay_table": Expected(NO_SUCH_RUNS, "chart", query="?run={sweep}"),
    "training:sweep_curves": Expected(REVIEWERS, "sweep"),
    "training:sweep_csv": Expected(REVIEWERS, "sweep"),
    "training:sweep_table": Expected(REVIEWERS, "sweep chart"),
    "training:run_mail": Expected((302,) * 5, method="post"),  # one's own choice
    "training:run_curves": Expected(REVIEWERS, "run"),
    "training:run_fit": Expected(REVIEWERS, "run"),
    "training:run_csv": Expected(REVIEWERS, "run"),
    "training:run_table": Expected(REVIEWERS, "run chart"),
    "training:run_step": Expected(REVIEWERS, "run step"),
    "training:run_rewards": Expected(REVIEWERS, "run"),
    "training:run_rewards_csv": Expected(REVIEWERS, "run"),
    "training:run_cancel": Expected(ADMINS_CHANGE, "run", method="post"),
    "training:run_resume": Expected(ADMINS_CHANGE, "run", method="post"),
    "training:models": Expected(EVERYBODY),  # an empty list for whoever reviews nothing
    "training:model": Expected(REVIEWERS, "version"),
    "training:model_card": Expected(REVIEWERS, "version"),
    "training:model_card_file": Expected(REVIEWERS, "version"),
    "training:model_download": Expected(ADMINS_CHANGE, "version", method="post"),
    "training:model_push": Expected(ADMINS_CHANGE, "version", method="post"),
    "training:model_delete": Expected(ADMINS_CHANGE, "version", method="post"),
    "training:promote": Expected((302, 404, 403, 403, 422), "version", method="post"),
    "training:snapshot": Expected(REVIEWERS, "snapshot"),
    "training:answer": Expected(REVIEWERS, "answer"),
    "training:task_uses": Expected(REVIEWERS, "task"),
    "training:round_new": Expected(ADMINS, "version", post=ADMINS_SEND),
    "training:round_page": Expected(REVIEWERS, "round"),
    "training:review_open": Expected(REVIEWERS_CHANGE, method="post"),
    "training:review": Expected(REVIEWERS, "review"),
    "training:review_next": Expected(REVIEWERS_CHANGE, "review"),
    "training:review_pair": Expected(REVIEWERS, "review pair"),
    "training:review_vote": Expected(REVIEWERS_CHANGE, "review pair", method="post"),
    "training:review_comment": Expected(REVIEWERS_CHANGE, "review", method="post"),
    "training:review_close": Expected((302, 404, 403, 422, 422), "review", method="post"),
    "training:chats": Expected(REVIEWERS, "slug", post=(302, 404, 403, 422, 422)),
    "training:chat": Expected(ONES_OWN, "slug chat"),  # Dana's; an admin would see Bob's, and not speak in it
    "training:chat_say": Expected(ONES_OWN_CHANGE, "slug chat", method="post"),
    "training:chat_stop": Expected(ONES_OWN_CHANGE, "slug chat", method="post"),
    "training:chat_again": Expected(ONES_OWN_CHANGE, "slug chat", method="post"),
    "training:chat_vote": Expected(ONES_OWN_CHANGE, "slug chat", method="post"),
    "training:chat_delete": Expected(ONES_OWN_CHANGE, "slug chat", method="post"),
    "training:compare": Expected(REVIEWERS, query="?a={a}&b={b}"),
    "training:compare_generate": Expected(ADMINS_CHANGE, method="post"),
    "training:compare_tokens": Expected(ADMINS_CHANGE, method="post"),
    "training:compare_send": Expected(ADMINS_CHANGE, method="post"),
}


def names(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    """The full names of all addresses but those of Django's admin, which has a gate of its own (is_staff), and of the
    API's operations (tests/test_api_access.py)."""
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            assert pattern.name, f"{pattern.pattern} has no name"
            yield prefix + pattern.name
        elif pattern.app_name not in {"admin", "ninja"}:
            yield from names(pattern.url_patterns, f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix)


def test_every_address_says_who_may_come() -> None:
    found = list(names(get_resolver().url_patterns))
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(EXPECTED), "say in EXPECTED who gets what at each address"


@pytest.mark.parametrize("name", EXPECTED)
def test_who_gets_what(world: World, name: str) -> None:
    path = world.address(name, EXPECTED[name])
    got = {person: world.ask(person, path, EXPECTED[name].method) for person in PEOPLE}
    assert {person: status for person, (status, _) in got.items()} == dict(
        zip(PEOPLE, EXPECTED[name].statuses, strict=True)
    )
    for person in ("nobody", "charlie", "alice"):
        status, answer = got[person]
        assert not [word for word in NEVER_SHOWN if word in answer], f"{person} is told who wrote an answer"
        if status == 302 and person == "nobody" and name not in {"logout", "set_language"}:
            assert "/login/" in answer


def is_ours(name: str) -> bool:
    """Which methods the pages of a library take is its own affair."""
    return name.startswith(("annotation:", "training:")) and name != "annotation:api_unknown"


def at(expected: Expected, method: str) -> Sequence[int]:
    """What each person gets with that method at an address of ours."""
    if method == expected.method or (method == "head" and expected.method == "get"):
        return expected.statuses
    if method == "post" and expected.post:
        return expected.post
    # To log in comes first; who is logged in learns that there is no such method.
    return (302 if expected.statuses[0] == 302 else 405, 405, 405, 405, 405)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_method_by_every_person(world: World, name: str) -> None:
    expected, got = EXPECTED[name], {}
    path = world.address(name, expected)
    for method in ("get", "head", "post", "put", "delete"):
        for person in PEOPLE:
            before = transaction.savepoint()
            got[method, person] = world.ask(person, path, method)[0]
            transaction.savepoint_rollback(before)
    if is_ours(name):
        wanted = {(method, person): at(expected, method)[PEOPLE.index(person)] for method, person in got}
        assert got == wanted
    else:  # no method lets anybody further than the one that is meant
        for (method, person), status in got.items():
            usual = expected.statuses[PEOPLE.index(person)]
            further = {422, 429} if usual == 200 else set()  # a form that came back, or was sent too often
            assert status in {usual, 400, 405, 404, 403, 302} | further, (method, person, status)


@pytest.mark.parametrize("name", ["mfa_edit_webauthn", "mfa_remove_webauthn"])
def test_a_second_factor_is_its_owners_alone(world: World, name: str) -> None:
    """The one address of an account with an id in it; the others are about whoever asks."""
    own = Authenticator.objects.create(
        user=world.people["alice"], type=Authenticator.Type.WEBAUTHN, data={"name": "phone", "credential": {}}
    )
    path = world.address(name, EXPECTED[name], authenticator=own.pk)
    for person in ("nobody", "charlie", "bob", "dana"):
        for method in ("get", "post"):
            status, answer = world.ask(person, path, method)
            assert status == (302 if person == "nobody" else 404) and "phone" not in answer, (person, method)
    own.refresh_from_db()
    assert own.data["name"] == "phone"


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.needs.startswith("slug ")])
def test_an_id_of_another_project_is_not_found_under_ones_own(world: World, name: str) -> None:
    """Dana is the admin of both projects: what is looked for must be looked for in the one that is named."""
    expected, other = EXPECTED[name], make_world(world.people, slug="other")
    needs = expected.needs.split()[1:]
    for swapped in needs:  # each id alone too: a delivery of another's webhook
        path = world.address(name, expected, **{swapped: other.parts()[swapped][1]})
        for method in ("get", "post") if expected.post else (expected.method,):
            assert world.ask("dana", path, method)[0] == 404, (method, path)


def test_what_annotators_are_not_told_is_there_to_be_told(world: World) -> None:
    """Else the search above could find nothing, whatever the pages show."""
    told = "".join(
        world.ask("dana", world.address(name, EXPECTED[name]))[1] for name in ("annotation:tasks", "training:models")
    )
    assert [word for word in NEVER_SHOWN if word not in told] == []


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.method == "post"])
def test_a_change_needs_the_token_of_our_own_form(world: World, name: str) -> None:
    """Also from an admin's browser: another site may send a form there, but cannot read the token."""
    assert world.browser("dana", checks_csrf=True).post(world.address(name, EXPECTED[name])).status_code == 403
    if name.endswith("logout"):  # of ours the methods are tried above; a link must not log anybody out
        assert world.browser("dana").get(world.address(name, EXPECTED[name])).status_code == 405


@pytest.mark.parametrize("name", ["login", "set_language"])
def test_nobody_is_sent_to_another_site(world: World, name: str) -> None:
    world.people["bob"].set_password("a long password")
    world.people["bob"].save()
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        values = {"username": "bob", "password": "a long password", "language": "en", "next": elsewhere}
        response = Client().post(reverse(name), values)
        assert response.status_code == 302
        assert response["Location"] == "/"


NUMBERS = ["²", "--5", "9" * 5000, "-1"]
"""What isdigit() lets through and int() does not, what int() and a bigint cannot hold, what is no id."""
NUL = "\0"
"""What no text of the database may contain."""
NUMBER_KEYS = ("a", "b", "after", "from", "page", "snapshot", "model", "reward_model", "run")
ONE_KEY = ("__getitem__", "__contains__", "get", "getlist")
WHOLE = ("__iter__", "keys", "values", "items", "lists", "dict", "copy", "__copy__", "__deepcopy__", "urlencode")
"""Ways to read what came after `?`: a key of it, or all."""
TEXT_KEYS = ("project", "kind", "status", "order", "seen", "search", "state", "source", "next")


def keys_read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Fills while addresses are answered: the keys that somebody asked the address for, or of what came after `?`, all.

    What a view never looks for cannot be nonsense to it, and most look for a few.
    """
    read: set[str] = set()

    def watched(method: str, *, takes_key: bool) -> None:
        usual = getattr(QueryDict, method)

        def asked(self: QueryDict, *values: Any, **named: Any) -> Any:
            read.update([values[0]] if takes_key else (*NUMBER_KEYS, *TEXT_KEYS))
            return usual(self, *values, **named)

        monkeypatch.setattr(QueryDict, method, asked)

    for method in ONE_KEY:
        watched(method, takes_key=True)
    for method in WHOLE:
        watched(method, takes_key=False)
    return read


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.method == "get"])
def test_nonsense_in_an_address_is_no_error_of_ours(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test client raises what a view raises: each request here would show it."""
    path, _, query = world.address(name, EXPECTED[name]).partition("?")
    usual = dict(pair.split("=") for pair in query.split("&") if pair)
    browser = world.browser("dana")
    read = keys_read(monkeypatch)
    assert browser.get(path, usual).status_code < 500
    assert browser.get(path, usual, headers={"HX-Request": "true"}).status_code < 500
    for key in read.intersection(NUMBER_KEYS):
        for value in NUMBERS:
            assert browser.get(path, usual | {key: value}).status_code < 500
    for key in read.intersection(TEXT_KEYS):
        assert browser.get(path, usual | {key: NUL}).status_code < 500
        assert browser.get(path, usual | {key: NUL}, headers={"HX-Request": "true"}).status_code < 500
