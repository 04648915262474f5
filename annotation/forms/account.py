"""What people type to come in, and what an admin types to invite them."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as allauth_forms
from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.models import Role


class LoginForm(allauth_forms.LoginForm):
    """The name of the field stays what it always was here, for password managers and programs that log in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login, password = self.fields["login"], self.fields["password"]
        login.label, login.widget.attrs = _("Username or e-mail"), {"autocomplete": "username", "autofocus": True}
        password.widget.attrs.pop("placeholder", None)
        password.help_text = ""

    def add_prefix(self, field_name: str) -> str:
        return "username" if field_name == "login" else field_name


class SignupForm(allauth_forms.SignupForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = {"username": _("Username"), "email": _("E-mail"), "password2": _("Password (again)")}
        for name, field in self.fields.items():
            field.label = labels.get(name, field.label)
            field.widget.attrs.pop("placeholder", None)


class InvitationForm(forms.Form):
    role = forms.TypedChoiceField(
        label=_("Role"), choices=Role.choices, coerce=lambda value: Role(int(value)), initial=Role.ANNOTATOR
    )
    email = forms.EmailField(
        label=_("E-mail (optional)"), required=False, help_text=_("The link is sent there, and shown to you as well.")
    )
    days = forms.IntegerField(label=_("Open for days"), min_value=1, max_value=365, initial=7)
    max_uses = forms.IntegerField(label=_("For how many people"), min_value=1, max_value=1000, initial=1)
