"""What an annotator may answer to a task: one check, the same for pages, programs and tests."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotation.models import Judgment, Response, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """A judgment's values before they become rows."""

    preferred: Response | None
    strength: int | None
    both_bad: bool
    ratings: dict[int, int]
    """Criterion id to value."""
    ranks: dict[int, int]
    """Response id to place, 1 the best; as kept, the places follow without a gap: 1, 1, 2."""
    rationale: str
    flags: list[str]
    reasons: list[str]
    """Of the project's reason chips."""
    corrections: dict[int, str]
    """Response id to the corrected text."""
    active_seconds: float | None

    @classmethod
    def said(
        cls,
        *,
        preferred: Response | None = None,
        strength: int | None = None,
        both_bad: bool = False,
        ratings: Mapping[int, int] | None = None,
        ranks: Mapping[int, int] | None = None,
        rationale: str = "",
        flags: Collection[str] = (),
        reasons: Collection[str] = (),
        corrections: Mapping[int, str] | None = None,
        active_seconds: float | None = None,
    ) -> Answer:
        """As a page or a program says it: what is left out was not said, and what was said twice was said once."""
        return cls(
            preferred=preferred,
            strength=strength,
            both_bad=both_bad,
            ratings=dict(ratings or {}),
            ranks=dict(ranks or {}),
            rationale=rationale.strip(),
            flags=list(dict.fromkeys(flags)),
            reasons=list(dict.fromkeys(reasons)),
            corrections=dict(corrections or {}),
            active_seconds=active_seconds,
        )


def checked(task: Task, answer: Answer) -> Answer:
    """The answer as it will be kept. Raises ValueError with a sentence when the task cannot be answered so."""
    for flag in answer.flags:
        if flag not in Judgment.Flag.values:
            raise ValueError(_("There is no flag “%(flag)s”.") % {"flag": flag})
    for reason in answer.reasons:
        if reason not in task.project.reason_chips:
            raise ValueError(_("There is no reason “%(reason)s” in this project any more.") % {"reason": reason})
    if answer.active_seconds is not None and not 0 <= answer.active_seconds < math.inf:
        raise ValueError(_("The time at work must be a number of seconds, 0 or more."))
    for text in (answer.rationale, *answer.corrections.values()):
        if "\0" in text:
            raise ValueError(_("The text contains a character that cannot be kept (NUL): remove it."))
    answer = dataclasses.replace(answer, corrections=_corrections(task, answer))
    if answer.ranks and task.kind != Task.Kind.RANKING:
        raise ValueError(_("Only a ranking takes places."))
    checks = {Task.Kind.COMPARISON: _comparison, Task.Kind.RATING: _rating, Task.Kind.RANKING: _ranking}
    return checks[Task.Kind(task.kind)](task, answer)


def _comparison(task: Task, answer: Answer) -> Answer:
    if answer.ratings:
        raise ValueError(_("A comparison takes no ratings."))
    strength = 0 if answer.both_bad and answer.strength is None else answer.strength
    if strength is None:
        raise ValueError(_("Choose which answer is better, or a tie."))
    if not 0 <= strength <= 3:
        raise ValueError(_("The strength goes from 0 (tie) to 3 (much better)."))
    if answer.both_bad and strength != 0:
        raise ValueError(_("Both bad is a tie: choose either that or a better answer."))
    if (strength == 0) != (answer.preferred is None):
        raise ValueError(_("A tie prefers no answer, and a choice prefers one."))
    if answer.preferred is not None and answer.preferred.pk not in {task.response_a_id, task.response_b_id}:
        raise ValueError(_("The preferred answer does not belong to this task."))
    return dataclasses.replace(answer, strength=strength)


def _rating(task: Task, answer: Answer) -> Answer:
    if answer.preferred is not None or answer.strength is not None or answer.both_bad:
        raise ValueError(_("A rating takes no preference."))
    criteria = {criterion.pk: criterion for criterion in task.project.criteria.all()}
    if not criteria:
        raise ValueError(_("This project has no criteria to rate by: ask an admin to add one."))
    if missing := [str(criterion) for pk, criterion in criteria.items() if pk not in answer.ratings]:
        names = ", ".join(missing)
        raise ValueError(
            ngettext("Rate this criterion too: %(names)s.", "Rate these criteria too: %(names)s.", len(missing))
            % {"names": names}
        )
    for pk, value in answer.ratings.items():
        if pk not in criteria:
            raise ValueError(_("A rated criterion does not belong to this project."))
        if not 1 <= value <= criteria[pk].scale_max:
            raise ValueError(
                _("“%(criterion)s” goes from 1 to %(most)d.")
                % {"criterion": criteria[pk], "most": criteria[pk].scale_max}
            )
    return answer


def _ranking(task: Task, answer: Answer) -> Answer:
    if answer.preferred is not None or answer.strength is not None or answer.both_bad or answer.ratings:
        raise ValueError(_("A ranking takes places, and no preference or rating."))
    responses = {candidate.response_id for candidate in task.candidates.all()}
    if answer.ranks.keys() - responses:
        raise ValueError(_("A ranked answer does not belong to this task."))
    if missing := len(responses - answer.ranks.keys()):
        sentence = ngettext(
            "%(num)d answer has no place yet: give each one.",
            "%(num)d answers have no place yet: give each one.",
            missing,
        )
        raise ValueError(sentence % {"num": missing})
    if any(not 1 <= place <= len(responses) for place in answer.ranks.values()):
        raise ValueError(_("The places go from 1 (best) to %(most)d.") % {"most": len(responses)})
    dense = {place: number for number, place in enumerate(sorted(set(answer.ranks.values())), start=1)}
    return dataclasses.replace(answer, ranks={pk: dense[place] for pk, place in answer.ranks.items()})


def _corrections(task: Task, answer: Answer) -> dict[int, str]:
    """Those that change something; an edit field left as it was is no correction."""
    if not answer.corrections:
        return {}
    originals = {task.response_a_id: task.response_a.text}
    if task.kind == Task.Kind.RANKING:
        originals = dict(task.candidates.values_list("response_id", "response__text"))
    if task.response_b is not None:
        originals[task.response_b.pk] = task.response_b.text
    for response_id, text in answer.corrections.items():
        if response_id not in originals:
            raise ValueError(_("A corrected answer does not belong to this task."))
        if not text.strip():
            raise ValueError(_("A corrected answer is empty: write it, or leave it as it was."))
    return {pk: text.strip() for pk, text in answer.corrections.items() if text.strip() != originals[pk].strip()}
