"""Judgments become preferences: of two answers to one prompt, which is better, and with which probability.

Four questions to people end in the same record: a comparison; ratings of two answers to one prompt; every two answers
of a ranking; a correction, which is better than what it corrects. Rows come one by one, in a fixed order, so a large
project needs little memory.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from annotation.consensus import Consensus, Vote, reliability
from annotation.export.batches import batches
from annotation.export.pairs import (
    ORIGINS,
    Answer,
    Asked,
    Given,
    Origin,
    Preference,
    Settings,
    counted,
    preference_of,
    verdicts_of,
)
from annotation.export.ranked import ranking_pairs
from annotation.export.targets import Grading, mean_strength, rating_score
from annotation.models import Judgment, Project, Rating, Task
from annotation.votes import Voters, Which, pairs

STRONGEST = 3
"""Ratings at the two ends of every scale are as far apart as “much better”."""


def preferences(
    project: Project,
    *,
    grading: Grading = "choice",
    kappa: float = 1.0,
    weights: Mapping[int, float] | None = None,
    include_simulated: bool = True,
    origins: Collection[Origin] = ORIGINS,
    consensus: Consensus = "votes",
) -> Iterator[Preference]:
    """Every pair that was judged, one record each, aggregated over annotators. Ties have the target 0.5.

    consensus: how several people's votes on one pair become one: all of them (the target is their share), the
    majority, or weighted by how reliable each person is. In the latter two a reviewer's verdict wins over all votes.
    Raises ValueError with a sentence, at once, when the weighted consensus cannot be told.
    """
    which = Which(by=Voters.ALL if include_simulated else Voters.PEOPLE)
    settings = Settings(
        grading=grading,
        kappa=kappa,
        weights=weights or {},
        include_simulated=include_simulated,
        consensus=consensus,
        reliability=reliability(pairs(project, which)) if consensus == "weighted" else None,
    )
    return _all(project, settings, origins)


def _all(project: Project, settings: Settings, origins: Collection[Origin]) -> Iterator[Preference]:
    if "comparison" in origins:
        yield from _comparisons(project, settings)
    if "rating" in origins:
        yield from _rating_pairs(project, settings)
    if "ranking" in origins:
        yield from ranking_pairs(project, settings)
    if "correction" in origins:
        yield from _corrections(project, settings)


# --- comparisons ------------------------------------------------------------------------------------------------


def _comparisons(project: Project, settings: Settings) -> Iterator[Preference]:
    tasks = (
        project.tasks.questions()
        .filter(kind=Task.Kind.COMPARISON, num_judged__gt=0)
        .order_by("pk")
        .values_list(
            *("pk", "prompt_id", "prompt__messages"),
            *("response_a_id", "response_a__text", "response_a__source"),
            *("response_b_id", "response_b__text", "response_b__source"),
        )
    )
    for batch in batches(tasks):
        given = _strengths(settings, {task[0]: task[3] for task in batch})
        verdicts = verdicts_of(settings, [task[0] for task in batch])
        for pk, prompt_id, messages, *answers in batch:
            judgments = given.get(pk, [])
            votes = [settings.vote(judgment) for judgment in judgments]
            verdict = verdicts.get(pk)
            yield from preference_of(
                "comparison",
                Asked(prompt_id, messages),
                (Answer(*answers[:3]), Answer(*answers[3:])),
                votes,
                judgments,
                settings,
                verdict=verdict.signed_strength if verdict else None,
            )


def _strengths(settings: Settings, first_answers: Mapping[int, int]) -> dict[int, list[Given]]:
    """Task id to what was said of it. first_answers: task id to the id of its response_a."""
    rows = (
        counted(settings)
        .filter(task__among=list(first_answers))
        .values_list("task_id", "pk", "annotator_id", "annotator__is_simulated", "preferred_id", "strength")
    )
    found: dict[int, list[Given]] = defaultdict(list)
    for task_id, pk, annotator_id, is_simulated, preferred_id, strength in rows:
        is_second = preferred_id is not None and preferred_id != first_answers[task_id]
        signed = -(strength or 0) if is_second else strength or 0
        found[task_id].append(Given(pk, annotator_id, is_simulated, signed))
    return found


# --- ratings ----------------------------------------------------------------------------------------------------


class _Rated(NamedTuple):
    """A rated answer with the scores it got, by annotator; or with the verdict's score in each of their places."""

    asked: Asked
    answer: Answer
    given: dict[int, Given]
    is_decided: bool


