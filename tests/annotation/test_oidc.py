"""Logging in with a service: the code flow against a real one on loopback; verified e-mail alone links an account."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import Client

from annotation import actions
from annotation.models import Project, User
from config.oidc import providers
from tests.annotation import oidc_provider
from tests.annotation.oidc_provider import CLIENT, SECRET, Provider


@pytest.fixture
def corp(settings: Any, db: None) -> Iterator[Provider]:
    with oidc_provider.running() as provider:
        values = {"ISSUER": provider.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "NAME": "Our directory"}
        environment = {"OIDC_PROVIDERS": "corp"} | {f"OIDC_CORP_{key}": value for key, value in values.items()}
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": providers(environment)}
        }
        yield provider


def log_in(browser: Client, provider: Provider, **claims: Any) -> HttpResponse:
    """Through the button on the login page, the service, and back."""
    provider.claims = claims
    there = browser.post("/account/oidc/corp/login/?process=login")["Location"]
    back = requests.get(there, allow_redirects=False, timeout=10).headers["Location"]
    return browser.get(back)


def who(browser: Client) -> str | None:
    return browser.session.get("_auth_user_id")


def test_it_works(corp: Provider, alice: User) -> None:
    EmailAddress.objects.create(user=alice, email="alice@example.org", verified=True, primary=True)
    browser = Client()
    assert "Log in with Our directory" in browser.get("/login/").content.decode()
    response = log_in(browser, corp, sub="7", email="alice@example.org", email_verified=True)
    assert response["Location"] == "/" and who(browser) == str(alice.pk)
    assert not corp.refused
    again = Client()
    log_in(again, corp, sub="7", email="another@example.org", email_verified=False)  # known by its sub from now on
    assert who(again) == str(alice.pk)


@pytest.mark.parametrize("verified", [False, None, "false", "no", 0])
def test_an_address_that_the_service_has_not_verified_links_nothing(corp: Provider, alice: User, verified: Any) -> None:
    EmailAddress.objects.create(user=alice, email="alice@example.org", verified=True, primary=True)
    browser = Client()
    log_in(browser, corp, sub="666", email="alice@example.org", email_verified=verified)
    assert who(browser) is None and not SocialAccount.objects.exists()


def test_a_password_of_who_never_verified_the_address_ends(corp: Provider, alice: User) -> None:
    """Somebody may have written another's address into their account, and waited."""
    alice.set_password("known to the attacker")
    alice.email = "victim@example.org"
    alice.save()
    browser = Client()
    log_in(browser, corp, sub="7", email="victim@example.org", email_verified=True)
    alice.refresh_from_db()
    assert who(browser) == str(alice.pk) and not alice.has_usable_password()


def test_strangers_need_an_invitation(corp: Provider, project: Project, carol: User) -> None:
    browser = Client()
    answer = log_in(browser, corp, sub="9", email="new@example.org", email_verified=True, preferred_username="newcomer")
    assert "by invitation" in answer.content.decode() and not User.objects.filter(email="new@example.org").exists()

    invited = actions.invite(project, by=carol)
    browser.get(f"/invitations/{invited.token}/")
    log_in(browser, corp, sub="9", email="new@example.org", email_verified=True, preferred_username="newcomer")
    newcomer = User.objects.get(username="newcomer")
    assert who(browser) == str(newcomer.pk) and not newcomer.has_usable_password()


@pytest.mark.parametrize("lie", [{"audience": "another client"}, {"says_issuer": "https://evil.example"}])
def test_a_token_for_somebody_else_is_refused(corp: Provider, alice: User, lie: dict[str, str]) -> None:
    EmailAddress.objects.create(user=alice, email="alice@example.org", verified=True, primary=True)
    for name, value in lie.items():
        setattr(corp, name, value)
    browser = Client()
    response = log_in(browser, corp, sub="7", email="alice@example.org", email_verified=True)
    assert who(browser) is None and response.status_code == 401
    assert "Log in" in response.content.decode()


FORGED: dict[str, dict[str, Any]] = {
    "another's key": {"signing_key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
    "no signature": {"signing_key": None, "algorithm": "none"},
    "a secret that everybody knows": {"signing_key": b"the published key, taken for a secret", "algorithm": "HS256"},
    "userinfo of somebody else": {"told_at_userinfo": {"sub": "8"}},
}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_token_that_the_service_did_not_sign_is_refused(corp: Provider, alice: User, forgery: str) -> None:
    """In the code flow, too, where the standard would trust whoever answers at the service's address."""
    EmailAddress.objects.create(user=alice, email="alice@example.org", verified=True, primary=True)
    for name, value in FORGED[forgery].items():
        setattr(corp, name, value)
    browser = Client()
    response = log_in(browser, corp, sub="7", email="alice@example.org", email_verified=True)
    assert who(browser) is None and response.status_code == 401
    assert not corp.refused and not SocialAccount.objects.exists()


def test_an_answer_that_nobody_asked_for_is_refused(corp: Provider, alice: User) -> None:
    EmailAddress.objects.create(user=alice, email="alice@example.org", verified=True, primary=True)
    corp.claims = {"sub": "7", "email": "alice@example.org", "email_verified": True}
    asker, victim = Client(), Client()
    there = asker.post("/account/oidc/corp/login/?process=login")["Location"]
    assert parse_qs(urlsplit(there).query)["code_challenge_method"] == ["S256"]
    back = requests.get(there, allow_redirects=False, timeout=10).headers["Location"]
    assert victim.get(back).status_code == 401 and who(victim) is None


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"OIDC_PROVIDERS": "corp"}, "set OIDC_CORP_ISSUER and OIDC_CORP_CLIENT_ID and OIDC_CORP_CLIENT_SECRET"),
        ({"OIDC_PROVIDERS": "Corp!"}, "small letters"),
        (
            {
                "OIDC_PROVIDERS": "corp",
                "OIDC_CORP_ISSUER": "http://id.example.org",
                "OIDC_CORP_CLIENT_ID": "x",
                "OIDC_CORP_CLIENT_SECRET": "y",
            },
            "must begin with https://",
        ),
    ],
)
def test_a_service_that_is_not_whole_stops_the_start(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence):
        providers(environment)


def test_several_services() -> None:
    names = ("corp", "google")
    environment = {"OIDC_PROVIDERS": ", ".join(names)}
    for name in names:
        for key, value in {"ISSUER": f"https://{name}.example/", "CLIENT_ID": name, "CLIENT_SECRET": "s"}.items():
            environment[f"OIDC_{name.upper()}_{key}"] = value
    assert [(app["provider_id"], app["settings"]["server_url"]) for app in providers(environment)] == [
        ("corp", "https://corp.example"),
        ("google", "https://google.example"),
    ]
