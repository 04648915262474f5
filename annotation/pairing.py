"""Which answers of a project's prompts are asked about, when an admin makes tasks from what is there.

The database does it, thousands in a statement, so that a hundred thousand tasks take seconds; the preview counts the
same rows. Corrections are left out: they are kept as preferences over what they correct already.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from django.db import connection, models
from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.models import Project, Response
from annotation.progress import NOBODY, Telling

PART = 5000
"""Prompts whose tasks are made by one statement; in between the page hears how far it is."""
MAX_ID = 2**63 - 1


class Pairing(models.TextChoices):
    ALL = "all", gettext_lazy("every pair of a prompt's answers")
    TWO = "two", gettext_lazy("two sources against each other")
    BASELINE = "baseline", gettext_lazy("every other source against one")
    RANKINGS = "rankings", gettext_lazy("several answers at once, as a ranking")
    RATINGS = "ratings", gettext_lazy("each answer, as a rating")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What an admin asks for.

    among: the sources whose answers are asked about; none named: all. num_ranked: how many answers stand in a ranking,
    3 to 6.
    """

    pairing: Pairing
    source: str = ""
    against: str = ""
    among: tuple[str, ...] = ()
    num_ranked: int = 4


class Counts(NamedTuple):
    num: int
    """Tasks that this asks for, those that exist already included."""
    num_prompts: int
    num_known: int

    @property
    def num_new(self) -> int:
        return self.num - self.num_known


PAIRS = """
SELECT 'comparison' AS kind, a.prompt_id, a.id AS response_a_id, b.id AS response_b_id,
    '{{}}'::bigint[] AS candidate_ids
FROM answer a JOIN answer b ON a.prompt_id = b.prompt_id AND a.id < b.id AND a.content_hash <> b.content_hash
WHERE {which}
"""
WANTED = {
    Pairing.ALL: PAIRS.format(which="TRUE"),
    Pairing.TWO: PAIRS.format(
        which="(a.source = %(source)s AND b.source = %(against)s) OR (a.source = %(against)s AND b.source = %(source)s)"
    ),
    Pairing.BASELINE: PAIRS.format(which="(a.source = %(source)s) <> (b.source = %(source)s)"),
    Pairing.RATINGS: """
        SELECT 'rating' AS kind, prompt_id, id AS response_a_id, NULL::bigint AS response_b_id,
            '{}'::bigint[] AS candidate_ids
        FROM answer WHERE %(source)s IN ('', source)
    """,
    # A prompt's answers in groups of so many; what is left over is ranked too when it is three or more.
    Pairing.RANKINGS: """
        SELECT 'ranking' AS kind, prompt_id, min(id) AS response_a_id, NULL::bigint AS response_b_id,
            array_agg(id ORDER BY id) AS candidate_ids
        FROM (
            SELECT id, prompt_id, (row_number() OVER (PARTITION BY prompt_id ORDER BY id) - 1) / %(num_ranked)s AS part
            FROM (
                SELECT DISTINCT ON (prompt_id, content_hash) id, prompt_id
                FROM answer ORDER BY prompt_id, content_hash, id
            ) one_of_each_text
        ) parts
        GROUP BY prompt_id, part HAVING count(*) >= 3
    """,
}
WITH = """
WITH answer AS (
    SELECT response.id, response.prompt_id, response.source, response.content_hash
    FROM annotation_response response JOIN annotation_prompt prompt ON prompt.id = response.prompt_id
    WHERE prompt.project_id = %(project)s AND response.parent_id IS NULL
      AND prompt.id BETWEEN %(first)s AND %(last)s
      AND (%(among)s::text[] = '{{}}' OR response.source = ANY(%(among)s::text[]))
), wanted AS ({wanted})
"""
COUNT = """
SELECT count(*), count(DISTINCT prompt_id), count(*) FILTER (WHERE EXISTS (
    SELECT FROM annotation_task known
    WHERE known.response_a_id = wanted.response_a_id AND known.kind = wanted.kind AND known.repeat_of_id IS NULL
      AND known.response_b_id IS NOT DISTINCT FROM wanted.response_b_id AND known.candidate_ids = wanted.candidate_ids
))
FROM wanted
"""
MAKE = """
, made AS (
    INSERT INTO annotation_task (
        project_id, kind, prompt_id, response_a_id, response_b_id, candidate_ids, overlap, priority, making_id,
        num_judged, num_leased, is_withdrawn, control, created_at
    )
    SELECT %(project)s, kind, prompt_id, response_a_id, response_b_id, candidate_ids, %(overlap)s, %(priority)s,
        %(making)s, 0, 0, FALSE, '', now()
    FROM wanted ORDER BY prompt_id, response_a_id, response_b_id
    ON CONFLICT DO NOTHING
    RETURNING id, candidate_ids
), candidates AS (
    INSERT INTO annotation_candidate (task_id, response_id) SELECT id, unnest(candidate_ids) FROM made
)
SELECT count(*) FROM made
"""


def sources(project: Project) -> list[tuple[str, int]]:
    """(source, its number of answers), most answers first."""
    found = answers(project).order_by().values_list("source").annotate(num=Count("pk")).order_by("-num", "source")
    return [(source, num) for source, num in found]


def answers(project: Project) -> models.QuerySet[Response]:
    return Response.objects.filter(prompt__project=project, parent__isnull=True)


def check(project: Project, asked: Asked) -> None:
    """Raise ValueError with a sentence when the sources, or the criteria, that the pairing needs are not there."""
    if asked.pairing == Pairing.RATINGS and not project.criteria.exists():
        raise ValueError(_("This project has no criteria to rate by: add one first."))
    if asked.pairing in (Pairing.TWO, Pairing.BASELINE) and not asked.source:
        raise ValueError(_("Choose the source whose answers are compared."))
    if asked.among and {asked.source, asked.against} - {"", *asked.among}:
        raise ValueError(_("Tick the sources that are compared, too, or none at all."))
    if asked.pairing == Pairing.TWO and asked.against in ("", asked.source):
        raise ValueError(_("Choose two different sources."))
    if asked.pairing == Pairing.RANKINGS and not 3 <= asked.num_ranked <= 6:
        raise ValueError(_("A ranking has 3 to 6 answers."))


def count(project: Project, asked: Asked) -> Counts:
    check(project, asked)
    return Counts(*_row(COUNT, project, asked))


def make(project: Project, asked: Asked, *, overlap: int, priority: int, making: int, telling: Telling = NOBODY) -> int:
    """Make the tasks that are not there yet; returns how many. The caller holds the project's lock."""
    check(project, asked)
    values, num = {"overlap": overlap, "priority": priority, "making": making}, 0
    prompts = list(project.prompts.order_by("pk").values_list("pk", flat=True))
    for part in telling.parts(prompts, PART):
        num += _row(MAKE, project, asked, **values, first=part[0], last=part[-1])[0]
    return num


def _row(statement: str, project: Project, asked: Asked, **values: int) -> tuple[int, ...]:
    named: dict[str, Any] = {
        "project": project.pk,
        "source": asked.source,
        "against": asked.against,
        "among": list(asked.among),
        "num_ranked": asked.num_ranked,
        "first": 0,
        "last": MAX_ID,
    }
    with connection.cursor() as cursor:
        cursor.execute(WITH.format(wanted=WANTED[asked.pairing]) + statement, named | values)
        row: tuple[int, ...] = cursor.fetchone()
    return row
