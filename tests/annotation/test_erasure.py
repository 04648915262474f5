"""A person's data given to them, and taken out: afterwards no text column of the database knows who they were."""

import io
import json
import uuid
import zipfile
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection, models
from django.test import Client

from annotation import actions, queue
from annotation.actions.account_data import relations
from annotation.models import (
    Assignment,
    AuditEntry,
    Draft,
    Invitation,
    Judgment,
    Project,
    Response,
    Role,
    Task,
    User,
    Verb,
    asked_from,
)
from tests.annotation import authenticator
from tests.annotation.conftest import browser_of, make_tasks

SECRET = "JBSWY3DPEHPK3PXP"
PASSWORD = "correct horse battery"
TRACES = ("zaphod", "beeblebrox", "@heartofgold", "198.51.100.77", "improbable")
"""Parts of names, addresses and texts of the person; nothing else in the tests contains them."""


@pytest.fixture
def zaphod(project: Project, carol: User) -> User:
    """Somebody of whom there is everything: a name, addresses, factors, labels, drafts, texts, log entries."""
    user = User.objects.create_user(
        "zaphod", "zaphod@heartofgold.example", PASSWORD, first_name="Zaphod", last_name="Beeblebrox"
    )
    user.key_bindings = {"skip": "z"}
    user.save()
    with asked_from("198.51.100.77"):
        actions.add_member(project, user=user, role=Role.REVIEWER, by=user)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    SocialAccount.objects.create(user=user, provider="corp", uid="zaphod", extra_data={"name": "Zaphod"})
    TOTP.activate(user, SECRET)
    actions.invite(project, by=carol, email="ZAPHOD@heartofgold.example".lower())
    make_tasks(project, 4)
    answer(project, user)
    skipped = queue.claim(user, project=project)
    assert skipped
    actions.skip(skipped, by=user, reason="other", note="improbable, says zaphod")
    held = queue.claim(user, project=project)
    assert held
    Draft.objects.create(assignment=held, values={"rationale": "improbable"})
    row = ContentType.objects.get_for_model(User)
    log = {"user": carol, "content_type": row, "action_flag": CHANGE}
    LogEntry.objects.create(**log, object_id=str(user.pk), object_repr="zaphod", change_message="[]")
    inside = json.dumps([{"changed": {"name": "membership", "object": "zaphod · Support replies", "fields": ["role"]}}])
    LogEntry.objects.create(**log, object_id="0", object_repr="Support replies", change_message=inside)
    return user


def answer(project: Project, user: User) -> Judgment:
    lent = queue.claim(user, project=project)
    assert lent
    text = {lent.task.response_a_id: "an improbable correction"}
    given: dict[str, Any] = {"preferred": lent.left, "strength": 2, "rationale": "improbable", "corrections": text}
    return actions.judge(lent, by=user, submission_key=uuid.uuid4(), **given).judgment


def logged_in(user: User) -> Client:
    browser = Client(REMOTE_ADDR="198.51.100.77", headers={"User-Agent": "a browser"})
    browser.post("/login/", {"username": user.username, "password": PASSWORD})
    browser.post("/account/two-factor/authenticate/", {"code": authenticator.code(SECRET)})
    assert browser.session["_auth_user_id"] == str(user.pk)
    return browser


