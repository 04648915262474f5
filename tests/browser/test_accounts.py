"""Coming in, as people do it in a real browser: log in, guess too often, follow an invitation, reset, second factor."""

import re

import pytest
from django.core import mail
from django.core.cache import cache
from playwright.sync_api import Page, expect

from annotation import actions
from annotation.models import Project, Role, User
from tests.annotation import authenticator
from tests.browser.conftest import OpenPage

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def nothing_counted(db: None) -> None:
    """What limits the logins is kept in the cache, which no test's end empties."""
    cache.clear()


@pytest.fixture
def erin(project: Project) -> User:
    user = User.objects.create_user("erin", "erin@example.org", PASSWORD)
    actions.add_member(project, user=user)
    return user


def log_in(page: Page, name: str, password: str) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("name", ["erin", "erin@example.org"])
def test_by_name_or_address(open_page: OpenPage, erin: User, name: str) -> None:
    page = open_page(None)
    log_in(page, name, PASSWORD)
    expect(page.get_by_role("heading", name="Support replies")).to_be_visible()


def test_guessing_ends_after_five(open_page: OpenPage, erin: User) -> None:
    page = open_page(None)
    for _ in range(5):
        log_in(page, "erin", "wrong")
        expect(page.get_by_role("alert").first).to_contain_text("correct username and password")
    log_in(page, "erin", PASSWORD)
    expect(page.get_by_role("alert").first).to_contain_text("Wait five minutes")


def test_an_invitation_is_followed(open_page: OpenPage, project: Project, carol: User) -> None:
    admin = open_page(carol)
    admin.goto("/projects/support-replies/invitations/")
    admin.get_by_label("Role").select_option(label="reviewer")
    admin.get_by_role("button", name="Make the link").click()
    link = admin.get_by_label("Link of the invitation").input_value()
    page = open_page(None, width=360)
    page.goto(link)
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("Username").fill("frank")
    page.get_by_label("E-mail").fill("frank@example.org")
    page.locator("[name=password1]").fill(PASSWORD)
    page.locator("[name=password2]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Join").click()
    expect(page.locator("#messages")).to_contain_text("you are reviewer in Support replies")
    assert project.role_of(User.objects.get(username="frank")) == Role.REVIEWER


def test_a_password_is_reset_by_mail(open_page: OpenPage, erin: User) -> None:
    page = open_page(None)
    page.goto("/login/")
    page.get_by_role("link", name="Password forgotten?").click()
    page.locator("[name=email]").fill("erin@example.org")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sent/")
    link = re.search(r"https?://\S+", str(mail.outbox[0].body))
    assert link
    page.goto(link.group())
    for name in ("password1", "password2"):
        page.locator(f"[name={name}]").fill("another long password")
    page.keyboard.press("Enter")
    page.wait_for_url("**/done/")
    log_in(page, "erin", "another long password")
    expect(page.get_by_role("heading", name="Support replies")).to_be_visible()


def test_a_second_factor(open_page: OpenPage, erin: User) -> None:
    erin.emailaddress_set.create(email=erin.email, verified=True, primary=True)
    page = open_page(None)
    log_in(page, "erin", PASSWORD)
    expect(page.get_by_role("heading", name="Support replies")).to_be_visible()
    page.goto("/account/two-factor/totp/activate/")
    page.locator("[name=password]").fill(PASSWORD)  # a change of how one logs in asks for it again
    page.keyboard.press("Enter")
    page.wait_for_url("**/activate/")
    secret = page.locator("#authenticator_secret").input_value()
    page.locator("[name=code]").fill(authenticator.code(secret))
    page.keyboard.press("Enter")
    page.wait_for_url("**/recovery-codes/")
    other = open_page(None)
    log_in(other, "erin", PASSWORD)
    other.wait_for_url("**/authenticate/")
    other.locator("[name=code]").first.fill("000000")
    other.keyboard.press("Enter")
    expect(other.locator(".errorlist")).to_contain_text("Incorrect code")
    cache.clear()  # else the code of this half minute counts as used: it was, a moment ago
    other.locator("[name=code]").first.fill(authenticator.code(secret))
    other.keyboard.press("Enter")
    expect(other.get_by_role("heading", name="Support replies")).to_be_visible()


def test_a_passkey(open_page: OpenPage, erin: User) -> None:
    """Chromium's own authenticator stands for the one of a phone; its script runs under our content security policy."""
    erin.emailaddress_set.create(email=erin.email, verified=True, primary=True)
    page = open_page(None)
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    present = {"isUserVerified": True, "automaticPresenceSimulation": True}
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options | present})
    log_in(page, "erin", PASSWORD)
    expect(page.get_by_role("heading", name="Support replies")).to_be_visible()
    page.goto("/account/two-factor/webauthn/add/")
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/webauthn/add/")
    page.locator("[name=name]").fill("phone")
    page.locator("[name=passwordless]").check()
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url(re.compile(r"recovery-codes|webauthn/$|webauthn/keys"))
    page.context.clear_cookies()
    page.goto("/login/")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("heading", name="Support replies")).to_be_visible()
