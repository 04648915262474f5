"""What admins send: projects, guidelines, members; every error is a sentence that says what to change."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.forms.task import one_newline
from annotation.models import Project, Role, User


class GuidelinesForm(forms.Form):
    text = forms.CharField(
        label=_("Text (Markdown)"),
        widget=forms.Textarea(attrs={"rows": 18}),
        error_messages={"required": _("The guidelines are empty: write what people should look at.")},
    )

    def clean_text(self) -> str:
        return one_newline(self.cleaned_data["text"])


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]  # Django cannot subscript it at run time
    """Its address and its first guidelines included; `actions.create_project` makes the rows."""

    guidelines = forms.CharField(
        label=_("Guidelines (Markdown)"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text=_("What people should look at when they compare two answers. Can be changed at any time."),
    )
    criteria = forms.CharField(
        label=_("Criteria to rate by"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Helpful | no help at all | exactly what was needed"}),
        help_text=_("One a line: name | what 1 means | what 5 means. Only rating tasks need them."),
    )

    class Meta:
        model = Project
        fields = ["name", "slug", "description", "overlap", "daily_goal"]
        labels = {
            "name": _("Name"),
            "slug": _("Address"),
            "description": _("Description"),
            "overlap": _("People per task"),
            "daily_goal": _("Daily goal"),
        }
        help_texts = {
            "slug": _("Letters, digits and hyphens; empty: made from the name."),
            "daily_goal": _("Judgments a person aims at each day."),
        }
        error_messages = {"slug": {"unique": _("This address is taken: choose another.")}}
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["slug"].required = False

    def clean_slug(self) -> str:
        slug = str(self.cleaned_data["slug"])
        if slug == "new":
            raise forms.ValidationError(_("“new” is the address of this page: choose another."))
        return slug

    def clean_criteria(self) -> list[tuple[str, str, str]]:
        """(name, low anchor, high anchor) of each line."""
        rows = []
        for line in one_newline(self.cleaned_data["criteria"]).splitlines():
            parts = [part.strip() for part in line.split("|")]
            if not any(parts):
                continue
            if len(parts) > 3 or not parts[0]:
                sentence = gettext("“%(line)s”: write the name, then the two anchor texts, with | between them.")
                raise forms.ValidationError(sentence % {"line": line})
            name, low, high = (*parts, "", "")[:3]
            rows.append((name, low, high))
        return rows


class MemberForm(forms.Form):
    """Adds somebody by user name, or, sent from the list of members, changes the role of who is there."""

    change = forms.BooleanField(required=False, widget=forms.HiddenInput)
    username = forms.CharField(label=_("User name"), max_length=150)
    role = forms.TypedChoiceField(
        label=_("Role"), choices=Role.choices, coerce=lambda value: Role(int(value)), initial=Role.ANNOTATOR
    )

    def __init__(self, data: Any = None, *, project: Project) -> None:
        super().__init__(data)
        self.project = project

    def clean_username(self) -> User:
        name = self.cleaned_data["username"].strip()
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            sentence = gettext("There is no user “%(name)s”. Check the spelling, or create the account first.")
            raise forms.ValidationError(sentence % {"name": name})
        membership = self.project.memberships.filter(user=user).first()
        if membership is not None and not self.cleaned_data["change"]:
            sentence = gettext("%(name)s is already %(role)s here: change the role in the list of members.")
            if membership.is_paused:
                sentence = gettext("%(name)s is already %(role)s here, but paused: see the list of members.")
            raise forms.ValidationError(sentence % {"name": name, "role": membership.get_role_display()})
        return user
