"""Whose a session is: the session decides, allauth's note of it only spares a statement."""

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from annotation.models import Project, User
from tests.annotation.conftest import browser_of

pytestmark = pytest.mark.django_db


def noted(browser: Client, person: User) -> None:
    UserSession.objects.create(user=person, session_key=browser.session.session_key, ip="127.0.0.1")


def name_shown(browser: Client, project: Project) -> User:
    user: User = browser.get(reverse("annotation:project", args=[project.slug])).context["user"]
    return user


def test_a_login_on_the_login_page_is_noted(project: Project, alice: User) -> None:
    alice.set_password("a long password of hers")
    alice.save()
    browser = Client()
    browser.post(reverse("login"), {"username": alice.username, "password": "a long password of hers"})
    assert UserSession.objects.get(session_key=browser.session.session_key).user == alice
    assert name_shown(browser, project) == alice


def test_without_a_note_the_person_is_read_by_a_statement_of_its_own(
    project: Project, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    browser = browser_of(alice)
    address = reverse("annotation:judgments", args=[project.slug])
    with django_assert_max_num_queries(100) as before:
        assert browser.get(address).context["user"] == alice
    noted(browser, alice)
    with django_assert_max_num_queries(len(before) - 1):
        assert browser.get(address).context["user"] == alice


def test_a_note_that_names_somebody_else_changes_nothing(project: Project, alice: User, bob: User) -> None:
    browser = browser_of(alice)
    noted(browser, bob)
    assert name_shown(browser, project) == alice


def test_who_was_shut_out_stays_out_at_once(project: Project, alice: User) -> None:
    browser = browser_of(alice)
    noted(browser, alice)
    alice.is_active = False
    alice.save()
    assert browser.get(reverse("annotation:project", args=[project.slug])).status_code == 302


def test_a_changed_password_ends_the_other_sessions(project: Project, alice: User) -> None:
    browser = browser_of(alice)
    noted(browser, alice)
    alice.set_password("another long password")
    alice.save()
    assert browser.get(reverse("annotation:project", args=[project.slug])).status_code == 302


def test_a_note_alone_lets_nobody_in(project: Project, alice: User) -> None:
    browser = browser_of(alice)
    noted(browser, alice)
    Session.objects.all().delete()
    assert browser.get(reverse("annotation:project", args=[project.slug])).status_code == 302
