"""A project's settings, as an admin changes them while people are at work."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.forms.task import one_newline
from annotation.models import Project

MOST_CHIPS = 20
LONGEST_CHIP = 100


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]  # Django cannot subscript it at run time
    reason_chips = forms.CharField(
        label=_("Reasons to choose from"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("One a line, such as “more accurate”. People choose among them beside the rationale."),
    )

    class Meta:
        model = Project
        fields = [
            *("name", "description", "overlap", "daily_goal", "lease_seconds", "revision"),
            *("promotion_needs_approval", "reason_chips"),
        ]
        labels = {
            "name": _("Name"),
            "description": _("Description"),
            "overlap": _("People per task"),
            "daily_goal": _("Daily goal"),
            "lease_seconds": _("Seconds a task is lent"),
            "revision": _("Judgments may be changed"),
            "promotion_needs_approval": _("Production needs an approved review"),
        }
        help_texts = {"overlap": _("For tasks made from now on. Those that are there keep theirs.")}
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, data: Any = None, *, instance: Project) -> None:
        super().__init__(data, instance=instance, initial={"reason_chips": "\n".join(instance.reason_chips)})

    def clean_reason_chips(self) -> list[str]:
        lines = (line.strip() for line in one_newline(self.cleaned_data["reason_chips"]).splitlines())
        chips = list(dict.fromkeys(line for line in lines if line))
        if len(chips) > MOST_CHIPS:
            sentence = gettext("These are %(num)d reasons: keep the %(most)d that are used most.")
            raise forms.ValidationError(sentence % {"num": len(chips), "most": MOST_CHIPS})
        for chip in chips:
            if len(chip) > LONGEST_CHIP:
                sentence = gettext("“%(reason)s” is too long: use at most %(most)d characters.")
                raise forms.ValidationError(sentence % {"reason": chip[:40] + "…", "most": LONGEST_CHIP})
        return chips