def _rating_pairs(project: Project, settings: Settings) -> Iterator[Preference]:
    """Every two rated answers of one prompt. People are compared with themselves where they rated both answers: strict
    and mild raters then give the same preference. Where nobody rated both, the means of all are compared, as one vote.
    """
    for _prompt, of_prompt in itertools.groupby(_rated(project, settings), key=lambda rated: rated.asked.prompt_id):
        for first, second in itertools.combinations(list(of_prompt), 2):
            votes, judgments = _rating_votes(first, second, settings)
            yield from preference_of(
                "rating",
                first.asked,
                (first.answer, second.answer),
                votes,
                judgments,
                settings,
                verdict=votes[0].strength if first.is_decided and second.is_decided else None,
            )


def _rated(project: Project, settings: Settings) -> Iterator[_Rated]:
    """By prompt; answers that nobody's counted judgment rates are left out."""
    tasks = (
        project.tasks.questions()
        .filter(kind=Task.Kind.RATING, num_judged__gt=0)
        .order_by("prompt_id", "response_a_id")
        .values_list("pk", "prompt_id", "prompt__messages", "response_a_id", "response_a__text", "response_a__source")
    )
    steps = {key: (most, weight) for key, most, weight in project.criteria.values_list("key", "scale_max", "weight")}
    for batch in batches(tasks):
        given = _scores(settings, [task[0] for task in batch])
        verdicts = verdicts_of(settings, [task[0] for task in batch])
        for pk, prompt_id, messages, *answer in batch:
            if pk in given:
                scores = {judgment.annotator_id: judgment for judgment in given[pk]}
                if pk in verdicts:
                    score = rating_score(
                        [(value, steps[key][0], steps[key][1]) for key, value in verdicts[pk].ratings.items()]
                    )
                    scores = {person: judgment._replace(value=score) for person, judgment in scores.items()}
                yield _Rated(Asked(prompt_id, messages), Answer(*answer), scores, pk in verdicts)


def _scores(settings: Settings, task_ids: Sequence[int]) -> dict[int, list[Given]]:
    """Task id to the scores given."""
    rows = list(
        counted(settings)
        .filter(task__among=task_ids)
        .values_list("task_id", "pk", "annotator_id", "annotator__is_simulated")
    )
    values: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    ratings = Rating.objects.filter(judgment__among=[row[1] for row in rows]).order_by("judgment_id", "pk")
    for pk, value, most, weight in ratings.values_list(
        "judgment_id", "value", "criterion__scale_max", "criterion__weight"
    ):
        values[pk].append((value, most, weight))
    found: dict[int, list[Given]] = defaultdict(list)
    for task_id, pk, annotator_id, is_simulated in rows:
        found[task_id].append(Given(pk, annotator_id, is_simulated, rating_score(values[pk])))
    return found


def _rating_votes(first: _Rated, second: _Rated, settings: Settings) -> tuple[list[Vote], list[Given]]:
    a, b = first.given, second.given
    both = sorted(a.keys() & b.keys())
    if both:
        votes = [Vote(_apart(a[person].value, b[person].value), settings.weight(a[person]), person) for person in both]
        return votes, [judgment for person in both for judgment in (a[person], b[person])]
    mean_a, mean_b = (
        mean_strength([Vote(judgment.value, settings.weight(judgment)) for judgment in scores.values()])
        for scores in (a, b)
    )
    return [Vote(_apart(mean_a, mean_b))], [*a.values(), *b.values()]


def _apart(score_a: float, score_b: float) -> float:
    """The signed strength of two scores. Rounded, so that sums of the same steps in another order are a tie."""
    return round(STRONGEST * (score_a - score_b), 9)


# --- corrections ------------------------------------------------------------------------------------------------


def _corrections(project: Project, settings: Settings) -> Iterator[Preference]:
    """A correction is better than what it corrects, as a plain choice says it."""
    rows = (
        counted(settings)
        .filter(task__project=project, corrections__parent__isnull=False)
        .order_by("pk", "corrections__pk")
        .values_list(
            *("pk", "annotator_id", "annotator__is_simulated", "task__prompt_id", "task__prompt__messages"),
            *("corrections__parent_id", "corrections__parent__text", "corrections__parent__source"),
            *("corrections__pk", "corrections__text", "corrections__source"),
        )
    )
    for batch in batches(rows):
        for pk, annotator_id, is_simulated, prompt_id, messages, *answers in batch:
            judgment = Given(pk, annotator_id, is_simulated, -Judgment.PLAIN_STRENGTH)
            votes = [settings.vote(judgment)]
            pair = Answer(*answers[:3]), Answer(*answers[3:])
            yield from preference_of("correction", Asked(prompt_id, messages), pair, votes, [judgment], settings)
