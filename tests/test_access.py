"""Every address of the product and who gets what there: one line an address, and an address without a line fails.

The addresses are read off the resolver, so a page cannot be added without saying who may see it. What an annotator
gets is also searched for what they must not learn: which source or version wrote an answer. And no nonsense in an
address, from whomever, may end in an error of ours.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from annotation import actions, queue
from annotation.actions import imports
from annotation.models import ApiToken, Assignment, Import, Membership, Project, Role, User, Voiding, WebhookDelivery
from tests.training import rows
from training.models import ModelVersion, Run

PEOPLE = ("nobody", "charlie", "alice", "bob", "dana")
"""Not logged in; a stranger to the project; its annotator, its reviewer, its admin."""
NEVER_SHOWN = ("import first", "import second", "zebra")
"""Who wrote the answers: nothing that an annotator receives may contain one of these."""


@dataclass(frozen=True)
class Expected:
    statuses: tuple[int, int, int, int, int]
    """In the order of PEOPLE."""
    needs: str = ""
    """The parts of the address, in words."""
    method: str = "get"
    query: str = ""


EVERYBODY = (302, 200, 200, 200, 200)
MEMBERS = (302, 404, 200, 200, 200)
REVIEWERS = (302, 404, 403, 200, 200)
REVIEWERS_CHANGE = (302, 404, 403, 302, 302)
ADMINS = (302, 404, 403, 403, 200)
ADMINS_CHANGE = (302, 404, 403, 403, 302)
ALICE_ALONE = (302, 404, 422, 404, 404)
"""What Alice holds; she sends an empty form, which is refused with a sentence."""

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
    "annotation:keys": Expected(EVERYBODY),
    "annotation:project_new": Expected((302, 403, 403, 403, 403)),  # takes a right of the installation, not a role
    "annotation:project": Expected(MEMBERS, "slug"),
    "annotation:annotate": Expected(MEMBERS, "slug"),
    "annotation:undo": Expected((302, 404, 302, 302, 302), "slug", method="post"),
    "annotation:guidelines": Expected(MEMBERS, "slug"),
    "annotation:guidelines_versions": Expected(MEMBERS, "slug"),
    "annotation:guidelines_seen": Expected((302, 404, 302, 302, 302), "slug", method="post"),
    "annotation:settings": Expected(ADMINS, "slug"),
    "annotation:criterion_new": Expected((302, 404, 403, 403, 422), "slug", method="post"),
    "annotation:criterion": Expected(ADMINS, "slug criterion"),
    "annotation:criterion_remove": Expected(ADMINS_CHANGE, "slug criterion", method="post"),
    "annotation:people": Expected(ADMINS, "slug"),
    "annotation:member_pause": Expected(ADMINS_CHANGE, "slug member", method="post"),
    "annotation:member_remove": Expected(ADMINS_CHANGE, "slug leaver", method="post"),
    "annotation:invitations": Expected(ADMINS, "slug"),
    "annotation:invitation_revoke": Expected(ADMINS_CHANGE, "slug invitation", method="post"),
    "annotation:invitation": Expected((200,) * 5, "link"),
    "annotation:audit": Expected(ADMINS, "slug"),
    "annotation:audit_csv": Expected(ADMINS, "slug"),
    "annotation:account": Expected(EVERYBODY),
    "annotation:account_export": Expected(EVERYBODY, method="post"),
    "annotation:account_erase": Expected(EVERYBODY),
    "annotation:accounts": Expected((302, 403, 403, 403, 403)),  # take a right of the installation, not a role
    "annotation:account_of": Expected((302, 403, 403, 403, 403), "person"),
    "annotation:account_of_export": Expected((302, 403, 403, 403, 403), "person", method="post"),
    "annotation:account_of_erase": Expected((302, 403, 403, 403, 403), "person"),
    "annotation:tasks": Expected(ADMINS, "slug"),
    "annotation:project_quality": Expected(REVIEWERS, "slug"),
    "annotation:tasks_new": Expected(ADMINS, "slug"),
    "annotation:tasks_change": Expected((302, 404, 403, 403, 422), "slug", method="post"),
    "annotation:gold": Expected(ADMINS, "slug"),
    "annotation:gold_new": Expected((302, 404, 403, 403, 422), "slug", method="post"),
    "annotation:repeats": Expected((302, 404, 403, 403, 422), "slug", method="post"),
    "annotation:gold_task": Expected(ADMINS, "slug task"),
    "annotation:gold_unset": Expected((302, 404, 403, 403, 404), "slug task", method="post"),
    "annotation:people_csv": Expected(ADMINS, "slug"),
    "annotation:person": Expected(ADMINS, "slug member"),
    "annotation:void": Expected((302, 404, 403, 403, 422), "slug member", method="post"),
    "annotation:restore": Expected(ADMINS_CHANGE, "slug voiding", method="post"),
    "annotation:agreement": Expected(REVIEWERS, "slug"),
    "annotation:agreement_csv": Expected(REVIEWERS, "slug"),
    "annotation:consensus": Expected(REVIEWERS, "slug"),
    "annotation:adjudicate": Expected(REVIEWERS, "slug"),
    "annotation:decided": Expected(REVIEWERS, "slug"),
    "annotation:decide": Expected(REVIEWERS, "slug judged"),
    "annotation:verdict_withdraw": Expected(REVIEWERS_CHANGE, "slug judged", method="post"),
    "annotation:leaderboard": Expected(REVIEWERS, "slug"),
    "annotation:leaderboard_csv": Expected(REVIEWERS, "slug"),
    "annotation:webhooks": Expected(ADMINS, "slug"),
    "annotation:webhook": Expected(ADMINS, "slug webhook"),
    "annotation:webhook_secret": Expected(ADMINS_CHANGE, "slug webhook", method="post"),
    "annotation:webhook_test": Expected(ADMINS_CHANGE, "slug webhook", method="post"),
    "annotation:webhook_again": Expected(ADMINS_CHANGE, "slug webhook delivery", method="post"),
    "annotation:webhook_remove": Expected(ADMINS_CHANGE, "slug webhook", method="post"),
    "annotation:tokens": Expected(EVERYBODY),
    "annotation:token_revoke": Expected((302, 404, 302, 404, 404), "token", method="post"),  # Alice's own
    "annotation:api_reference": Expected((200,) * 5),
    "annotation:openapi": Expected((200,) * 5),
    "annotation:api_unknown": Expected((404,) * 5, "rest"),
    "annotation:imports": Expected(ADMINS, "slug"),
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
    "annotation:revise": Expected((302, 404, 302, 404, 404), "assignment"),  # not judged yet: to the task page
    "annotation:judgments": Expected(MEMBERS, "slug"),
    "training:dashboard": Expected(REVIEWERS, query="?project=support"),
    "training:freeze": Expected(ADMINS, "slug"),
    "training:runs": Expected(EVERYBODY),  # an empty list for whoever reviews nothing
    "training:run_new": Expected(ADMINS, query="?project=support&kind=reward"),
    "training:run": Expected(REVIEWERS, "run"),
    "training:run_curves": Expected(REVIEWERS, "run"),
    "training:run_csv": Expected(REVIEWERS, "run"),
    "training:run_table": Expected(REVIEWERS, "run chart"),
    "training:run_cancel": Expected(ADMINS_CHANGE, "run", method="post"),
    "training:run_resume": Expected(ADMINS_CHANGE, "run", method="post"),
    "training:models": Expected(EVERYBODY),  # an empty list for whoever reviews nothing
    "training:model": Expected(REVIEWERS, "version"),
    "training:promote": Expected((302, 404, 403, 403, 422), "version", method="post"),
    "training:compare": Expected(REVIEWERS, query="?a={a}&b={b}"),
    "training:compare_generate": Expected(ADMINS_CHANGE, method="post"),
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


@dataclass(frozen=True)
class World:
    """A project that went round the loop once, with a task in Alice's hands."""

    people: dict[str, User]
    project: Project
    lent: Assignment
    voiding: Voiding
    file: Import
    run: Run
    a: ModelVersion
    b: ModelVersion
    told: WebhookDelivery
    token: ApiToken
    invited: actions.Invited
    leaver: Membership

    def address(self, name: str) -> str:
        bob = self.project.memberships.get(user=self.people["bob"])
        parts = {
            "slug": ("slug", self.project.slug),
            "member": ("pk", bob.pk),
            "leaver": ("pk", self.leaver.pk),
            "assignment": ("pk", self.lent.pk),
            "task": ("pk", self.lent.task_id),
            "voiding": ("pk", self.voiding.pk),
            "criterion": ("pk", self.project.criteria.get().pk),
            "judged": ("pk", self.project.tasks.filter(num_judged__gt=0).earliest("pk").pk),
            "import": ("pk", self.file.pk),
            "run": ("pk", self.run.pk),
            "version": ("pk", self.b.pk),
            "chart": ("chart", "reward"),
            "webhook": ("pk", self.told.webhook_id),
            "delivery": ("delivery", self.told.pk),
            "token": ("pk", self.token.pk),
            "rest": ("rest", "no/such/thing"),
            "invitation": ("pk", self.invited.invitation.pk),
            "link": ("token", self.invited.token),
            "person": ("pk", bob.user.pk),
            "key": ("key", "no-such-key"),
            "uidb36": ("uidb36", "1"),
            "authenticator": ("pk", 1),
            "provider": ("provider_id", "none"),
        }
        expected = EXPECTED[name]
        path = reverse(name, kwargs=dict(parts[need] for need in expected.needs.split()))
        return path + expected.query.format(a=self.a.pk, b=self.b.pk)

    def browser(self, person: str, *, checks_csrf: bool = False) -> Client:
        client = Client(enforce_csrf_checks=checks_csrf)
        if person != "nobody":
            client.force_login(self.people[person])
        return client

    def ask(self, person: str, name: str) -> tuple[int, str]:
        """Status, and all that came: the page and where it sends one."""
        # Both versions are named in the body too, for the addresses that take them from a form.
        response = getattr(self.browser(person), EXPECTED[name].method)(
            self.address(name), {"a": self.a.pk, "b": self.b.pk} if EXPECTED[name].method == "post" else None
        )
        body = b"".join(response.streaming_content) if response.streaming else response.content
        if response.headers.get("Content-Type") == "application/zip":
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                body = b"\n".join(archive.read(name) for name in archive.namelist())
        return response.status_code, f"{dict(response.headers)}\n{body.decode()}"


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> World:
    settings.UPLOADS_DIR = tmp_path
    project = Project.objects.create(slug="support", name="Support replies")
    roles = {"alice": Role.ANNOTATOR, "bob": Role.REVIEWER, "dana": Role.ADMIN}
    people = {name: User.objects.create_user(name) for name in (*roles, "charlie")}
    for name, role in roles.items():
        actions.add_member(project, user=people[name], role=role)

    actions.add_criterion(project, key="kind", name="Kind")
    prompts = rows.prompts(project)
    rows.label(project, by=people["bob"], prompts=prompts[:2])
    base, frozen = rows.base(project, "zebra-base"), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    tuned.name = "zebra-tuned"
    tuned.save(update_fields=["name"])
    answers = [rows.answer(prompts[3], f"Answer {number}.", source=f"zebra-{number}") for number in range(2)]
    project.tasks.create(prompt=prompts[3], kind="comparison", response_a=answers[0], response_b=answers[1], overlap=2)
    lent = queue.claim(people["alice"], project=project)
    assert lent
    assert tuned.run
    voiding = project.voidings.create(annotator=people["alice"], reason="guessed", voided_by=people["dana"])
    webhook = actions.add_webhook(project, url="http://127.0.0.1:9/", events=["import.finished"], by=people["dana"])
    token = actions.create_token(people["alice"], name="nightly", scopes=["read"]).row
    told = actions.send_test(webhook)
    sent = SimpleUploadedFile("pairs.jsonl", b'{"prompt": "Sky?", "responses": ["Blue."]}\n')
    file = imports.keep_upload(project, sent, by=people["dana"])
    invited = actions.invite(project, by=people["dana"], max_uses=5)
    leaver = actions.add_member(project, user=User.objects.create_user("erin"))
    return World(people, project, lent, voiding, file, tuned.run, base, tuned, told, token, invited, leaver)


