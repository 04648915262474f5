"""What a model diff's page shows of all its pairs, counted once: the figures, and which pairs stand in which order.

Of 100,000 pairs either takes seconds, so both are awaited (annotation/awaited.py). The texts of the pairs on one page
are read when it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from django.db.models import Count, Max, Sum

from annotation.awaited import Awaited
from annotation.progress import Telling
from training.diff_choice import Choice
from training.diff_report import DiffReport
from training.diffs import diff_versions
from training.models import Generation, Likelihood, ModelVersion
from training.reward_report import Share
from training.style import Shift, shifts

FIGURES, PAIRS = AWAITED = ("figures", "pairs")
"""Parts of the page: the ids of the elements."""
AN_HOUR = 3600
"""There are as many choices of pairs as somebody types words to search for."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Over all prompts that both versions have answered."""

    num_pairs: int
    num_only_a: int
    num_only_b: int
    num_unread: int
    num_unchanged: int
    num_scored: int
    num_kls: int
    wins: Share | None
    change: Share | None
    kl: Share | None
    spread: list[tuple[str, int]]
    mean_length_change: float | None
    styles: list[Shift]


@dataclass(frozen=True)
class Chosen:
    """The pairs that somebody wants to see, by prompt."""

    prompts: list[int]
    num_pairs: int
    """Of how many."""

    def place_of(self, prompt: int | None) -> int:
        """Where the pair of this prompt stands, from 0; the first place for a prompt that is not among them."""
        return self.prompts.index(prompt) if prompt in self.prompts else 0


class Awaiting(NamedTuple):
    """The two parts of the page."""

    figures: Awaited[Figures]
    chosen: Awaited[Chosen]


def awaiting(a: ModelVersion, b: ModelVersion, choice: Choice) -> Awaiting:
    mark = fingerprint(a, b)
    num, key = mark[0], (a.pk, b.pk, *mark)
    return Awaiting(
        Awaited(part=FIGURES, key=key, count=partial(count_figures, a, b, num), num=num),
        Awaited(
            part=PAIRS, key=(*key, choice), count=partial(count_chosen, a, b, choice, num), num=num, seconds=AN_HOUR
        ),
    )


def fingerprint(a: ModelVersion, b: ModelVersion) -> tuple[int, ...]:
    """Changes with every answer of the two that comes, goes, or is written again, and with what both have read. The
    number of answers first.

    An answer that is written again has a newer run: the sum of the runs has grown. The scorers are of the runs. Of what
    was read an index alone tells the responses: the rows are wide.
    """
    of_answers = Generation.objects.filter(version__in=[a, b]).aggregate(
        num=Count("pk"), newest=Max("pk"), total=Sum("pk"), runs=Sum("run_id"), scorers=Sum("run__reward_model_id")
    )
    of_readings = Likelihood.objects.of_pair(a, b).aggregate(num=Count("response"), total=Sum("response"))
    return tuple(int(each or 0) for each in (*of_answers.values(), *of_readings.values()))


def count_figures(a: ModelVersion, b: ModelVersion, num: int, told: Telling) -> Figures:
    """Reading and measuring take about as long."""
    told.expect(2 * num)
    diff = diff_versions(a, b, with_messages=False, told=told)
    report = DiffReport(diff)
    return Figures(
        num_pairs=len(diff.pairs),
        num_only_a=diff.num_only_a,
        num_only_b=diff.num_only_b,
        num_unread=diff.num_unread,
        num_unchanged=diff.num_unchanged,
        num_scored=report.num_scored,
        num_kls=len(diff.kls),
        wins=report.wins,
        change=report.change,
        kl=report.kl,
        spread=report.spread,
        mean_length_change=diff.mean_length_change,
        styles=shifts(diff.pairs, told=told, steps=num),
    )


def count_chosen(a: ModelVersion, b: ModelVersion, choice: Choice, num: int, told: Telling) -> Chosen:
    told.expect(num)
    diff = diff_versions(a, b, with_texts=bool(choice.search), told=told)
    return Chosen([pair.prompt_id for pair in choice.of(diff)], len(diff.pairs))
