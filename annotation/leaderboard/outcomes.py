"""The one query of the leaderboard: how often which source's answer was chosen over which other's, prompt by prompt."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from django.db import connection

from annotation.leaderboard.bradley_terry import Floats, Integers
from annotation.models import Making, Project
from annotation.votes import Voters

LENGTH_STEPS = 20
"""d = (length − other's) / (length + other's), −1 … 1, is kept in steps of 1/20, so that rows meet."""

# Comparisons, rankings and, where asked for, ratings, as pairs (a, b) with how much of a win a has (won, 0 … 1) and the
# pair's weight: what one person says of one prompt by a ranking, or by rating its answers, weighs as one comparison.
OUTCOMES = """
WITH given AS (
    SELECT judgment.id, judgment.annotator_id, judgment.preferred_id, judgment.strength,
           task.kind, task.prompt_id, task.response_a_id, task.response_b_id
    FROM annotation_judgment judgment
    JOIN annotation_task task ON task.id = judgment.task_id
    JOIN annotation_user person ON person.id = judgment.annotator_id
    WHERE task.project_id = %(project)s AND task.control = '' AND judgment.is_current
      AND person.is_simulated = ANY(%(simulated)s)
      AND (%(with_chats)s OR NOT EXISTS (
          SELECT FROM annotation_making making WHERE making.id = task.making_id AND making.kind = %(chat)s
      ))
), scores AS (
    SELECT given.annotator_id, given.prompt_id, given.response_a_id AS response_id, round((
        sum(criterion.weight * (rating.value - 1) / (criterion.scale_max - 1)) / nullif(sum(abs(criterion.weight)), 0)
    )::numeric, 9) AS score
    FROM given
    JOIN annotation_rating rating ON rating.judgment_id = given.id
    JOIN annotation_criterion criterion ON criterion.id = rating.criterion_id
    WHERE given.kind = 'rating' AND %(with_ratings)s
    GROUP BY given.id, given.annotator_id, given.prompt_id, given.response_a_id
), votes AS (
    SELECT prompt_id, response_a_id AS a_id, response_b_id AS b_id, 1.0::float8 AS weight,
           CASE WHEN strength = 0 THEN 0.5 WHEN preferred_id = response_a_id THEN 1.0 ELSE 0.0 END::float8 AS won
    FROM given WHERE kind = 'comparison'
    UNION ALL
    SELECT given.prompt_id, a.response_id, b.response_id, 1.0 / count(*) OVER (PARTITION BY given.id),
           CASE WHEN a.rank = b.rank THEN 0.5 WHEN a.rank < b.rank THEN 1.0 ELSE 0.0 END
    FROM given
    JOIN annotation_rank a ON a.judgment_id = given.id
    JOIN annotation_rank b ON b.judgment_id = given.id AND a.response_id < b.response_id
    WHERE given.kind = 'ranking'
    UNION ALL
    SELECT a.prompt_id, a.response_id, b.response_id, 1.0 / count(*) OVER (PARTITION BY a.annotator_id, a.prompt_id),
           CASE WHEN a.score = b.score THEN 0.5 WHEN a.score > b.score THEN 1.0 ELSE 0.0 END
    FROM scores a
    JOIN scores b USING (annotator_id, prompt_id)
    WHERE a.response_id < b.response_id
), sized AS (
    SELECT votes.prompt_id, votes.won, votes.weight, a.source AS a_source, b.source AS b_source,
           char_length(a.text) AS a_length, char_length(b.text) AS b_length
    FROM votes
    JOIN annotation_response a ON a.id = votes.a_id
    JOIN annotation_response b ON b.id = votes.b_id
    WHERE a.source <> b.source
)
SELECT prompt_id, a_source, b_source,
       coalesce(round(%(steps)s * (a_length - b_length)::numeric / nullif(a_length + b_length, 0)), 0)::int AS length,
       sum(won * weight), sum(weight), count(*)
FROM sized GROUP BY 1, 2, 3, 4
"""


SIMULATED = {Voters.PEOPLE: [False], Voters.SIMULATED: [True], Voters.ALL: [False, True]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Rows of equal length: one for each prompt, pair of sources (ordered by name) and length difference."""

    sources: list[str]
    prompt: Integers
    """0 … one less than the number of prompts."""
    first: Integers
    second: Integers
    """Places in `sources`; first < second."""
    length: Floats
    """(length of the first's answer − of the second's) / (both), −1 … 1, in characters."""
    wins: Floats
    """How often the first was chosen; a tie is half a win."""
    num: Floats
    """Of how many comparisons, by weight."""
    votes: Integers
    """… and counted."""


def outcomes_of(
    project: Project, *, voters: Voters = Voters.PEOPLE, with_ratings: bool = False, with_chats: bool = False
) -> Outcomes:
    """What people said of the project's answers; gold tasks and repeats are left out, and pairs of one source."""
    values: dict[str, Any] = {
        "project": project.pk,
        "simulated": SIMULATED[voters],
        "with_ratings": with_ratings,
        "with_chats": with_chats,
        "chat": Making.CHAT,
        "steps": LENGTH_STEPS,
    }
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES, values)
        rows = cursor.fetchall()
    prompts, a_names, b_names, *numbers = zip(*rows, strict=True) if rows else [()] * 7
    sources = sorted({*a_names, *b_names})
    place = {source: number for number, source in enumerate(sources)}
    a, b = (np.array([place[name] for name in names], dtype=np.int64) for names in (a_names, b_names))
    length, wins, num, votes = (np.array(column, dtype=np.float64) for column in numbers)
    in_order = a < b
    return Outcomes(
        sources=sources,
        prompt=np.unique(np.array(prompts, dtype=np.int64), return_inverse=True)[1].astype(np.int64),
        first=np.minimum(a, b),
        second=np.maximum(a, b),
        length=np.where(in_order, length, -length) / LENGTH_STEPS,
        wins=np.where(in_order, wins, num - wins),
        num=num,
        votes=votes.astype(np.int64),
    )
