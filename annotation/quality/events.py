"""Everything a judgment tells of the person who gave it, as trials that hit or miss: one statement for all figures.

Each figure is a share of hits. Trials of one prompt hang together, so they are summed by prompt first; see shares.py.
People are held against people, and simulated annotators against simulated annotators.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from annotation.models import Project, User
from annotation.quality.shares import Sums


class Figure(models.TextChoices):
    AGREEMENT = "agreement", _("agreement with the majority of the others")
    NEARNESS = "nearness", _("ratings within one step of the others' mean")
    GOLD = "gold", _("gold tasks judged right")
    CONSISTENCY = "consistency", _("the same answer when asked again")
    STEADINESS = "steadiness", _("ratings within one step when asked again")
    LEFT = "left", _("choices of the answer on the left")
    LONGER = "longer", _("choices of the longer answer")

    @property
    def undefined(self) -> str:
        """Why there is no figure."""
        return str(UNDEFINED[self])


UNDEFINED = {
    Figure.AGREEMENT: _("Nobody else has judged the same answers, or the others are at odds about them."),
    Figure.NEARNESS: _("Nobody else has rated the same answers."),
    Figure.GOLD: _("No gold task has been judged yet."),
    Figure.CONSISTENCY: _("No comparison or ranking has been asked again yet."),
    Figure.STEADINESS: _("No rating has been asked again yet."),
    Figure.LEFT: _("Neither of two answers has been preferred yet."),
    Figure.LONGER: _("Neither of two answers of different lengths has been preferred yet."),
}

EVENTS = """
WITH given AS MATERIALIZED (
    SELECT judgment.id, judgment.annotator_id, judgment.preferred_id, judgment.strength, judgment.created_at AS at,
           person.is_simulated, lent.is_swapped,
           task.id AS task_id, task.kind, task.control, task.repeat_of_id, task.prompt_id,
           task.response_a_id AS a_id, task.response_b_id AS b_id
    FROM annotation_judgment judgment
    JOIN annotation_task task ON task.id = judgment.task_id
    JOIN annotation_assignment lent ON lent.id = judgment.assignment_id
    JOIN annotation_user person ON person.id = judgment.annotator_id
    WHERE task.project_id = %(project)s AND judgment.is_current AND task.prompt_id BETWEEN %(first)s AND %(last)s
), said AS (
    -- What a vote says of two answers: 1, the first is better; 0, a tie; -1.
    SELECT annotator_id, is_simulated, at, prompt_id, a_id, b_id,
           CASE WHEN strength = 0 THEN 0 WHEN preferred_id = a_id THEN 1 ELSE -1 END AS said
    FROM given WHERE kind = 'comparison' AND control = ''
    UNION ALL
    SELECT given.annotator_id, given.is_simulated, given.at, given.prompt_id, a.response_id, b.response_id,
           sign(b.rank - a.rank)::int
    FROM given
    JOIN annotation_rank a ON a.judgment_id = given.id
    JOIN annotation_rank b ON b.judgment_id = given.id AND a.response_id < b.response_id
    WHERE given.kind = 'ranking' AND given.control = ''
), beside AS (
    -- … and how many others say which.
    SELECT said.*,
           count(*) FILTER (WHERE said = 1) OVER pair - (said = 1)::int AS better,
           count(*) FILTER (WHERE said = 0) OVER pair - (said = 0)::int AS tied,
           count(*) FILTER (WHERE said = -1) OVER pair - (said = -1)::int AS worse
    FROM said WINDOW pair AS (PARTITION BY is_simulated, a_id, b_id)
), rated AS (
    SELECT given.annotator_id, given.is_simulated, given.at, given.prompt_id, rating.value,
           count(*) OVER answer - 1 AS num_others, sum(rating.value) OVER answer - rating.value AS sum_others
    FROM given
    JOIN annotation_rating rating ON rating.judgment_id = given.id
    WHERE given.kind = 'rating' AND given.control = ''
    WINDOW answer AS (PARTITION BY given.is_simulated, rating.response_id, rating.criterion_id)
), asked_again AS (
    SELECT again.*, once.id AS once_id, once.preferred_id AS once_preferred_id
    FROM given again JOIN given once ON once.task_id = again.repeat_of_id AND once.annotator_id = again.annotator_id
    WHERE again.control = 'repeat'
), longer AS (
    -- By pair, not by judgment: reading the texts is what costs.
    SELECT pair.a_id, pair.b_id, char_length(a.text) > char_length(b.text) AS is_first
    FROM (SELECT DISTINCT a_id, b_id FROM given WHERE kind = 'comparison' AND control = '' AND strength > 0) pair
    JOIN annotation_response a ON a.id = pair.a_id
    JOIN annotation_response b ON b.id = pair.b_id
    WHERE char_length(a.text) <> char_length(b.text)
), events AS (
    SELECT annotator_id, is_simulated, at, prompt_id, 'agreement' AS figure,
           greatest(better, tied, worse) = CASE said WHEN 1 THEN better WHEN 0 THEN tied ELSE worse END AS hit
    FROM beside
    WHERE (better > tied AND better > worse) OR (tied > better AND tied > worse) OR (worse > better AND worse > tied)
    UNION ALL
    SELECT annotator_id, is_simulated, at, prompt_id, 'nearness', abs(value - sum_others / num_others) <= 1
    FROM rated WHERE num_others > 0
    UNION ALL
    SELECT given.annotator_id, given.is_simulated, given.at, given.prompt_id, 'gold', CASE given.kind
        WHEN 'comparison' THEN gold.preferred_id IS NOT DISTINCT FROM given.preferred_id
        WHEN 'ranking' THEN 1 = (
            SELECT count(*) FROM annotation_rank place WHERE place.judgment_id = given.id AND place.rank = 1
        ) AND EXISTS (
            SELECT FROM annotation_rank place
            WHERE place.judgment_id = given.id AND place.rank = 1 AND place.response_id = gold.preferred_id
        )
        ELSE NOT EXISTS (
            SELECT FROM jsonb_each(gold.ratings) AS wanted(key, ends)
            LEFT JOIN (annotation_rating rating JOIN annotation_criterion scale ON scale.id = rating.criterion_id)
                ON rating.judgment_id = given.id AND scale.key = wanted.key
            WHERE rating.value IS NULL OR rating.value NOT BETWEEN (ends->>0)::numeric AND (ends->>1)::numeric
        )
    END
    FROM given JOIN annotation_gold gold ON gold.task_id = given.task_id
    WHERE given.control = 'gold'
    UNION ALL
    SELECT annotator_id, is_simulated, at, prompt_id, 'consistency',
           preferred_id IS NOT DISTINCT FROM once_preferred_id
    FROM asked_again WHERE kind = 'comparison'
    UNION ALL
    SELECT annotator_id, is_simulated, at, prompt_id, 'consistency',
           sign(b.rank - a.rank) = sign(once_b.rank - once_a.rank)
    FROM asked_again
    JOIN annotation_rank a ON a.judgment_id = asked_again.id
    JOIN annotation_rank b ON b.judgment_id = asked_again.id AND a.response_id < b.response_id
    JOIN annotation_rank once_a ON once_a.judgment_id = once_id AND once_a.response_id = a.response_id
    JOIN annotation_rank once_b ON once_b.judgment_id = once_id AND once_b.response_id = b.response_id
    UNION ALL
    SELECT annotator_id, is_simulated, at, prompt_id, 'steadiness', abs(rating.value - once.value) <= 1
    FROM asked_again
    JOIN annotation_rating rating ON rating.judgment_id = asked_again.id
    JOIN annotation_rating once ON once.judgment_id = once_id AND once.criterion_id = rating.criterion_id
    UNION ALL
    SELECT annotator_id, is_simulated, at, prompt_id, 'left', (preferred_id = a_id) <> is_swapped
    FROM given WHERE kind = 'comparison' AND strength > 0
    UNION ALL
    SELECT annotator_id, is_simulated, at, prompt_id, 'longer', (preferred_id = a_id) = longer.is_first
    FROM given JOIN longer USING (a_id, b_id)
    WHERE kind = 'comparison' AND control = '' AND strength > 0
), by_prompt AS ({cuts})
SELECT person, is_simulated, week, figure, sum(num)::bigint, sum(hits)::bigint, count(*),
       sum(hits * hits)::bigint, sum(hits * num)::bigint, sum(num * num)::bigint
