"""What people send about programs: API tokens, webhooks. Whether it will do is decided by the verbs."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotation.models import ApiToken, Event, Project, User


class TokenForm(forms.Form):
    LIFETIMES = [("30", _("30 days")), ("90", _("90 days")), ("365", _("a year")), ("", _("without an end"))]

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What uses it, such as “nightly export”."),
        error_messages={"required": _("Give the token a name that says what uses it.")},
    )
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=ApiToken.Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose what the token may do.")},
    )
    project = forms.ModelChoiceField(
        label=_("Project"), queryset=Project.objects.none(), required=False, empty_label=_("all of mine")
    )
    days = forms.ChoiceField(label=_("It works for"), choices=LIFETIMES, required=False, initial="90")

    def __init__(self, data: Any = None, *, user: User) -> None:
        super().__init__(data)
        self.fields["project"].queryset = Project.objects.visible_to(user)  # type: ignore[attr-defined]

    def expires_at(self) -> datetime.datetime | None:
        days = self.cleaned_data["days"]
        return timezone.now() + datetime.timedelta(days=int(days)) if days else None


class WebhookForm(forms.Form):
    url = forms.CharField(
        label=_("Address"),
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://example.org/plumbline"}),
        error_messages={"required": _("Write the address that is to be told.")},
    )
    events = forms.MultipleChoiceField(
        label=_("It is told when"),
        choices=Event.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose what the webhook is told.")},
    )


class WebhookChangeForm(WebhookForm):
    is_active = forms.BooleanField(label=_("switched on"), required=False)
