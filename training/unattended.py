"""Whole rounds without people: label, freeze, reward model, policy, fresh answers, questions; and again.

Simulated annotators judge by the stated rule of annotation/simulation.py with Bradley-Terry noise, so the rule can be
asked at the end what it thinks of each version: the gold score, which no reward model and no label has seen as a
number. Every step is the product's own verb, and all that is trained is marked as simulated. Nothing is promoted:
that is for people.
"""

from __future__ import annotations

import io
import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.management import call_command
from django.utils.translation import gettext as _

from annotation import simulation
from annotation.models import Judgment, Project
from training import actions, answers, snapshots
from training.diff_report import Z95
from training.models import Generation, ModelVersion, Round, Run, Snapshot
from training.reward_report import RewardReport, Share

CarryOut = Callable[[Run], None]
"""Takes a queued run to its end, as a worker does."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What each round does. judgments: at most, before each training; questions: asked about each new version."""

    annotators: int = 3
    judgments: int = 600
    questions: int = 200
    random_share: float = 0.5
    test_share: float = 0.2
    seed: int = 0
    reward: dict[str, Any]
    """Settings of the reward run, and of the policy run, that are not the model's own."""
    policy: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One round that went all the way: what came of it."""

    round: Round
    snapshot: Snapshot
    num_judged: int
    report: RewardReport | None
    before: Share
    """Gold score of the version that the round began with, and of the one that it made; by held-out prompts."""
    after: Share


def check(project: Project) -> None:
    """ValueError where the loop would mix programs' labels with people's."""
    if Judgment.objects.counted().in_project(project).filter(annotator__is_simulated=False).exists():
        raise ValueError(
            _("%(project)s has labels by people: load the data into a project of its own.") % {"project": project}
        )


def first_version(project: Project, name: str = "") -> ModelVersion:
    """The version to begin with: the named one, else that of the newest round, else the newest base model."""
    versions = project.model_versions.policies()
    if name:
        found = versions.filter(name=name).first()
    else:
        newest = project.rounds.select_related("version").first()
        found = newest.version if newest else versions.filter(kind=ModelVersion.Kind.BASE).last()
    if found is None:
        raise ValueError(_("There is no version to begin with: register a base model, or name one that is there."))
    return found


def turn(project: Project, version: ModelVersion, plan: Plan, *, carry_out: CarryOut) -> Turn:
    """Once round the loop from this version; ValueError with a run's own sentence when one fails."""
    num_judged = label(project, plan)
    snapshot = snapshots.freeze(project, by=None, test_share=plan.test_share, seed=plan.seed)
    inputs = {"snapshot": snapshot, "model": _base_of(version), "config": _config(version, "reward", plan)}
    scorer = _trained(project, Run.Kind.REWARD, carry_out, inputs)
    inputs = {"snapshot": snapshot, "model": version, "config": _config(version, "policy", plan)}
    tuned = _trained(project, Run.Kind.POLICY, carry_out, {**inputs, "reward_model": scorer})
    for run in answers.start_missing(version, tuned, by=None):
        _finish(run, carry_out)
    asked = actions.publish_round(
        tuned, opponent=version, num=plan.questions, random_share=plan.random_share, seed=plan.seed, by=None
    )
    golds = [gold(each, scorer, snapshot) for each in (version, tuned)]
    return Turn(asked, snapshot, num_judged, RewardReport.read(scorer.metrics), *golds)


def label(project: Project, plan: Plan) -> int:
    """Simulated annotators judge what is open; returns how many judgments that were."""
    judged = Judgment.objects.counted().in_project(project)
    before = judged.count()
    call_command(
        "simulate_annotators", project=project.slug, annotators=plan.annotators, judgments=plan.judgments,
        seed=plan.seed, stdout=io.StringIO(),
    )  # fmt: skip
    return judged.count() - before


def gold(version: ModelVersion, scorer: ModelVersion, snapshot: Snapshot) -> Share:
    """The rule's mean points for the version's answers to the snapshot's test prompts; 95 % interval over prompts."""
    shares = {name: snapshot.settings[name] for name in ("validation_share", "test_share", "seed")}
    splitter = snapshots.Splitter(**shares)
    rows = Generation.objects.filter(version=version, run__reward_model=scorer).values_list(
        *("response__prompt__content_hash", "response__prompt__messages", "response__text")
    )
    points: dict[str, list[float]] = defaultdict(list)
    for content_hash, messages, text in rows:
        if splitter.split_of(content_hash) == "test":
            points[content_hash].append(simulation.score(messages[-1]["content"], text))
    means = [statistics.fmean(of_prompt) for of_prompt in points.values()]
    if len(means) < 2:
        raise ValueError(_("Fewer than two prompts are held out: import more prompts, or raise the test share."))
    mean, half = statistics.fmean(means), Z95 * statistics.stdev(means) / math.sqrt(len(means))
    return Share(mean, mean - half, mean + half)


def _config(version: ModelVersion, kind: str, plan: Plan) -> dict[str, Any]:
    """The settings that suit the model, then the plan's."""
    own: dict[str, Any] = version.presets.get(kind, {})
    return {**own, **getattr(plan, kind), "seed": plan.seed}


def _base_of(version: ModelVersion) -> ModelVersion:
    """A reward model starts from the base: a tuned trunk has forgotten some of what it needs to tell answers apart."""
    return version if version.parent is None else _base_of(version.parent)


def _trained(project: Project, kind: Run.Kind, carry_out: CarryOut, inputs: dict[str, Any]) -> ModelVersion:
    run = actions.start_run(project, kind=kind, by=None, **inputs)
    _finish(run, carry_out)
    return ModelVersion.objects.select_related("parent", "run__reward_model", "project").get(run=run)


def _finish(run: Run, carry_out: CarryOut) -> None:
    carry_out(run)
    run.refresh_from_db()
    if run.status != Run.Status.SUCCEEDED:
        values = {"run": run.pk, "kind": run.get_kind_display(), "status": run.get_status_display(), "error": run.error}
        raise ValueError(_("Run %(run)d (%(kind)s) %(status)s: %(error)s") % values)
