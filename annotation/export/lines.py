"""What a line of an exported file says: records as plain objects, ready for JSON (docs/formats.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Literal, get_args

from annotation.consensus import Consensus
from annotation.export.aspects import ultrafeedback
from annotation.export.batches import batches
from annotation.export.layouts import Layout, laid_out, unpaired
from annotation.export.pairs import Preference
from annotation.export.preferences import preferences
from annotation.export.records import RawJudgment, corrections, judgments, ratings
from annotation.export.targets import Grading
from annotation.export.tools import argilla, battles, label_studio
from annotation.export.trees import open_assistant
from annotation.models import Judgment, Project, Response, Task

Line = dict[str, Any]
FileFormat = Literal[
    "preferences", "kto", "judgments", "ratings", "corrections", "demonstrations", "prompts",
    "arena", "label_studio", "argilla", "ultrafeedback", "open_assistant",
]  # fmt: skip
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
TREES = {"arena": battles, "label_studio": label_studio, "argilla": argilla}
"""Formats that are made of raw judgments, a task's together."""


def lines(
    project: Project,
    *,
    format: FileFormat,
    grading: Grading = "choice",
    kappa: float = 1.0,
    include_simulated: bool = True,
    consensus: Consensus = "votes",
    layout: Layout = "conversational",
    margin: bool = False,
) -> Iterator[Line]:
    """The project's data as lines of one format. layout, margin: how a pair is written (layouts.py).

    Raises ValueError for a format that does not exist, or when a weighted consensus cannot be told.
    """
    if format in ("preferences", "kto"):
        found = preferences(
            project, grading=grading, kappa=kappa, include_simulated=include_simulated, consensus=consensus
        )
        decided = (_preference(preference) for preference in found if preference.target != 0.5)
        if format == "kto":
            return unpaired(decided)
        return (laid_out(line, layout=layout, margin=margin) for line in decided)
    if format == "judgments":
        return (_judgment(judgment) for judgment in judgments(project, include_simulated=include_simulated))
    if format == "ratings":
        return (rating._asdict() for rating in ratings(project, include_simulated=include_simulated))
    if format == "corrections":
        found_corrections = corrections(project, include_simulated=include_simulated)
        return (correction._asdict() for correction in found_corrections)
    if format == "demonstrations":
        return (
            {"messages": [*correction.messages, _answer(correction.text)], "is_simulated": correction.is_simulated}
            for correction in corrections(project, include_simulated=include_simulated)
        )
    if format == "prompts":
        return _prompts(project)
    if format in TREES:
        return TREES[format](judgments(project, include_simulated=include_simulated, votes_by="task"))
    if format == "ultrafeedback":
        steps = dict(project.criteria.values_list("key", "scale_max"))
        # Asked for alone: among 100,000 comparisons a preview would look through all for the first rating.
        rated = judgments(project, include_simulated=include_simulated, votes_by="prompt", kind=Task.Kind.RATING)
        return ultrafeedback(rated, steps=steps)
    if format == "open_assistant":
        return open_assistant(project, include_simulated=include_simulated)
    raise ValueError(f"There is no format {format!r}: choose one of {', '.join(FORMATS)}.")


def num_lines(project: Project, format: FileFormat) -> int:
    """About how many lines that will be: at most so many of most formats, and counted without reading any."""
    if format in ("prompts", "open_assistant", "ultrafeedback"):
        return project.prompts.count()
    if format in ("preferences", "kto", "label_studio", "argilla"):
        return project.tasks.filter(num_judged__gt=0).count() * (2 if format == "kto" else 1)
    return Judgment.objects.counted().in_project(project).count()


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _preference(preference: Preference) -> Line:
    """A pair as TRL reads it (conversational, explicit prompt). Ties have no chosen answer: `judgments` keeps them."""
    a, b = (preference.text_a, preference.source_a), (preference.text_b, preference.source_b)
    a_is_chosen = preference.target > 0.5
    chosen, rejected = (a, b) if a_is_chosen else (b, a)
    strength = preference.strength if a_is_chosen else -preference.strength
    line = {
        "prompt_id": preference.prompt_id,
        "prompt": preference.messages,
        "chosen": [_answer(chosen[0])],
        "rejected": [_answer(rejected[0])],
        "chosen_source": chosen[1],
        "rejected_source": rejected[1],
        "target": preference.target if a_is_chosen else 1 - preference.target,
        "origin": preference.origin,
        "weight": preference.weight,
        "num_judgments": preference.num_judgments,
        "num_simulated": preference.num_simulated,
    }
    if preference.is_decided:
        line["is_decided"] = True
    # Many slight votes against few strong ones: the majority chose, but on the whole by no degree.
    return {**line, "strength": strength} if strength > 0 else line


def _judgment(judgment: RawJudgment) -> Line:
    line = {
        "id": judgment.id,
        "kind": judgment.kind,
        "prompt_id": judgment.prompt_external_id,
        "prompt": judgment.messages,
    }
    if judgment.ranked:
        line["responses"] = [{"text": ranked.text, "source": ranked.source} for ranked in judgment.ranked]
        line |= {"ranks": [ranked.rank for ranked in judgment.ranked], "shown": judgment.shown_order}
    else:
        line["response_a"] = {"text": judgment.text_a, "source": judgment.source_a}
    if judgment.text_b is not None:
        line["response_b"] = {"text": judgment.text_b, "source": judgment.source_b}
        line |= {"preferred": judgment.preferred, "strength": judgment.strength, "both_bad": judgment.both_bad}
        line["shown"] = judgment.shown
    elif not judgment.ranked:
        line["ratings"] = judgment.ratings
    if judgment.gold is not None:
        line["gold"] = judgment.gold
    return line | {
        "control": judgment.control,
        "annotator": judgment.annotator,
        "is_simulated": judgment.is_simulated,
        "flags": judgment.flags,
        "rationale": judgment.rationale,
        "reasons": judgment.reasons,
        "corrections": [{"of": side, "text": text} for side, text in judgment.corrections],
        "guidelines_version": judgment.guidelines_version,
        "active_seconds": judgment.active_seconds,
        "leased_at": judgment.leased_at.isoformat(),
        "judged_at": judgment.judged_at.isoformat(),
    }


def _prompts(project: Project) -> Iterator[Line]:
    """Every prompt with its responses; corrections are left to `judgments`, where they belong to somebody."""
    rows = project.prompts.order_by("pk").values_list("pk", "external_id", "messages", "metadata")
    for batch in batches(rows):
        answers = _answers_to([row[0] for row in batch])
        for pk, external_id, messages, metadata in batch:
            yield {
                "id": external_id,
                "messages": messages,
                "responses": answers.get(pk, []),
                "metadata": metadata,
            }


def _answers_to(prompt_ids: list[int]) -> dict[int, list[Line]]:
    """Prompt id to its responses, in the order of their ids."""
    found: dict[int, list[Line]] = defaultdict(list)
    rows = Response.objects.filter(prompt__among=prompt_ids, parent__isnull=True).order_by("pk")
    for prompt_id, text, source, metadata in rows.values_list("prompt_id", "text", "source", "metadata"):
        found[prompt_id].append({"text": text, "source": source, "metadata": metadata})
    return found
