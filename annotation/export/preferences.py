"""Judgments become preferences: of two answers to one prompt, which is better, and with which probability.

Three questions to people end in the same record: a comparison; ratings of two answers to one prompt; a correction,
which is better than what it corrects. Rows come one by one, in a fixed order, so a large project needs little memory.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from django.db.models import Prefetch

from annotation.export.targets import Grading, Vote, mean_strength, rating_score, target
from annotation.models import Judgment, Project, Response, Task
from annotation.models.work import JudgmentQuerySet

Origin = Literal["comparison", "rating", "correction"]
ORIGINS: tuple[Origin, ...] = ("comparison", "rating", "correction")
STRONGEST = 3
"""Ratings at the two ends of every scale are as far apart as “much better”."""
CHUNK = 500
"""Rows fetched at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preference:
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How votes are turned into targets."""

    grading: Grading = "choice"
    kappa: float = 1.0
    """κ of the graded target σ(κ·s)."""
    weights: Mapping[int, float] = dataclasses.field(default_factory=dict)
    """Annotator id to weight; 1 for those not named. Who has weight 0 is left out."""
    include_simulated: bool = True

    def weight(self, judgment: Judgment) -> float:
        return self.weights.get(judgment.annotator_id, 1.0)


def preferences(
    project: Project,
    *,
    grading: Grading = "choice",
    kappa: float = 1.0,
    weights: Mapping[int, float] | None = None,
    include_simulated: bool = True,
    origins: Collection[Origin] = ORIGINS,
) -> Iterator[Preference]:
    """Every pair that was judged, one record each, aggregated over annotators. Ties have the target 0.5."""
    settings = Settings(grading=grading, kappa=kappa, weights=weights or {}, include_simulated=include_simulated)
    if "comparison" in origins:
        yield from _comparisons(project, settings)
    if "rating" in origins:
        yield from _rating_pairs(project, settings)
    if "correction" in origins:
        yield from _corrections(project, settings)


def _comparisons(project: Project, settings: Settings) -> Iterator[Preference]:
    tasks = (
        project.tasks.questions()
        .filter(kind=Task.Kind.COMPARISON, num_judged__gt=0)
        .select_related("prompt", "response_a", "response_b")
        .prefetch_related(Prefetch("judgments", _counted(settings)))
        .order_by("pk")
    )
    for task in tasks.iterator(chunk_size=CHUNK):
        assert task.response_b is not None  # the database holds comparisons to it
        judgments = list(task.judgments.all())
        votes = [Vote(judgment.signed_strength or 0, settings.weight(judgment)) for judgment in judgments]
        yield from _preference("comparison", task.response_a, task.response_b, task, votes, judgments, settings)


def _rating_pairs(project: Project, settings: Settings) -> Iterator[Preference]:
    """Every two rated answers of one prompt. People are compared with themselves where they rated both answers: strict
    and mild raters then give the same preference. Where nobody rated both, the means of all are compared, as one vote.
    """
    tasks = (
        project.tasks.questions()
        .filter(kind=Task.Kind.RATING, num_judged__gt=0)
        .select_related("prompt", "response_a")
        .prefetch_related(Prefetch("judgments", _counted(settings).prefetch_related("ratings__criterion")))
        .order_by("prompt_id", "response_a_id")
    )
    for _prompt, of_prompt in itertools.groupby(tasks.iterator(chunk_size=CHUNK), key=lambda task: task.prompt_id):
        rated = [task for task in of_prompt if task.judgments.all()]
        for first, second in itertools.combinations(rated, 2):
            votes, judgments = _rating_votes(first, second, settings)
            yield from _preference("rating", first.response_a, second.response_a, first, votes, judgments, settings)


def _rating_votes(first: Task, second: Task, settings: Settings) -> tuple[list[Vote], list[Judgment]]:
    a, b = ({judgment.annotator_id: judgment for judgment in task.judgments.all()} for task in (first, second))
    both = sorted(a.keys() & b.keys())
    if both:
        votes = [Vote(_apart(_score(a[person]), _score(b[person])), settings.weight(a[person])) for person in both]
        return votes, [judgment for person in both for judgment in (a[person], b[person])]
    mean_a, mean_b = (
        mean_strength([Vote(_score(judgment), settings.weight(judgment)) for judgment in ratings.values()])
        for ratings in (a, b)
    )
    return [Vote(_apart(mean_a, mean_b))], [*a.values(), *b.values()]


def _apart(score_a: float, score_b: float) -> float:
    """The signed strength of two scores. Rounded, so that sums of the same steps in another order are a tie."""
    return round(STRONGEST * (score_a - score_b), 9)


def _score(judgment: Judgment) -> float:
    return rating_score(
        [(rating.value, rating.criterion.scale_max, rating.criterion.weight) for rating in judgment.ratings.all()]
    )


def _corrections(project: Project, settings: Settings) -> Iterator[Preference]:
    """A correction is better than what it corrects, as a plain choice says it."""
    judgments = (
        _counted(settings)
        .filter(task__project=project, corrections__isnull=False)
        .distinct()
        .select_related("task__prompt")
        .prefetch_related("corrections__parent")
        .order_by("pk")
    )
    for judgment in judgments.iterator(chunk_size=CHUNK):
        for correction in sorted(judgment.corrections.all(), key=lambda response: response.pk):
            if correction.parent is not None:
                votes = [Vote(-Judgment.PLAIN_STRENGTH, settings.weight(judgment))]
                yield from _preference(
                    "correction", correction.parent, correction, judgment.task, votes, [judgment], settings
                )


def _counted(settings: Settings) -> JudgmentQuerySet:
    """What a task's prefetched `judgments` hold here: those that count and have a weight."""
    judgments = Judgment.objects.votes().select_related("annotator").order_by("pk")
    if not settings.include_simulated:
        judgments = judgments.filter(annotator__is_simulated=False)
    silent = [annotator for annotator, weight in settings.weights.items() if weight <= 0]
    return judgments.exclude(annotator__in=silent)


def _preference(
    origin: Origin,
    a: Response,
    b: Response,
    task: Task,
    votes: list[Vote],
    judgments: list[Judgment],
    settings: Settings,
) -> Iterator[Preference]:
    """The record, or nothing where nobody's vote is left."""
    if not votes:
        return
    yield Preference(
        origin=origin,
        prompt_id=task.prompt_id,
        messages=task.prompt.messages,
        response_a_id=a.pk,
        response_b_id=b.pk,
        text_a=a.text,
        text_b=b.text,
        source_a=a.source,
        source_b=b.source,
        target=target(votes, grading=settings.grading, kappa=settings.kappa),
        strength=mean_strength(votes),
        num_judgments=len(judgments),
        num_simulated=sum(judgment.annotator.is_simulated for judgment in judgments),
        judgment_ids=sorted(judgment.pk for judgment in judgments),
    )