def traces() -> list[str]:
    """table.column: what of the person is still there, over every column that can hold a text, sessions decoded."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
            " AND data_type IN ('text', 'character varying', 'jsonb', 'json', 'inet', 'ARRAY', 'bytea')"
        )
        columns = cursor.fetchall()
        assert len(columns) > 100, "the list of columns is not what it should be"
        for table, column in columns:
            for trace in TRACES:
                cursor.execute(f'SELECT count(*) FROM "{table}" WHERE "{column}"::text ILIKE %s', [f"%{trace}%"])
                if cursor.fetchone() != (0,):
                    found.append(f"{table}.{column}: {trace}")
    for session in Session.objects.all():
        found += [f"session: {trace}" for trace in TRACES if trace in json.dumps(session.get_decoded()).lower()]
    return found


def test_nothing_is_left_that_names_them(project: Project, zaphod: User, carol: User) -> None:
    browser = logged_in(zaphod)
    before = {line.split(":")[0] for line in traces()}
    assert {
        "annotation_user.username",
        "annotation_auditentry.address",
        "annotation_judgment.rationale",
        "annotation_draft.values",
        "annotation_response.text",
        "account_emailaddress.email",
        "annotation_invitation.email",
        "django_admin_log.object_repr",
        "django_admin_log.change_message",
        "socialaccount_socialaccount.uid",
        "usersessions_usersession.ip",
        "session",
    } <= before, "or the search below would prove nothing"
    answered = browser.post("/account/erase/", {"username": "zaphod", "password": PASSWORD, "with_texts": "on"})
    assert answered["Location"] == "/login/"
    assert traces() == []
    assert browser.get("/")["Location"].startswith("/login/")
    user = User.objects.get(pk=zaphod.pk)
    assert not user.is_active and not user.has_usable_password() and user.key_bindings == {}
    assert not UserSession.objects.filter(user=user).exists()
    assert AuditEntry.objects.get(verb=Verb.ACCOUNT_ERASED).details == {"with_texts": True}


def test_what_they_did_for_the_project_stays(project: Project, zaphod: User, carol: User) -> None:
    judged = Judgment.objects.counted().of(zaphod).get()
    actions.erase_account(zaphod, by=zaphod, with_texts=False)
    kept = Judgment.objects.counted().get()
    assert (kept.pk, kept.strength, kept.rationale) == (judged.pk, 2, "improbable")
    assert str(kept.annotator) == f"erased-{zaphod.pk}"
    assert Response.objects.get(source=Response.CORRECTION).text == "an improbable correction"
    assert project.role_of(zaphod) is None
    assert Invitation.objects.get().email == ""


def test_what_they_held_goes_back(project: Project, zaphod: User) -> None:
    held = Assignment.objects.get(annotator=zaphod, status=Assignment.Status.LEASED)
    actions.erase_account(zaphod, by=zaphod, with_texts=False)
    task = Task.objects.get(pk=held.task_id)
    assert task.num_leased == 0
    assert not Draft.objects.exists()


def test_corrections_that_became_tasks_stay_without_an_author(project: Project, zaphod: User) -> None:
    correction = Response.objects.get(source=Response.CORRECTION)
    project.tasks.create(prompt=correction.prompt, kind="rating", response_a=correction)
    actions.erase_account(zaphod, by=zaphod, with_texts=True)
    correction.refresh_from_db()
    assert correction.author is None and correction.text


def test_nobody_is_left_without_an_admin(project: Project, carol: User) -> None:
    with pytest.raises(ValueError, match="last admin of Support replies"):
        actions.erase_account(carol, by=carol, with_texts=False)
    carol.refresh_from_db()
    assert carol.username == "carol" and project.role_of(carol) == Role.ADMIN
    root = User.objects.create(username="root", is_superuser=True)
    with pytest.raises(ValueError, match="runs the installation"):
        actions.erase_account(root, by=root, with_texts=False)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"username": "zaphod", "password": "wrong"}, "This is not your password"),
        ({"username": "someone", "password": PASSWORD}, "This is not the name of the account"),
        ({}, "This field is required"),
    ],
)
def test_it_takes_the_password_and_the_name(zaphod: User, values: dict[str, str], sentence: str) -> None:
    response = browser_of(zaphod).post("/account/erase/", values)
    assert response.status_code == 422 and sentence in response.content.decode()
    assert User.objects.filter(username="zaphod").exists()


def test_who_runs_the_installation_erases_others(zaphod: User, carol: User) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    there = f"/accounts/{zaphod.pk}/erase/"
    assert browser_of(carol).post(there, {"username": "zaphod", "password": "x"}).status_code == 403
    browser = browser_of(root)
    assert "zaphod" in browser.get("/accounts/", {"search": "heartofgold"}).content.decode()
    assert browser.post(there, {"username": "zaphod", "password": PASSWORD})["Location"] == "/accounts/"
    entry = AuditEntry.objects.get(verb=Verb.ACCOUNT_ERASED)
    assert (entry.actor, entry.about_id, entry.address) == (root, zaphod.pk, "127.0.0.1")


def test_the_data_are_given(project: Project, zaphod: User) -> None:
    response = browser_of(zaphod).post("/account/export/")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        files = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    account = files["account.json"]
    assert account["username"] == "zaphod" and account["email_addresses"][0]["email"] == zaphod.email
    assert account["services"][0]["extra_data"] == {"name": "Zaphod"} and account["second_factors"][0]["type"] == "totp"
    [judgment] = files["judgments.json"]
    assert "frozen_at" not in judgment, "of votes only it would tell them from answers to gold tasks"
    assert judgment["rationale"] == "improbable" and judgment["corrections"] == ["an improbable correction"]
    assert files["drafts.json"][0]["values"] == {"rationale": "improbable"}
    assert files["audit.json"][0]["address"] == "198.51.100.77"
    assert files["elsewhere.json"]["annotation.Membership.user"][0]["role"] == Role.REVIEWER
    assert {row["skip_note"] for row in files["assignments.json"]} == {"", "improbable, says zaphod"}
    text = json.dumps(files)
    for secret in (
        User.objects.get(pk=zaphod.pk).password,
        SECRET,
        Authenticator.objects.get().data["secret"],
    ):
        assert secret not in text
    for untold in ("plain answer", "long answer"):  # the sources
        assert f'"source": "{untold}"' not in text


def test_every_pointer_to_a_person_says_what_becomes_of_it() -> None:
    """Kept rows point at a number from then on; a rule that the database cannot follow would raise when it is tried."""
    rules = {relation.on_delete for relation in relations()}
    assert len(relations()) > 20
    assert rules <= {models.CASCADE, models.PROTECT, models.SET_NULL, models.DO_NOTHING}