FROM by_prompt GROUP BY 1, 2, 3, 4
"""
# Trials of different prompts have nothing to do with each other, so many labels are looked at a stretch of prompts at a
# time: whoever waits hears of each, and the database sorts within its memory.
STRETCHES = """
SELECT min(prompt_id), max(prompt_id) FROM (
    SELECT prompt_id, (row_number() OVER (ORDER BY prompt_id) - 1) / %(size)s AS stretch
    FROM (SELECT DISTINCT prompt_id FROM annotation_task WHERE project_id = %(project)s) asked
) numbered
GROUP BY stretch ORDER BY stretch
"""
STRETCH = 10_000
CUT = """
    SELECT {person}::bigint AS person, {is_simulated}::boolean AS is_simulated, {week}::timestamptz AS week,
           figure, prompt_id, count(*) AS num, count(*) FILTER (WHERE hit) AS hits
    FROM events WHERE {scope} GROUP BY 1, 2, 3, 4, 5
"""
NOTHING = {"person": "NULL", "is_simulated": "NULL", "week": "NULL", "scope": "TRUE"}
OF_ONE = {"scope": "annotator_id = %(annotator)s"}
BY_PERSON = CUT.format(**NOTHING | {"person": "annotator_id"})
BY_ALL = CUT.format(**NOTHING | {"is_simulated": "is_simulated"})
PERSON = CUT.format(**NOTHING | OF_ONE | {"person": "annotator_id"})
WEEKS = CUT.format(**NOTHING | OF_ONE | {"week": "date_trunc('week', at, 'UTC')"})


Passing = Callable[[Sequence[Any]], Iterable[Any]]
"""Hands parts on as they are, and may count them."""


class Trials(NamedTuple):
    """Sums of each figure, by what they were taken apart by."""

    people: dict[int, dict[Figure, Sums]]
    """By user id."""
    everybody: dict[bool, dict[Figure, Sums]]
    """All people's together, and (under True) all simulated annotators'."""
    weeks: dict[datetime.datetime, dict[Figure, Sums]]
    """By the week's Monday at 0:00 UTC."""


