"""What annotators send of a ranking: a place for each answer, named by where it stood on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.forms.task import JudgmentForm, sharing
from annotation.models import Judgment, Response

LETTERS = "ABCDEF"


class RankedAnswer(NamedTuple):
    """One answer and the field of its place."""

    letter: str
    place: forms.BoundField


@sharing
class RankingForm(JudgmentForm):
    """Nothing is placed beforehand. Equal places are ties; gaps between the places do not matter."""

    left_correction = None  # type: ignore[assignment]  # so Django leaves the field out: each answer has its own below

    incomplete = _("Give each answer a place, 1 is the best.")
    places = [(letter, letter) for letter in LETTERS]

    def correctable(self) -> dict[str, Response]:
        return {f"correction_{number}": shown for number, shown in enumerate(self.assignment.shown, start=1)}

    def complete(self) -> None:
        num = len(self.shown)
        for number, letter in enumerate(LETTERS[:num], start=1):
            sentence = gettext("Give answer %(letter)s a place from 1 (best) to %(most)d.")
            sentence %= {"letter": letter, "most": num}
            self.fields[f"place_{number}"] = forms.TypedChoiceField(
                label=gettext("Place of answer %(letter)s") % {"letter": letter},
                choices=[(place, str(place)) for place in range(1, num + 1)],
                coerce=int,
                widget=forms.RadioSelect,
                error_messages={"required": sentence, "invalid_choice": sentence},
            )
            self.fields[f"correction_{number}"] = forms.CharField(required=False, strip=False)

    @property
    def looks(self) -> str:
        return f"{super().looks} {len(self.shown)}"

    def ranked(self) -> Iterator[RankedAnswer]:
        """The answers in the order of the page."""
        for number, letter in enumerate(LETTERS[: len(self.shown)], start=1):
            yield RankedAnswer(letter, self[f"place_{number}"])

    def values_of(self, judgment: Judgment) -> dict[str, Any]:
        ranks = {rank.response_id: rank.rank for rank in judgment.ranks.all()}
        places = {
            f"place_{number}": ranks.get(response.pk) for number, response in enumerate(self.shown.values(), start=1)
        }
        return super().values_of(judgment) | places

    def ranks(self) -> dict[int, int]:
        return {
            response.pk: self.cleaned_data[f"place_{number}"]
            for number, response in enumerate(self.shown.values(), start=1)
        }

    def repeats(self, judgment: Judgment) -> bool:
        ranks = self.ranks()
        dense = {place: number for number, place in enumerate(sorted(set(ranks.values())), start=1)}
        before = {rank.response_id: rank.rank for rank in judgment.ranks.all()}
        return super().repeats(judgment) and before == {pk: dense[place] for pk, place in ranks.items()}
