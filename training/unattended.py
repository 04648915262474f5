"""Whole rounds without people: label, freeze, reward model, policy, fresh answers, questions; and again.

Simulated annotators judge by the stated rule of annotation/simulation.py with Bradley-Terry noise, so the rule can be
asked at the end what it thinks of each version: the gold score, which no reward model and no label has seen as a
number. Every step is the product's own verb, and all that is trained is marked as simulated. Nothing is promoted:
that is for people.

Each round has a seed of its own: with one for all, every round would ask about the same prompts and tune on answers to
the same ones. And each goes only a part of the way (`stride`): a policy that takes in one round all that a reward model
has to give leaves its labels behind, and the next reward model is trained on pairs that are no longer its own.
"""

from __future__ import annotations

import io
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
from training.rlhf.config import PolicyConfig

CarryOut = Callable[[Run], None]
"""Takes a queued run to its end, as a worker does."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What each round does. judgments: at most, before each training; questions: asked about each new version."""

    annotators: int = 3
    judgments: int = 700
    questions: int = 300
    random_share: float = 0.5
    test_share: float = 0.2
    stride: float = 0.3
    """Above 0, at most 1: the policy run's episodes and its learning rate, as a share of what suits the model when it
    is tuned in one go."""
    seed: int = 0
    reward: dict[str, Any]
    """Settings of the reward run, and of the policy run, that are not the model's own."""
    policy: dict[str, Any]

    def __post_init__(self) -> None:
        if not 0 < self.stride <= 1:
            raise ValueError(_("The stride must be above 0 and at most 1, got %(stride)s.") % {"stride": self.stride})

    def seed_of(self, number: int) -> int:
        """Of the round of that number in its project."""
        return 1000 * self.seed + number


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
    rise: Share
    """From the one to the other, prompt by prompt: its interval is free of the prompts' own spread."""


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
    seed = plan.seed_of(project.rounds.count() + 1)
    settings = {**version.presets.get("reward", {}), **plan.reward, "seed": seed}
    scorer = _trained(
        project, Run.Kind.REWARD, carry_out, {"snapshot": snapshot, "model": _base_of(version), "config": settings}
    )
    settings = {**small_steps(version.presets.get("policy", {}), plan.stride), **plan.policy, "seed": seed}
    inputs = {"snapshot": snapshot, "model": version, "reward_model": scorer, "config": settings}
    tuned = _trained(project, Run.Kind.POLICY, carry_out, inputs)
    for run in answers.start_missing(version, tuned, by=None):
        _finish(run, carry_out)
    asked = actions.publish_round(
        tuned, opponent=version, num=plan.questions, random_share=plan.random_share, seed=seed, by=None
    )
    before, after = (points(each, scorer, snapshot) for each in (version, tuned))
    rise = mean_of([after[prompt] - before[prompt] for prompt in after if prompt in before])
    golds = (mean_of(list(before.values())), mean_of(list(after.values())))
    return Turn(asked, snapshot, num_judged, RewardReport.read(scorer.metrics), *golds, rise)


def small_steps(own: Mapping[str, Any], stride: float) -> dict[str, Any]:
    """A policy run's settings for a part of the way: fewer episodes, at a lower learning rate."""
    batch = own.get("rollout_batch_size", PolicyConfig.rollout_batch_size)
    whole = (
        own["num_steps"] if own.get("num_steps") else own.get("total_episodes", PolicyConfig.total_episodes) // batch
    )
    rate = own.get("learning_rate", PolicyConfig.learning_rate)
    return {**own, "num_steps": max(1, round(stride * whole)), "learning_rate": stride * rate}


def label(project: Project, plan: Plan) -> int:
    """Simulated annotators judge what is open; returns how many judgments that were."""
    judged = Judgment.objects.counted().in_project(project)
    before = judged.count()
    call_command(
        "simulate_annotators", project=project.slug, annotators=plan.annotators, judgments=plan.judgments,
        seed=plan.seed, stdout=io.StringIO(),
    )  # fmt: skip
    return judged.count() - before


def points(version: ModelVersion, scorer: ModelVersion, snapshot: Snapshot) -> dict[str, float]:
    """What the rule says of the version's answers: mean points by the snapshot's test prompts (their content hash)."""
    shares = {name: snapshot.settings[name] for name in ("validation_share", "test_share", "seed")}
    splitter = snapshots.Splitter(**shares)
    rows = Generation.objects.filter(version=version, run__reward_model=scorer).values_list(
        *("response__prompt__content_hash", "response__prompt__messages", "response__text")
    )
    found: dict[str, list[float]] = defaultdict(list)
    for content_hash, messages, text in rows:
        if splitter.split_of(content_hash) == "test":
            found[content_hash].append(simulation.score(messages[-1]["content"], text))
    return {content_hash: statistics.fmean(of_prompt) for content_hash, of_prompt in found.items()}


def mean_of(values: Sequence[float]) -> Share:
    """Mean over prompts with its 95 % interval; ValueError with a sentence below two prompts."""
    if len(values) < 2:
        raise ValueError(_("Fewer than two prompts are held out: import more prompts, or raise the test share."))
    mean, half = statistics.fmean(values), Z95 * statistics.stdev(values) / math.sqrt(len(values))
    return Share(mean, mean - half, mean + half)


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
