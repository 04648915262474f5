"""Verbs of a version's answers: publish what a run wrote, send pairs of answers to people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.intake import content
from annotation.models import Project, Prompt, Response
from annotation.progress import NOBODY, Telling
from training.models import Generation, ModelVersion, Run
from training.rlhf.rundir import RunDir

PUBLISHED_AT_ONCE = 1000
SENT_AT_ONCE = 500
"""In between the page hears how far it is."""


def publish_responses(run: Run) -> list[Response]:
    """A generate run's answers become responses whose source is the version's name; a second call adds nothing.

    Answers to prompts that are gone by now are left out. An empty answer stays: a version that falls silent must show.
    """
    assert run.model, "a generate run has a model"
    with RunDir(run.folder).responses.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    prompts = Prompt.objects.filter(project=run.project).in_bulk({int(line["prompt_id"]) for line in lines})
    written = [(prompts[pk], line) for line in lines if (pk := int(line["prompt_id"])) in prompts]
    responses: list[Response] = []
    for start in range(0, len(written), PUBLISHED_AT_ONCE):
        responses += _publish(run, run.model, written[start : start + PUBLISHED_AT_ONCE])
    return responses


@transaction.atomic
def _publish(run: Run, version: ModelVersion, written: list[tuple[Prompt, dict[str, Any]]]) -> list[Response]:
    content.lock(run.project)
    new = [(prompt.pk, content.NewResponse(storable(line["text"]), source=version.name)) for prompt, line in written]
    answers, _created = content.add_answers(new)
    found = Response.objects.select_related("prompt").in_bulk([answer.id for answer in answers])
    rows = [found[answer.id] for answer in answers]
    by_response = {row.pk: _generation(run, version, row, line) for row, (_, line) in zip(rows, written, strict=True)}
    # The same words from an earlier run: the newest run, with its reward model's score, is the one that counts.
    Generation.objects.bulk_create(
        by_response.values(),
        update_conflicts=True,
        unique_fields=["response"],
        update_fields=["run", "settings", "reward", "reward_std", "logprob", "num_tokens", "has_ended"],
    )
    return rows


def storable(text: str) -> str:
    """A model may write any byte, and PostgreSQL keeps all but one: NUL becomes the replacement character."""
    return text.replace("\0", "\ufffd")


def _generation(run: Run, version: ModelVersion, response: Response, line: Mapping[str, Any]) -> Generation:
    return Generation(
        response=response,
        version=version,
        run=run,
        settings={key: run.config[key] for key in ("temperature", "max_response_tokens", "seed")},
        reward=line.get("reward"),
        reward_std=line.get("reward_std"),
        logprob=line["logprob"],
        num_tokens=line["num_tokens"],
        has_ended=line["ended"],
    )


@transaction.atomic
def send_to_annotators(
    project: Project,
    *,
    pairs: Sequence[tuple[int, int]],
    overlap: int | None = None,
    priority: int = 0,
    telling: Telling = NOBODY,
) -> int:
    """Ask people which of two answers is better, for pairs of response ids; returns how many questions are new. Each
    pair is a step.
    """
    return sum(_send(project, part, overlap=overlap, priority=priority) for part in telling.parts(pairs, SENT_AT_ONCE))


def _send(project: Project, pairs: Sequence[tuple[int, int]], *, overlap: int | None, priority: int) -> int:
    ids = {pk for pair in pairs for pk in pair}
    rows = Response.objects.select_related("prompt").filter(prompt__project=project).in_bulk(ids)
    if missing := ids - set(rows):
        raise ValueError(
            _("%(project)s has no response %(response)d: reload the page and choose again.")
            % {"project": project, "response": min(missing)}
        )
    chosen = [(rows[a], rows[b]) for a, b in pairs]
    return len(content.add_comparisons(project, chosen, overlap=overlap, priority=priority))
