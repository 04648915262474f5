"""Taking a person's labels out of the count."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.days import midnight


class VoidForm(forms.Form):
    """Which labels, and why. Days are whole days of the site's time zone, both ends included; empty: no end."""

    reason = forms.CharField(
        label=_("Why"), widget=forms.Textarea(attrs={"rows": 2}), help_text=_("Kept, and shown to the other admins.")
    )
    first_day = forms.DateField(
        label=_("From day"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last_day = forms.DateField(
        label=_("To day"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    is_sure = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        first, last = values.get("first_day"), values.get("last_day")
        if first and last and last < first:
            self.add_error("last_day", _("The last day lies before the first."))
        return values

    @property
    def period(self) -> dict[str, datetime.datetime | None]:
        """since and until, as actions.void_judgments takes them."""
        first, last = self.cleaned_data["first_day"], self.cleaned_data["last_day"]
        after = last + datetime.timedelta(days=1) if last and last < datetime.date.max else None
        return {"since": first and midnight(first), "until": after and midnight(after)}
