"""What admins choose at the doors: how a file is read, and what is written into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.consensus import CONSENSUSES
from annotation.export import FILE_TYPES, FORMATS, LAYOUTS
from annotation.intake import FORMATS as FORMATS_IN
from annotation.models import Import, Project

FORMAT_NAMES = {
    "auto": _("seen line by line"),
    "prompts": _("prompts with responses"),
    "preferences": _("preferences (TRL, HH transcripts)"),
    "judgments": _("judgments, as they were given"),
    "kto": _("unpaired labels (KTO)"),
    "ultrafeedback": _("ratings by aspect (UltraFeedback)"),
    "arena": _("arena battles"),
    "open_assistant": _("message trees (Open-Assistant)"),
    "label_studio": _("Label Studio, pairwise"),
    "argilla": _("Argilla records"),
    "ratings": _("ratings, one value a line"),
    "corrections": _("corrections"),
    "demonstrations": _("demonstrations (corrected answers)"),
}
LAYOUT_NAMES = {
    "conversational": _("messages, the prompt apart"),
    "conversational-implicit": _("messages, the prompt inside"),
    "standard": _("texts, the prompt apart"),
    "standard-implicit": _("texts, the prompt inside"),
    "transcript": _("Human/Assistant transcripts"),
}
CONSENSUS_NAMES = {
    "votes": _("the share of the votes"),
    "majority": _("what most say"),
    "weighted": _("weighted by reliability"),
}
FILE_TYPE_NAMES = {"jsonl": "JSONL", "json": "JSON", "csv": "CSV", "parquet": "Parquet"}
TARGETS = {
    "prompt": _("Prompt"),
    "chosen": _("Better answer"),
    "rejected": _("Worse answer"),
    "chosen_source": _("Source of the better answer"),
    "rejected_source": _("Source of the worse answer"),
    "response_a.text": _("Answer A"),
    "response_b.text": _("Answer B"),
    "response_a.source": _("Source of answer A"),
    "response_b.source": _("Source of answer B"),
    "preferred": _("Which is better (a or b)"),
    "strength": _("By how much (1 to 3, 0 a tie)"),
    "completion": _("Answer with a label"),
    "label": _("Label (true or false)"),
    "annotator": _("Who said it"),
    "prompt_id": _("Id of the prompt"),
}
"""What a column may hold, where its own name does not say so."""


class UploadForm(forms.Form):
    file = forms.FileField(
        label=_("File"),
        help_text=_("JSONL, JSON, CSV or Parquet; gzip is fine. What it holds is shown before anything comes in."),
        error_messages={
            "required": _("Choose a file first."),
            "empty": _("The file is empty."),
            "missing": _("Choose a file first."),
            "invalid": _("Choose a file first."),
        },
    )


class ImportForm(forms.ModelForm):  # type: ignore[type-arg]  # Django cannot subscript it at run time
    """How a kept file is read: its format, its columns, and what people are asked about it."""

    format = forms.ChoiceField(
        label=_("Format"), choices=[(name, FORMAT_NAMES[name]) for name in FORMATS_IN], required=False
    )
    create_tasks = forms.ChoiceField(
        label=_("Ask people"),
        required=False,
        choices=[
            ("", _("only what the file's judgments answer")),
            ("comparison", _("to compare every two answers to a prompt")),
            ("rating", _("to rate each answer")),
        ],
    )

    class Meta:
        model = Import
        fields = ["format", "source", "create_tasks", "overlap", "priority"]
        labels = {"source": _("Source"), "overlap": _("People per task"), "priority": _("Priority")}
        help_texts = {
            "source": _("The label of answers that name none. Annotators never see it."),
            "overlap": _("Empty: as the project says, and no more than the file's judgments fill."),
            "priority": _("Higher is asked first."),
        }

    def __init__(self, *args: Any, columns: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["overlap"].min_value = 1  # type: ignore[attr-defined]
        self.fields["overlap"].widget.attrs["min"] = 1
        self.fields["priority"].required = False
        choices = [("", _("as it is named")), *((column, column) for column in columns)]
        for key, label in TARGETS.items():
            field = forms.ChoiceField(label=label, choices=choices, required=False)
            field.initial = self.instance.mapping.get(key, "")
            self.fields[f"map-{key}"] = field

    def clean_overlap(self) -> int | None:
        overlap: int | None = self.cleaned_data["overlap"]
        if overlap is not None and overlap < 1:
            raise forms.ValidationError(_("At least one person must judge each task: raise the overlap to 1."))
        return overlap

    def clean_format(self) -> str:
        return self.cleaned_data["format"] or "auto"

    def clean_priority(self) -> int:
        return self.cleaned_data["priority"] or 0

    @property
    def mapping(self) -> dict[str, str]:
        values = getattr(self, "cleaned_data", {})
        return {key: column for key in TARGETS if (column := values.get(f"map-{key}"))}

    @property
    def settings(self) -> dict[str, Any]:
        return {**{name: self.cleaned_data[name] for name in self.Meta.fields}, "mapping": self.mapping}

    @property
    def usual_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.Meta.fields]

    @property
    def column_fields(self) -> list[forms.BoundField]:
        return [self[f"map-{key}"] for key in TARGETS]


class ExportForm(forms.Form):
    """Read off the address, so that a download is a link; what is missing or makes no sense is the usual."""

    format = forms.ChoiceField(
        label=_("What"), choices=[(name, FORMAT_NAMES[name]) for name in FORMATS], initial="preferences", required=False
    )
    file_type = forms.ChoiceField(
        label=_("File type"), choices=[(name, FILE_TYPE_NAMES[name]) for name in FILE_TYPES], required=False
    )
    layout = forms.ChoiceField(
        label=_("Layout of preferences"), choices=[(name, LAYOUT_NAMES[name]) for name in LAYOUTS], required=False
    )
    consensus = forms.ChoiceField(
        label=_("Several people on a pair"),
        choices=[(name, CONSENSUS_NAMES[name]) for name in CONSENSUSES],
        required=False,
    )
    grading = forms.ChoiceField(
        label=_("Target of a vote"),
        choices=[("choice", _("1 or 0")), ("graded", _("by its strength"))],
        required=False,
    )
    kappa = forms.FloatField(label=_("Steepness κ"), required=False, initial=1.0, min_value=0.01, max_value=100)
    margin = forms.BooleanField(label=_("With TRL's margin"), required=False)
    without_simulated = forms.BooleanField(label=_("Without what programs judged"), required=False)
    gz = forms.BooleanField(label=_("Packed (gzip)"), required=False)

    @property
    def chosen(self) -> dict[str, Any]:
        """A value for each field."""
        self.is_valid()
        values = getattr(self, "cleaned_data", {})
        return {
            name: values.get(name) or field.initial or (field.choices[0][0] if hasattr(field, "choices") else False)
            for name, field in self.fields.items()
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What export.lines() takes."""
        chosen = self.chosen
        names = ("format", "grading", "kappa", "consensus", "layout", "margin")
        return {**{name: chosen[name] for name in names}, "include_simulated": not chosen["without_simulated"]}


def file_name(project: Project, chosen: dict[str, Any]) -> str:
    ending = f"{chosen['file_type']}.gz" if chosen["gz"] else chosen["file_type"]
    return f"{project.slug}-{chosen['format']}.{ending}"
