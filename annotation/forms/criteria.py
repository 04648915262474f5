"""A criterion to rate by, as an admin adds or changes it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.models import Criterion

LABELS = {
    "key": _("Key"),
    "name": _("Name"),
    "description": _("Description"),
    "scale_max": _("Steps"),
    "low_anchor": _("What the first step means"),
    "high_anchor": _("What the last step means"),
    "weight": _("Weight"),
}
HELP = {"weight": _("Its share when ratings become preferences; below 0 where less is better.")}


class NewCriterionForm(forms.ModelForm):  # type: ignore[type-arg]  # Django cannot subscript it at run time
    class Meta:
        model = Criterion
        fields = ["name", "key", "scale_max", "low_anchor", "high_anchor", "description", "weight"]
        labels = LABELS
        help_texts = HELP | {"scale_max": _("2 to 9. Neither key nor steps can be changed later.")}
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}


class CriterionForm(forms.ModelForm):  # type: ignore[type-arg]  # Django cannot subscript it at run time
    """Its words, weight and place. Key and steps stay: judgments and files speak in them."""

    class Meta:
        model = Criterion
        fields = ["name", "low_anchor", "high_anchor", "description", "weight"]
        labels = LABELS
        help_texts = HELP
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, data: Any = None, *, instance: Criterion, place: int, places: int) -> None:
        super().__init__(data, instance=instance, initial={"place": place})
        self.fields["place"] = forms.IntegerField(label=_("Place in the list"), min_value=1, max_value=places)
