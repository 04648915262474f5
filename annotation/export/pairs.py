"""The record that every kind of question ends in: two answers to one prompt, and what the votes on them come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from annotation.consensus import Consensus, Opinion, Reliability, Vote, decided, majority
from annotation.export.targets import Grading, mean_strength, target
from annotation.models import Judgment, Verdict
from annotation.models.work import JudgmentQuerySet

Origin = Literal["comparison", "rating", "ranking", "correction"]
ORIGINS: tuple[Origin, ...] = ("comparison", "rating", "ranking", "correction")


class Preference(NamedTuple):
    """Two answers to one prompt, and what people (or programs: num_simulated) said of them."""

    origin: Origin
    prompt_id: int
    messages: list[dict[str, str]]
    response_a_id: int
    response_b_id: int
    text_a: str
    text_b: str
    source_a: str
    source_b: str
    target: float
    """P(a is better), 0 … 1."""
    strength: float
    """The weighted mean of the signed strengths, −3 … 3, positive when a is better."""
    num_judgments: int
    num_simulated: int
    judgment_ids: list[int]
    is_decided: bool = False
    """A reviewer's verdict stands in place of what people said."""
    votes: tuple[float, ...] = ()
    """The signed strengths behind it, a person's each, the lowest first, so that nobody's can be told by its place."""
    weight: float = 1.0
    """How much it counts in training. The pairs of a ranking share 1, so that more answers weigh no more than two."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How votes are turned into targets."""

    grading: Grading = "choice"
    kappa: float = 1.0
    """κ of the graded target σ(κ·s)."""
    weights: Mapping[int, float] = dataclasses.field(default_factory=dict)
    """Annotator id to weight; 1 for those not named. Who has weight 0 is left out."""
    include_simulated: bool = True
    consensus: Consensus = "votes"
    reliability: Reliability | None = None
    """For the weighted consensus."""

    def opinion(self, origin: Origin, votes: list[Vote]) -> Opinion:
        """What the votes come to. A consensus says which is better, without a grade; a correction needs none."""
        if origin != "correction" and self.consensus == "majority":
            return majority(votes)
        if origin != "correction" and self.reliability is not None:
            return self.reliability.opinion(votes)
        return Opinion(target(votes, grading=self.grading, kappa=self.kappa), mean_strength(votes))

    def vote(self, given: Given) -> Vote:
        return Vote(given.value, self.weight(given), given.annotator_id)

    def weight(self, given: Given) -> float:
        return self.weights.get(given.annotator_id, 1.0)


class Answer(NamedTuple):
    """A response, as far as a pair needs it."""

    id: int
    text: str
    source: str


class Asked(NamedTuple):
    """What a pair's answers answer."""

    prompt_id: int
    messages: list[dict[str, str]]


class Given(NamedTuple):
    """A judgment that counts, as far as a pair needs it."""

    id: int
    annotator_id: int
    is_simulated: bool
    value: float
    """Of a comparison the signed strength, positive when response_a is better; of a rating its score, 0 … 1."""


def counted(settings: Settings) -> JudgmentQuerySet:
    """The judgments that count and have a weight, oldest first."""
    judgments = Judgment.objects.votes().order_by("pk")
    if not settings.include_simulated:
        judgments = judgments.filter(annotator__is_simulated=False)
    silent = [annotator for annotator, weight in settings.weights.items() if weight <= 0]
    return judgments.exclude(annotator__in=silent) if silent else judgments


def verdicts_of(settings: Settings, task_ids: Sequence[int]) -> dict[int, Verdict]:
    """Task id to what a reviewer decided; none where people's votes are wanted as they are."""
    if settings.consensus == "votes":
        return {}
    found = Verdict.objects.filter(task__among=task_ids).select_related("task")
    return {verdict.task_id: verdict for verdict in found}


def preference_of(
    origin: Origin,
    asked: Asked,
    pair: tuple[Answer, Answer],
    votes: list[Vote],
    judgments: Sequence[Given],
    settings: Settings,
    *,
    verdict: float | None = None,
) -> Iterator[Preference]:
    """The record, or nothing where nobody's vote is left. verdict: a reviewer's signed strength."""
    if not votes:
        return
    opinion = decided(verdict) if verdict is not None else settings.opinion(origin, votes)
    a, b = pair
    yield Preference(
        origin=origin,
        prompt_id=asked.prompt_id,
        messages=asked.messages,
        response_a_id=a.id,
        response_b_id=b.id,
        text_a=a.text,
        text_b=b.text,
        source_a=a.source,
        source_b=b.source,
        target=opinion.target,
        strength=opinion.strength,
        num_judgments=len(judgments),
        num_simulated=sum(judgment.is_simulated for judgment in judgments),
        judgment_ids=sorted(judgment.id for judgment in judgments),
        is_decided=verdict is not None,
        votes=tuple(sorted(vote.strength for vote in votes)),
    )