def test_every_address_says_who_may_come() -> None:
    found = list(names(get_resolver().url_patterns))
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(EXPECTED), "say in EXPECTED who gets what at each address"


@pytest.mark.parametrize("name", EXPECTED)
def test_who_gets_what(world: World, name: str) -> None:
    got = {person: world.ask(person, name) for person in PEOPLE}
    assert {person: status for person, (status, _) in got.items()} == dict(
        zip(PEOPLE, EXPECTED[name].statuses, strict=True)
    )
    for person in ("nobody", "charlie", "alice"):
        status, answer = got[person]
        assert not [word for word in NEVER_SHOWN if word in answer], f"{person} is told who wrote an answer"
        if status == 302 and person == "nobody" and name not in {"logout", "set_language"}:
            assert "/login/" in answer


def test_what_annotators_are_not_told_is_there_to_be_told(world: World) -> None:
    """Else the search above could find nothing, whatever the pages show."""
    told = "".join(world.ask("dana", name)[1] for name in ("annotation:tasks", "training:models"))
    assert [word for word in NEVER_SHOWN if word not in told] == []


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.method == "post"])
def test_a_change_needs_the_token_of_our_own_form(world: World, name: str) -> None:
    """Also from an admin's browser: another site may send a form there, but cannot read the token."""
    assert world.browser("dana", checks_csrf=True).post(world.address(name)).status_code == 403
    if name != "set_language":  # Django's own, which changes nothing on GET
        assert world.browser("dana").get(world.address(name)).status_code == 405


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


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.method == "get"])
def test_nonsense_in_an_address_is_no_error_of_ours(world: World, name: str) -> None:
    """The test client raises what a view raises: each request here would show it."""
    path, _, query = world.address(name).partition("?")
    usual = dict(pair.split("=") for pair in query.split("&") if pair)
    browser = world.browser("dana")
    for key in ("a", "b", "after", "from", "page", "snapshot", "model", "reward_model"):
        for value in NUMBERS:
            assert browser.get(path, usual | {key: value}).status_code < 500
    for key in ("project", "kind", "status", "order", "seen", "search", "state", "source", "next"):
        assert browser.get(path, usual | {key: NUL}).status_code < 500
        assert browser.get(path, usual | {key: NUL}, headers={"HX-Request": "true"}).status_code < 500
