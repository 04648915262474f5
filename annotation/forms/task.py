"""What annotators send: judgments, ratings, skips; every error is a sentence that says what to change.

These forms speak of left and right, as shown; only the server knows which response stood where. Whether an answer
will do for its task is decided by the verbs (annotation.actions), so that pages and programs obey one rule.
"""

from __future__ import annotations

import copy
import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.models import Assignment, Criterion, Judgment, Response

BOTH_BAD = "both_bad"
SCALE = [
    ("-3", _("A much better")),
    ("-2", _("A better")),
    ("-1", _("A slightly")),
    ("0", _("tie")),
    ("1", _("B slightly")),
    ("2", _("B better")),
    ("3", _("B much better")),
    (BOTH_BAD, _("both bad")),
]
LONGEST_DAY = 24 * 60 * 60
F = TypeVar("F", bound=forms.Form)


class Verdict(NamedTuple):
    """What `actions.judge` takes beside the assignment and the person."""

    submission_key: uuid.UUID
    preferred: Response | None
    strength: int | None
    both_bad: bool
    ratings: dict[int, int]
    ranks: dict[int, int]
    rationale: str
    flags: list[str]
    reasons: list[str]
    corrections: dict[int, str]
    active_seconds: float | None


@dataclasses.dataclass(frozen=True)
class ShownAnswer:
    """One answer of the task and the field to correct it in."""

    side: str
    title: str | Promise
    text: str
    field: str
    corrected: str
    """What stands in the field: the text, while nobody has changed it."""

    @property
    def is_corrected(self) -> bool:
        return self.corrected != self.text

    @property
    def alike(self) -> str:
        """Names all but the texts that its part of the page shows."""
        return f"{self.side} {self.title} {self.field} {self.is_corrected}"


class Shared(dict[str, forms.Field]):
    """Fields that a form takes over as they are.

    Django copies every field for every form, which takes longer than all that the form does. Whoever wants to change
    one puts another in its place.
    """

    def __deepcopy__(self, memo: object) -> dict[str, forms.Field]:
        return dict(self)


def sharing(form: type[F]) -> type[F]:
    """Each form of this class shares the class's fields."""
    form.base_fields = Shared(form.base_fields)
    return form


