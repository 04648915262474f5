"""The pages people see when something is wrong: a sentence each, no traceback, and no page that needs another one."""

import pytest
from django.template.loader import render_to_string
from django.test import Client


@pytest.mark.django_db
def test_a_wrong_address_gets_a_sentence(client: Client) -> None:
    response = client.get("/no/such/page/")
    assert response.status_code == 404
    assert "not a member of" in response.content.decode()


@pytest.mark.django_db
def test_a_form_without_its_token_gets_a_sentence() -> None:
    response = Client(enforce_csrf_checks=True).post("/login/", {"username": "alice", "password": "x"})
    assert response.status_code == 403
    assert "too old to be sent" in response.content.decode()


def test_the_page_for_our_own_mistakes_needs_no_request() -> None:
    page = render_to_string("500.html")
    assert "on our side" in page
    assert "Log out" not in page


@pytest.mark.django_db
def test_login_names_what_is_wrong(client: Client) -> None:
    response = client.post("/login/", {"username": "alice", "password": "wrong"})
    assert response.status_code == 200
    assert "correct username and password" in response.content.decode()
