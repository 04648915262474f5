"""Rankings become preferences: every two answers of one, which share the weight of one comparison."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from annotation.export.batches import batches
from annotation.export.pairs import Answer, Asked, Given, Preference, Settings, counted, preference_of, verdicts_of
from annotation.models import Candidate, Judgment, Project, Rank, Task


def ranking_pairs(project: Project, settings: Settings) -> Iterator[Preference]:
    """Every two answers of a ranking; who stands before the other is better, as a plain choice says it."""
    tasks = (
        project.tasks.questions()
        .filter(kind=Task.Kind.RANKING, num_judged__gt=0)
        .order_by("pk")
        .values_list("pk", "prompt_id", "prompt__messages")
    )
    for batch in batches(tasks):
        ids = [task[0] for task in batch]
        answers, given, verdicts = _ranked_answers(ids), _ranks(settings, ids), verdicts_of(settings, ids)
        for pk, *asked in batch:
            decided = verdicts[pk].ranks if pk in verdicts else {}
            pairs = list(itertools.combinations(answers[pk], 2))
            for a, b in pairs:
                judgments = [
                    judgment._replace(value=_strength(ranks[a.id], ranks[b.id]))
                    for judgment, ranks in given.get(pk, [])
                ]
                votes = [settings.vote(judgment) for judgment in judgments]
                # A verdict's ranks are kept as JSON, whose keys are texts.
                verdict = _strength(decided[str(a.id)], decided[str(b.id)]) if decided else None
                pair = preference_of("ranking", Asked(*asked), (a, b), votes, judgments, settings, verdict=verdict)
                yield from (record._replace(weight=1 / len(pairs)) for record in pair)


def _ranked_answers(task_ids: Sequence[int]) -> dict[int, list[Answer]]:
    """Task id to its candidates, by their ids."""
    found: dict[int, list[Answer]] = defaultdict(list)
    rows = Candidate.objects.filter(task__among=task_ids).order_by("response_id")
    for row in rows.values_list("task_id", "response_id", "response__text", "response__source"):
        found[row[0]].append(Answer(row[1], row[2], row[3]))
    return found


def _ranks(settings: Settings, task_ids: Sequence[int]) -> dict[int, list[tuple[Given, dict[int, int]]]]:
    """Task id to its judgments, each with its places: response id to rank."""
    rows = list(
        counted(settings)
        .filter(task__among=task_ids)
        .values_list("task_id", "pk", "annotator_id", "annotator__is_simulated")
    )
    ranks: dict[int, dict[int, int]] = defaultdict(dict)
    for pk, response_id, rank in Rank.objects.filter(judgment__among=[row[1] for row in rows]).values_list(
        "judgment_id", "response_id", "rank"
    ):
        ranks[pk][response_id] = rank
    found: dict[int, list[tuple[Given, dict[int, int]]]] = defaultdict(list)
    for task_id, pk, annotator_id, is_simulated in rows:
        found[task_id].append((Given(pk, annotator_id, is_simulated, 0.0), ranks[pk]))
    return found


def _strength(rank_a: int, rank_b: int) -> int:
    """The signed strength, positive when a stands before b; 0: they are tied."""
    return Judgment.PLAIN_STRENGTH * ((rank_b > rank_a) - (rank_b < rank_a))