def of_people(project: Project, passing: Passing = iter) -> Trials:
    """Of everybody, by person."""
    return _trials(project, passing, BY_PERSON)


def of_all(project: Project, passing: Passing = iter) -> Trials:
    """Of everybody together."""
    return _trials(project, passing, BY_ALL)


def of_person(project: Project, annotator: User, passing: Passing = iter) -> Trials:
    """Of one person, as a whole and by week, and of everybody together: one look at the labels for all three."""
    return _trials(project, passing, BY_ALL, PERSON, WEEKS, annotator=annotator.pk)


def _trials(project: Project, passing: Passing, *cuts: str, **values: Any) -> Trials:
    found = Trials({}, {False: {}, True: {}}, {})
    statement = EVENTS.format(cuts="UNION ALL".join(cuts))
    with connection.cursor() as cursor:
        cursor.execute(STRETCHES, {"project": project.pk, "size": STRETCH})
        for first, last in passing(cursor.fetchall()):
            cursor.execute(statement, {"project": project.pk, "first": first, "last": last, **values})
            for person, is_simulated, week, figure, *sums in cursor.fetchall():
                if person is not None:
                    of = found.people.setdefault(person, {})
                elif week is not None:
                    of = found.weeks.setdefault(week, {})
                else:
                    of = found.everybody[is_simulated]
                of[Figure(figure)] = of.get(Figure(figure), Sums()).plus(Sums(*sums))
    return found