class JudgmentForm(forms.Form):
    """What every kind of task asks for. Each rendering gets a key of its own, so that sending it twice counts once."""

    submission_key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages={
            "required": _("The form was sent without its key: reload the page."),
            "invalid": _("The form was sent with a broken key: reload the page."),
        },
    )
    active_seconds = forms.CharField(widget=forms.HiddenInput, required=False)
    flags = forms.MultipleChoiceField(
        label=_("What is wrong with an answer?"),
        choices=Judgment.Flag.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reasons = forms.MultipleChoiceField(
        label=_("Reasons"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": _("There is no reason “%(value)s” in this project any more.")},
    )
    rationale = forms.CharField(
        label=_("Why? (for reviewers; optional)"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": " "}),  # lets CSS see whether something is written
    )
    left_correction = forms.CharField(required=False, strip=False)

    incomplete = _("Choose an answer first.")
    """What the page says when Enter is pressed too early."""
    places: Sequence[tuple[str, str | Promise]] = [("left", _("A")), ("right", _("B"))]
    """Of the answers, in the order shown: the name and the title of each."""

    def __init__(self, data: Any = None, *, assignment: Assignment, version: Judgment | None = None) -> None:
        """`version`: the judgment to be revised. Else the form begins with the draft, or with what was undone."""
        self.assignment = assignment
        self.shown = self.correctable()
        initial: dict[str, Any] = {"submission_key": uuid.uuid4()}
        initial |= {name: response.text for name, response in self.shown.items()}
        untouched = dict(initial)
        if version is not None:
            initial |= self.values_of(version)
        elif data is None and assignment.was_touched is not False:
            initial |= self.before()
        super().__init__(data, initial=initial)
        if assignment.task.project.reason_chips:
            self.fields["reasons"] = self.chips()
        self.complete()
        self.is_untouched = data is None and initial == untouched

    def correctable(self) -> dict[str, Response]:
        """The field of each response's correction, in the order shown."""
        return dict(zip(("left_correction", "right_correction"), self.assignment.shown, strict=False))

    def chips(self) -> forms.Field:
        """The field of reasons, with those of this project."""
        field = copy.deepcopy(self.base_fields["reasons"])
        chips = [(chip, chip) for chip in self.assignment.task.project.reason_chips]
        field.choices = chips  # type: ignore[attr-defined]  # a choice field, which the stubs forget
        return field

    def complete(self) -> None:
        """Once the fields are there: add those of this task."""

    def answers(self) -> list[ShownAnswer]:
        """As the page shows them."""
        return [
            ShownAnswer(side, title, response.text, name, self.corrected(name))
            for (side, title), (name, response) in zip(self.places, self.shown.items(), strict=False)
        ]

    def corrected(self, name: str) -> str:
        """What stands in that field. One that was not sent was left as it is."""
        if self.is_bound and name in self.data:
            return str(self.data[name])
        return str(self.initial[name])

    @property
    def key(self) -> str:
        return str(self.data.get("submission_key", "") if self.is_bound else self.initial["submission_key"])

    @property
    def seconds(self) -> str:
        return str(self.data.get("active_seconds", "") if self.is_bound else self.initial.get("active_seconds", ""))

    @property
    def looks(self) -> str:
        """All that tells this form, untouched, from another, apart from the texts it shows and its hidden values."""
        return f"{type(self).__name__} {self.assignment.task.project.reason_chips}"

    def before(self) -> dict[str, Any]:
        """What was typed and not sent; else what was sent and undone."""
        if draft := getattr(self.assignment, "draft", None):
            return self.drafted(draft.values)
        undone = undone_judgment(self.assignment)
        return self.values_of(undone) if undone else {}

    def drafted(self, values: dict[str, list[str]]) -> dict[str, Any]:
        """What was typed and chosen last, whatever the fields of this kind are."""
        many = {name for name, field in self.base_fields.items() if isinstance(field, forms.MultipleChoiceField)}
        return {name: given if name in many else given[-1] for name, given in values.items() if given}

    def values_of(self, judgment: Judgment) -> dict[str, Any]:
        """The form's values as they were when that judgment was sent."""
        corrected = {response.parent_id: response.text for response in judgment.corrections.all()}
        return {
            "flags": judgment.flags,
            "reasons": judgment.reasons,
            "rationale": judgment.rationale,
            **{name: corrected.get(response.pk, response.text) for name, response in self.shown.items()},
        }

    def clean_active_seconds(self) -> float | None:
        """Measured by the page, not typed: an impossible value is no reason to refuse a judgment."""
        try:
            seconds = float(self.cleaned_data["active_seconds"])
        except ValueError:
            return None
        return seconds if 0 <= seconds <= LONGEST_DAY else None

    def corrections(self) -> dict[int, str]:
        """Response id to text, where it differs. Browsers send CRLF, which is no correction of a text with LF."""
        texts = {response: str(self.cleaned_data[name]) for name, response in self.shown.items() if name in self.data}
        return {
            response.pk: one_newline(text)
            for response, text in texts.items()
            if one_newline(text).strip() != one_newline(response.text).strip()
        }

    def said(self) -> tuple[Response | None, int | None, bool]:
        """(preferred, strength, both bad); a rating says nothing of the kind."""
        return None, None, False

    def ratings(self) -> dict[int, int]:
        return {}

    def ranks(self) -> dict[int, int]:
        """Response id to place."""
        return {}

    def repeats(self, judgment: Judgment) -> bool:
        """Whether the judgment already says all that this form says."""
        corrected = {response.parent_id: response.text for response in judgment.corrections.all()}
        preferred, strength, both_bad = self.said()
        return (
            (preferred, strength, both_bad) == (judgment.preferred, judgment.strength, judgment.both_bad)
            and self.ratings() == {rating.criterion_id: rating.value for rating in judgment.ratings.all()}
            and one_newline(self.cleaned_data["rationale"]).strip() == judgment.rationale
            and set(self.cleaned_data["flags"]) == set(judgment.flags)
            and set(self.cleaned_data["reasons"]) == set(judgment.reasons)
            and {pk: text.strip() for pk, text in self.corrections().items()} == corrected
        )

    def verdict(self) -> Verdict:
        preferred, strength, both_bad = self.said()
        values = self.cleaned_data
        return Verdict(
            submission_key=values["submission_key"],
            preferred=preferred,
            strength=strength,
            both_bad=both_bad,
            ratings=self.ratings(),
            ranks=self.ranks(),
            rationale=one_newline(values["rationale"]),
            flags=values["flags"],
            reasons=values["reasons"],
            corrections=self.corrections(),
            active_seconds=values["active_seconds"],
        )


@sharing
class ComparisonForm(JudgmentForm):
    """Nothing is chosen beforehand: an untouched form is refused and never counts as a tie."""

    choice = forms.ChoiceField(
        choices=SCALE,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose which answer is better (1 to 7), or that both are bad (X).")},
    )
    right_correction = forms.CharField(required=False, strip=False)

    incomplete = _("Choose 1 to 7, or X for both bad.")

    def values_of(self, judgment: Judgment) -> dict[str, Any]:
        if judgment.both_bad:
            choice = BOTH_BAD
        else:
            is_left = judgment.preferred_id == self.assignment.left.pk
            choice = str((-1 if is_left else 1) * (judgment.strength or 0))
        return super().values_of(judgment) | {"choice": choice}

    def said(self) -> tuple[Response | None, int | None, bool]:
        choice = self.cleaned_data["choice"]
        if choice == BOTH_BAD:
            return None, 0, True
        preferred, strength = self.assignment.as_shown(int(choice))
        return preferred, strength, False


@sharing
class RatingForm(JudgmentForm):
    incomplete = _("Rate every criterion.")
    places = [("left", _("Answer"))]

    def __init__(self, data: Any = None, *, assignment: Assignment, version: Judgment | None = None) -> None:
        self.criteria: list[Criterion] = list(assignment.task.project.criteria.all())
        super().__init__(data, assignment=assignment, version=version)
        for criterion in self.criteria:
            sentence = gettext("Rate “%(criterion)s” from 1 to %(most)d.")
            sentence %= {"criterion": criterion.name, "most": criterion.scale_max}
            self.fields[f"criterion_{criterion.pk}"] = forms.TypedChoiceField(
                label=criterion.name,
                choices=[(value, str(value)) for value in range(1, criterion.scale_max + 1)],
                coerce=int,
                widget=forms.RadioSelect,
                error_messages={"required": sentence, "invalid_choice": sentence},
            )

    @property
    def looks(self) -> str:
        shown = ("pk", "name", "description", "scale_max", "low_anchor", "high_anchor")
        return f"{super().looks} {[[getattr(criterion, name) for name in shown] for criterion in self.criteria]}"

    def rated(self) -> Iterator[tuple[Criterion, forms.BoundField]]:
        for criterion in self.criteria:
            yield criterion, self[f"criterion_{criterion.pk}"]

    def values_of(self, judgment: Judgment) -> dict[str, Any]:
        ratings = {f"criterion_{rating.criterion_id}": rating.value for rating in judgment.ratings.all()}
        return super().values_of(judgment) | ratings

    def ratings(self) -> dict[int, int]:
        return {criterion.pk: self.cleaned_data[f"criterion_{criterion.pk}"] for criterion in self.criteria}


def undone_judgment(assignment: Assignment) -> Judgment | None:
    """What the person said before, when they undid it or lost the lease; the newest."""
    return assignment.judgments.order_by("-created_at", "-id").first()


def one_newline(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@sharing
class SkipForm(forms.Form):
    reason = forms.ChoiceField(
        choices=Assignment.SkipReason.choices,
        widget=forms.RadioSelect,
        error_messages={
            "required": _("Choose why you skip this task."),
            "invalid_choice": _("Choose one of the reasons for skipping."),
        },
    )
    note = forms.CharField(
        label=_("Note (optional)"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2})
    )
