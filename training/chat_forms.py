"""What a person enters to begin a chat and to go on with it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.models import Project
from training.actions.chats import LONGEST_MESSAGE
from training.forms import VersionChoice
from training.models import ModelVersion

MESSAGE = forms.Textarea(attrs={"rows": 4})


class ChatForm(forms.Form):
    """One version, or two that are not told apart until the vote, and the first message."""

    a = VersionChoice(
        ModelVersion.objects.none(), label=_("Version"), empty_label=None,
        error_messages={"required": _("Choose the version to talk with.")},
    )  # fmt: skip
    b = VersionChoice(
        ModelVersion.objects.none(), label=_("Second version"), required=False,
        empty_label=_("none: talk with one"),
        help_text=_("Both answer side by side as A and B, by chance, and you say which answer is better."),
    )  # fmt: skip
    text = forms.CharField(
        label=_("Your message"), widget=MESSAGE, max_length=LONGEST_MESSAGE,
        error_messages={"required": _("The message is empty: write what you want to ask.")},
    )  # fmt: skip

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = ModelVersion.objects.filter(project=project).policies().order_by("-id")
        for name in ("a", "b"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = versions
        self.has_versions = versions.exists()
        self.use_required_attribute = False
