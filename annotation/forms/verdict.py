"""What a reviewer sends who decides a disagreement: the answer as it should have been, why people differed, a note."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.forms.task import BOTH_BAD, SCALE, one_newline
from annotation.models import Criterion, Response, Task, Verdict

LETTERS = "ABCDEF"


def in_words(signed: int | None, *, both_bad: bool) -> str:
    """A signed strength (positive: A is better) as the scale says it."""
    key = BOTH_BAD if both_bad else str(-(signed or 0))
    return str(dict(SCALE)[key])


class Decision(NamedTuple):
    """What `actions.adjudicate` takes beside the task and the person."""

    seen: str
    cause: str
    note: str
    preferred: Response | None
    strength: int | None
    both_bad: bool
    ratings: dict[int, int]
    ranks: dict[int, int]


class VerdictForm(forms.Form):
    """Answers stand in the order of their ids, A first; nothing is chosen beforehand, save what was decided before."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    cause = forms.ChoiceField(
        label=_("Why did people disagree?"),
        choices=Verdict.Cause.choices,
        widget=forms.RadioSelect,
        error_messages={
            "required": _("Choose why people disagreed."),
            "invalid_choice": _("Choose why people disagreed."),
        },
    )
    note = forms.CharField(
        label=_("Note (optional)"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2})
    )

    def __init__(
        self, data: Any = None, *, task: Task, answers: list[Response], standing: Verdict | None, mark: str
    ) -> None:
        """standing: what prefills the form. mark: of the verdict that stands now, empty for none."""
        self.task, self.answers = task, answers
        self.criteria: list[Criterion] = list(task.project.criteria.all()) if task.kind == Task.Kind.RATING else []
        initial = {"seen": mark} | (self.values_of(standing) if standing else {})
        super().__init__(data, initial=initial)
        self.fields |= self.answer_fields()

    def answer_fields(self) -> dict[str, forms.Field]:
        if self.task.kind == Task.Kind.RATING:
            return {f"criterion_{criterion.pk}": self.criterion_field(criterion) for criterion in self.criteria}
        if self.task.kind == Task.Kind.RANKING:
            return {f"place_{answer.pk}": self.place_field(letter) for letter, answer in self.lettered()}
        sentence = _("Choose which answer is better (1 to 7), or that both are bad (X).")
        errors = {"required": sentence, "invalid_choice": sentence}
        return {"choice": forms.ChoiceField(choices=SCALE, widget=forms.RadioSelect, error_messages=errors)}

    def criterion_field(self, criterion: Criterion) -> forms.Field:
        sentence = gettext("Rate “%(criterion)s” from 1 to %(most)d.")
        sentence %= {"criterion": criterion.name, "most": criterion.scale_max}
        return forms.TypedChoiceField(
            label=criterion.name,
            choices=[(value, str(value)) for value in range(1, criterion.scale_max + 1)],
            coerce=int,
            widget=forms.RadioSelect,
            error_messages={"required": sentence, "invalid_choice": sentence},
        )

    def place_field(self, letter: str) -> forms.Field:
        sentence = gettext("Give answer %(letter)s a place from 1, the best; equal places are ties.")
        sentence %= {"letter": letter}
        return forms.TypedChoiceField(
            label=gettext("Place of answer %(letter)s") % {"letter": letter},
            choices=[("", "–"), *((place, str(place)) for place in range(1, len(self.answers) + 1))],
            coerce=int,
            error_messages={"required": sentence, "invalid_choice": sentence},
        )

    def lettered(self) -> Iterator[tuple[str, Response]]:
        return zip(LETTERS, self.answers, strict=False)

    def values_of(self, verdict: Verdict) -> dict[str, Any]:
        signed = verdict.signed_strength
        criteria = {criterion.key: criterion.pk for criterion in self.criteria}
        return {
            "cause": verdict.cause,
            "note": verdict.note,
            "choice": BOTH_BAD if verdict.both_bad else "" if signed is None else str(-signed),
            **{f"criterion_{criteria[key]}": value for key, value in verdict.ratings.items() if key in criteria},
            **{f"place_{pk}": place for pk, place in verdict.ranks.items()},
        }

    def asked(self) -> list[forms.BoundField]:
        """The fields of the answer itself."""
        return [field for field in self if field.name not in {"seen", "cause", "note"}]

    def decision(self) -> Decision:
        values = self.cleaned_data
        preferred, strength, both_bad = self.said(values.get("choice", ""))
        return Decision(
            seen=values["seen"],
            cause=values["cause"],
            note=one_newline(values["note"]),
            preferred=preferred,
            strength=strength,
            both_bad=both_bad,
            ratings={criterion.pk: values[f"criterion_{criterion.pk}"] for criterion in self.criteria},
            ranks={answer.pk: values[f"place_{answer.pk}"] for answer in self.answers}
            if self.task.kind == Task.Kind.RANKING
            else {},
        )

    def said(self, choice: str) -> tuple[Response | None, int | None, bool]:
        if not choice:
            return None, None, False
        if choice == BOTH_BAD:
            return None, 0, True
        signed = int(choice)
        return (None if signed == 0 else self.answers[0 if signed < 0 else 1]), abs(signed), False
