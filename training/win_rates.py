"""How often people prefer a round's version: over its questions that were drawn by chance, and over no others."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Avg, Case, Count, F, FloatField, Q, Value, When

from annotation.models import Judgment, Response, Task
from training.diff_report import wilson
from training.models import Generation, Round, RoundTask
from training.reward_report import Share


@dataclass(frozen=True)
class WinRate:
    """share: None before the first of the questions is judged, and of a round against its own version."""

    share: Share | None
    num_judged: int
    """Questions drawn by chance that have at least one vote."""
    num_random: int
    num_votes: int
    num_simulated: int
    """Votes by programs among them."""


def win_rates(rounds: Iterable[Round]) -> dict[int, WinRate]:
    """Round id to its win rate, all of them in one query.

    A question counts once however many people judged it: as the mean of their votes, a tie and “both bad” half. The
    interval is Wilson's over questions, which is on the wide side where there are ties.
    """
    rounds = list(rounds)
    score = Case(
        When(task__judgments__strength=0, then=Value(0.5)),
        When(task__judgments__preferred__generation__version=F("round__version"), then=Value(1.0)),
        default=Value(0.0),
        output_field=FloatField(),
    )
    votes = RoundTask.objects.filter(
        round__in=rounds, is_random=True, task__control="", task__judgments__is_current=True
    )
    rows = votes.values("round_id", "task_id").annotate(
        score=Avg(score),
        num=Count("task__judgments"),
        num_simulated=Count("task__judgments", filter=Q(task__judgments__annotator__is_simulated=True)),
    )
    of_round: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for row in rows:
        of_round[row["round_id"]].append((row["score"], row["num"], row["num_simulated"]))
    return {round_.pk: _rate(round_, of_round[round_.pk]) for round_ in rounds}


def _rate(round_: Round, questions: list[tuple[float, int, int]]) -> WinRate:
    share = None
    if questions and not round_.is_against_itself:
        mean = statistics.fmean(score for score, _num, _simulated in questions)
        share = Share(mean, *wilson(mean, len(questions)))
    return WinRate(
        share=share,
        num_judged=len(questions),
        num_random=round_.num_random,
        num_votes=sum(num for _score, num, _simulated in questions),
        num_simulated=sum(simulated for _score, _num, simulated in questions),
    )


@dataclass(frozen=True)
class Question:
    """A question of a round as its page shows it: both answers, whose they are, and what people said."""

    task: Task
    is_random: bool
    ours: Response
    theirs: Response
    ours_reward: float | None
    theirs_reward: float | None
    num_ours: int
    """Votes for the version's answer."""
    num_theirs: int
    num_ties: int


def questions_of(round_: Round, rows: list[RoundTask]) -> list[Question]:
    """In the order of the rows; four queries however many there are."""
    tasks = Task.objects.select_related("prompt", "response_a", "response_b").in_bulk([row.task_id for row in rows])
    answers = [pk for task in tasks.values() for pk in (task.response_a_id, task.response_b_id)]
    written = dict(Generation.objects.filter(response__in=answers).values_list("response", "version"))
    rewards = dict(Generation.objects.filter(response__in=answers).values_list("response", "reward"))
    votes: dict[int, list[int | None]] = defaultdict(list)
    judged = Judgment.objects.votes().filter(task__in=tasks)
    for task_id, preferred, strength in judged.values_list("task_id", "preferred_id", "strength"):
        votes[task_id].append(preferred if strength else None)
    found = []
    for row in rows:
        task = tasks[row.task_id]
        assert task.response_b, "a round asks comparisons"
        ours, theirs = task.response_a, task.response_b
        if written.get(ours.pk) != round_.version_id:
            ours, theirs = theirs, ours
        said = votes[task.pk]
        found.append(
            Question(
                task, row.is_random, ours, theirs, rewards.get(ours.pk), rewards.get(theirs.pk),
                said.count(ours.pk), said.count(theirs.pk), said.count(None),
            )
        )  # fmt: skip
    return found
