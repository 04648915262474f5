"""The pages of an account that has everything: password, passkey, codes of an app, recovery codes.

They are allauth's, in our templates: axe finds nothing on any, and all they say is translated.
"""

from __future__ import annotations

import re

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core import mail
from django.urls import reverse
from playwright.sync_api import Page

from annotation.models import User
from tests.browser.axe import check
from tests.browser.conftest import OpenPage
from tests.browser.test_accounts import PASSWORD, erin, log_in, nothing_counted

__all__ = ["erin", "nothing_counted"]

OF_AN_ACCOUNT = {
    "account_change_password",
    "account_reauthenticate",
    "mfa_authenticate",
    "mfa_deactivate_totp",
    "mfa_edit_webauthn",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "mfa_remove_webauthn",
    "mfa_view_recovery_codes",
}
"""What only such an account is shown."""
FULLER = {"mfa_generate_recovery_codes", "mfa_index", "mfa_list_webauthn", "usersessions_list"}
"""What shows it more than others."""
ON_THE_WAY = {"account_reauthenticate", "mfa_authenticate"}
"""What comes before a page that was asked for."""


def give_a_passkey(page: Page) -> None:
    """With Chromium's own authenticator, which stands for the one of a phone."""
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    present = {"isUserVerified": True, "automaticPresenceSimulation": True}
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options | present})
    page.goto(reverse("mfa_add_webauthn"))
    page.locator("[name=password]").wait_for()
    check(page)  # account_reauthenticate
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/webauthn/add/")
    page.locator("[name=name]").fill("phone")
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url("**/recovery-codes/")


def test_an_account_with_everything(open_page: OpenPage, erin: User) -> None:
    erin.emailaddress_set.create(email=erin.email, verified=True, primary=True)
    page = open_page(None)
    log_in(page, "erin", PASSWORD)
    page.get_by_role("heading", name="Support replies").wait_for()
    give_a_passkey(page)
    TOTP.activate(erin, generate_totp_secret())
    passkey = Authenticator.objects.get(user=erin, type=Authenticator.Type.WEBAUTHN)
    for name in sorted(OF_AN_ACCOUNT - ON_THE_WAY | FULLER):
        path = reverse(name, kwargs={"pk": passkey.pk} if re.search("(edit|remove)_webauthn", name) else {})
        answer = page.goto(path)
        assert answer is not None and answer.status == 200 and page.url.endswith(path), name
        check(page)
    other = open_page(None)
    log_in(other, "erin", PASSWORD)
    other.wait_for_url("**/authenticate/")
    check(other)
    other.locator("[name=code]").first.fill("000000")
    other.keyboard.press("Enter")
    other.locator(".errorlist").first.wait_for()
    check(other)


def test_a_new_password(open_page: OpenPage, erin: User) -> None:
    page = open_page(None)
    page.goto(reverse("account_reset_password"))
    page.locator("[name=email]").fill("erin@example.org")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sent/")
    link = re.search(r"https?://\S+", str(mail.outbox[0].body))
    assert link
    page.goto(link.group())
    page.locator("[name=password1]").fill("short")
    page.locator("[name=password2]").fill("other")
    check(page)
    page.keyboard.press("Enter")
    page.locator(".errorlist").first.wait_for()
    check(page)
