"""Projects of any size, quickly: the rows are made inside the database. And people to label them."""

from __future__ import annotations

import random

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from annotation import actions
from annotation.models import Project, Task, User

PASSWORD = "a-password-of-the-benchmark"
WORDS = """
order parcel lamp refund courier address label thursday replacement invoice colour size return shop customer
delivery broken missing late early message account payment card voucher discount gift wrapping stock supplier
warranty repair manual battery cable charger screen button handle wheel pocket sleeve zip shoe jacket chair
table shelf mirror vase kettle toaster mixer the a your our this that we you it is was will can may should
and or but because when while before after with without from into over under about again still already
""".split()  # noqa: SIM905 - as a list it would be ninety lines
NUM_TEXTS = 500

FILL = """
WITH prompt AS (
    INSERT INTO annotation_prompt (project_id, messages, content_hash, external_id, metadata, created_at)
    SELECT %(project)s, jsonb_build_array(jsonb_build_object('role', 'user', 'content', question)),
           encode(sha256(question::bytea), 'hex'), number::text, '{}', now()
    FROM (SELECT number, 'Order ' || number || ': ' || (%(questions)s::text[])[1 + number %% %(num_texts)s] AS question
          FROM generate_series(%(first)s, %(last)s) number) asked
    RETURNING id, external_id::bigint AS number
), response AS (
    INSERT INTO annotation_response (prompt_id, text, source, content_hash, metadata, created_at)
    SELECT id, answer, source, encode(sha256(answer::bytea), 'hex'), '{}', now()
    FROM prompt, LATERAL (VALUES
        ('model-1', (%(answers)s::text[])[1 + number %% %(num_texts)s] || number),
        ('model-2', (%(answers)s::text[])[1 + (7 * number + 3) %% %(num_texts)s] || number)
    ) said (source, answer)
    RETURNING id, prompt_id
)
INSERT INTO annotation_task (project_id, prompt_id, kind, response_a_id, response_b_id, overlap, priority,
                             num_judged, num_leased, is_withdrawn, control, candidate_ids, created_at)
SELECT %(project)s, prompt_id, 'comparison', min(id), max(id), %(overlap)s, 0, 0, 0, false, '', '{}', now()
FROM response GROUP BY prompt_id ORDER BY prompt_id
"""


def _sentences(rng: random.Random, num_words: int) -> str:
    said, words = [], 0
    while words < num_words:
        length = rng.randint(6, 16)
        said.append(" ".join(rng.choices(WORDS, k=length)).capitalize() + ".")
        words += length
    return " ".join(said)


def questions() -> list[str]:
    """About 60 tokens each."""
    rng = random.Random(1)
    return [_sentences(rng, 42) for _ in range(NUM_TEXTS)]


def answers() -> list[str]:
    """About 150 tokens each, a third of them with a list and bold words, as models write."""
    rng = random.Random(2)
    texts = []
    for number in range(NUM_TEXTS):
        if number % 3:
            text = f"{_sentences(rng, 50)}\n\n{_sentences(rng, 55)}"
        else:
            steps = "\n".join(f"{step}. **{rng.choice(WORDS)}**: {_sentences(rng, 12)}" for step in (1, 2, 3, 4))
            text = f"{_sentences(rng, 30)}\n\n{steps}\n\n{_sentences(rng, 12)}"
        texts.append(text + " Reference ")
    return texts


def make_people(num: int) -> list[User]:
    """annotator-0 … with one password; hashed once, because hashing is slow on purpose."""
    hashed = make_password(PASSWORD)
    return User.objects.bulk_create(User(username=f"annotator-{number}", password=hashed) for number in range(num))


def make_project(name: str, *, people: list[User], overlap: int) -> Project:
    project = actions.create_project(name, by=None, overlap=overlap, guidelines="Choose the answer that helps more.")
    for person in people:
        actions.add_member(project, user=person)
    return project


def make_tasks(project: Project, num: int, *, overlap: int, batch: int = 100_000) -> None:
    """Comparisons of two answers each. The rows refer to each other by construction, so references are not checked."""
    start = Task.objects.filter(project=project).count()
    values = {"project": project.pk, "overlap": overlap, "num_texts": NUM_TEXTS}
    values |= {"questions": questions(), "answers": answers()}
    for first in range(start + 1, start + num + 1, batch):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(FILL, {**values, "first": first, "last": min(first + batch - 1, start + num)})
    if num >= 10_000:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) annotation_prompt, annotation_response, annotation_task")
