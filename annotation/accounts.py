"""How people come in: what allauth, whose pages and checks these are, asks of us.

Accounts are made by who was invited (or by anybody: OPEN_SIGNUP), by the admin site and by the command line. What a
service says of somebody's e-mail address links them to an account only when the service has verified the address.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from annotation.models import AuditEntry, Invitation, User, Verb
from annotation.origin import address_of

INVITED = "invitation"
"""Under this key a session holds the token of the invitation that somebody opened, so that they may sign up."""


def opened_invitation(request: HttpRequest) -> Invitation | None:
    """The invitation this browser opened last, while it can be used."""
    token = request.session.get(INVITED)
    if not token:
        return None
    return Invitation.objects.usable().of_token(token).select_related("project").first()


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _("Enter a correct username and password. Both may be case-sensitive."),
        "email_password_mismatch": _("Enter a correct e-mail address and password. The password is case-sensitive."),
        "too_many_login_attempts": _("Too many failed attempts. Wait five minutes, or reset your password."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.OPEN_SIGNUP or opened_invitation(request) is not None

    def get_client_ip(self, request: HttpRequest) -> str:
        """What cannot be told apart is counted together."""
        return address_of(request) or "0.0.0.0"

    @transaction.atomic
    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        saved: User = super().save_user(request, user, form, commit=commit)
        if commit:
            AuditEntry.objects.record(Verb.ACCOUNT_CREATED, by=saved, about=saved)
        return saved


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    @transaction.atomic
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        saved: User = super().save_user(request, sociallogin, form=form)
        AuditEntry.objects.record(Verb.ACCOUNT_CREATED, by=saved, about=saved, service=sociallogin.account.provider)
        return saved

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        """Some services write "false" where the standard wants false, and any text counts as true."""
        said = login.account.extra_data
        verified = [part.get("email_verified") for part in (said.get("userinfo"), said.get("id_token"), said) if part]
        is_said = any(value is True or value == "true" for value in verified)
        return is_said and bool(super().can_authenticate_by_email(login, email))


class MFAAdapter(DefaultMFAAdapter):
    """Secrets of second factors are kept encrypted: a copy of the database alone makes no codes."""

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return str(_cipher().decrypt(encrypted_text.encode()), "utf-8")

    def get_totp_issuer(self) -> str:
        return "Plumbline"


def _cipher() -> MultiFernet:
    """Keys made of SECRET_KEY and, when that was changed, of the former ones in SECRET_KEY_FALLBACKS."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"second factors" + str(key).encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
