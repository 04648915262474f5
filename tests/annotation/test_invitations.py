"""Invitations: a link makes members, as often as it says, and never lowers anybody."""

import datetime
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from annotation import actions
from annotation.models import AuditEntry, Invitation, Project, Role, User, Verb
from tests.annotation.conftest import browser_of

GONE = "cannot be used any more"


def token_in(response: HttpResponse) -> str:
    """Of the link in the one field that shows it."""
    link = response.content.decode().split('id="link" value="')[1].split('"')[0]
    return str(resolve(urlsplit(link).path).kwargs["token"])


def test_it_works(project: Project, carol: User, charlie: User) -> None:
    made = browser_of(carol).post(f"/projects/{project.slug}/invitations/", {"role": 20, "days": 7, "max_uses": 1})
    link = f"/invitations/{token_in(made)}/"
    browser = browser_of(charlie)
    assert "Support replies" in browser.get(link).content.decode()
    browser.post(link)
    assert project.role_of(charlie) == Role.REVIEWER
    verbs = set(AuditEntry.objects.filter(project=project).values_list("verb", flat=True))
    assert {Verb.INVITATION_MADE, Verb.INVITATION_ACCEPTED, Verb.MEMBER_ADDED} <= verbs


def test_the_link_is_shown_once_and_kept_nowhere(project: Project, carol: User) -> None:
    path = f"/projects/{project.slug}/invitations/"
    token = token_in(browser_of(carol).post(path, {"role": 10, "days": 7, "max_uses": 1}))
    assert Invitation.objects.of_token(token).exists()
    assert token not in browser_of(carol).get(path).content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM annotation_invitation i WHERE i::text LIKE %s", [f"%{token}%"])
        assert cursor.fetchone() == (0,)


def test_it_is_mailed(project: Project, carol: User) -> None:
    values = {"role": 10, "days": 7, "max_uses": 1, "email": "new@example.org"}
    browser_of(carol).post(f"/projects/{project.slug}/invitations/", values)
    [message] = mail.outbox
    assert message.to == ["new@example.org"]
    token = str(message.body).split("/invitations/")[1].split("/")[0]
    assert Client().get(f"/invitations/{token}/").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - datetime.timedelta(seconds=1)},
        {"num_uses": 1},
        {"digest": "other"},
    ],
)
def test_a_link_that_is_no_good_says_so(project: Project, carol: User, charlie: User, change: dict[str, Any]) -> None:
    invited = actions.invite(project, by=carol)
    Invitation.objects.update(**change)
    response = browser_of(charlie).post(f"/invitations/{invited.token}/")
    assert response.status_code == 410 and GONE in response.content.decode()
    with pytest.raises(ValueError, match=GONE):
        actions.accept_invitation(invited.token, by=charlie)
    assert project.role_of(charlie) is None


def test_nobody_is_lowered_and_no_use_is_lost(project: Project, carol: User, bob: User) -> None:
    invited = actions.invite(project, by=carol, role=Role.ANNOTATOR)
    actions.accept_invitation(invited.token, by=bob)
    assert project.role_of(bob) == Role.REVIEWER
    assert Invitation.objects.get().num_uses == 0


def test_a_higher_role_is_given(project: Project, carol: User, alice: User) -> None:
    actions.accept_invitation(actions.invite(project, by=carol, role=Role.REVIEWER).token, by=alice)
    assert project.role_of(alice) == Role.REVIEWER


def test_a_pause_is_not_ended(project: Project, carol: User, alice: User) -> None:
    actions.pause_member(project.memberships.get(user=alice), by=carol)
    invited = actions.invite(project, by=carol, role=Role.REVIEWER)
    with pytest.raises(ValueError, match="has paused you"):
        actions.accept_invitation(invited.token, by=alice)
    assert project.role_of(alice) is None


def test_taking_back(project: Project, carol: User, alice: User) -> None:
    invited = actions.invite(project, by=carol)
    path = f"/projects/{project.slug}/invitations/{invited.invitation.pk}/revoke/"
    assert browser_of(alice).post(path).status_code == 403
    browser_of(carol).post(path)
    browser_of(carol).post(path)
    assert Invitation.objects.get().state == "revoked"
    assert AuditEntry.objects.filter(verb=Verb.INVITATION_REVOKED).count() == 1


def test_an_invitation_of_another_project_is_not_taken_back_here(project: Project, carol: User, charlie: User) -> None:
    other = actions.create_project("Other", by=charlie)
    invited = actions.invite(other, by=charlie)
    path = f"/projects/{project.slug}/invitations/{invited.invitation.pk}/revoke/"
    assert browser_of(carol).post(path).status_code == 404


@pytest.mark.parametrize(("days", "max_uses"), [(0, 1), (366, 1), (7, 0), (7, 1001)])
def test_odd_numbers_are_refused(project: Project, carol: User, days: int, max_uses: int) -> None:
    values = {"role": 10, "days": days, "max_uses": max_uses}
    assert browser_of(carol).post(f"/projects/{project.slug}/invitations/", values).status_code == 422
    with pytest.raises(ValueError, match="An invitation is"):
        actions.invite(project, by=carol, days=days, max_uses=max_uses)


def test_sign_up_is_closed_but_to_who_was_invited(project: Project, carol: User) -> None:
    stranger, invited = Client(), actions.invite(project, by=carol, email="erin@example.org")
    values = {"username": "erin", "email": "erin@example.org", "password1": "quite a long one", "next": "/"}
    values["password2"] = values["password1"]
    assert "by invitation" in stranger.get("/account/signup/").content.decode()
    stranger.post("/account/signup/", values)
    assert not User.objects.filter(username="erin").exists()

    page = stranger.get(f"/invitations/{invited.token}/").content.decode()
    assert "email=erin%40example.org" in page
    there = f"/account/signup/?next=/invitations/{invited.token}/&email=erin%40example.org"
    assert 'value="erin@example.org"' in stranger.get(there).content.decode()
    response = stranger.post("/account/signup/", values | {"next": f"/invitations/{invited.token}/"})
    assert response["Location"] == f"/invitations/{invited.token}/"
    stranger.post(response["Location"])
    erin = User.objects.get(username="erin")
    assert project.role_of(erin) == Role.ANNOTATOR
    assert AuditEntry.objects.get(verb=Verb.ACCOUNT_CREATED).actor == erin
    assert not erin.emailaddress_set.get().verified  # who holds the link need not be who it was sent to


@pytest.mark.django_db(transaction=True)
def test_the_last_place_goes_to_one() -> None:
    carol = User.objects.create(username="carol")
    project = actions.create_project("Support replies", by=carol)
    invited = actions.invite(project, by=carol, max_uses=3)
    people = User.objects.bulk_create(User(username=f"person-{number}") for number in range(8))
    start, refused = threading.Barrier(len(people)), []

    def accept(person: User) -> None:
        start.wait()
        try:
            actions.accept_invitation(invited.token, by=person)
        except ValueError as error:
            refused.append(str(error))
        connection.close()

    threads = [threading.Thread(target=accept, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5 and all(GONE in sentence for sentence in refused)
    assert project.memberships.count() == 4
    assert Invitation.objects.get().num_uses == 3
