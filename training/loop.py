"""A project's loop at a glance: labels → snapshot → reward model → policy → fresh answers, and what to do next."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from django.db.models import Avg, Count, Q
from django.db.models.fields.json import KT
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotation.models import Judgment, Project, Task
from annotation.models.work import JudgmentQuerySet
from training.diff_report import histogram
from training.models import Generation, Metric, ModelVersion, Round, Run, Snapshot
from training.points import Point, thin
from training.reward_report import RewardReport
from training.win_rates import WinRate, win_rates

Step = Literal["label", "freeze", "reward", "policy", "generate", "compare", "ask", "wait"]

NUM_DAYS = 14
MIN_FIRST_LABELS = 50
"""Below this the held-out split has too few pairs to say whether a reward model learned anything."""
MIN_NEW_LABELS = 20
MIN_NEW_SHARE = 0.1
"""New labels that make another snapshot worth its while: this many, and this share of the frozen ones."""

NUM_ROUNDS = 20
CURVE_POINTS = 120
MAX_REWARDS = 2_000


@dataclass(frozen=True)
class Trained:
    """One of the steps that are runs: its newest run, and what the newest successful one left."""

    run: Run | None
    version: ModelVersion | None

    @property
    def is_moving(self) -> bool:
        return self.run is not None and not self.run.is_finished

    @functools.cached_property
    def _drawn(self) -> tuple[str, list[tuple[float, float]]]:
        if self.run is not None:
            for metric in CURVE_OF.get(self.run.kind, ()):
                if found := curve(self.run, metric):
                    return metric, found
        return "", []

    @property
    def curve(self) -> list[tuple[float, float]]:
        """The one curve that says how it goes, of the newest run."""
        return self._drawn[1]

    @property
    def metric(self) -> str:
        """What that curve shows; empty where there is none yet."""
        return self._drawn[0]

    @property
    def learns_from_pairs(self) -> bool:
        """The newest run takes pairs as they are, without a reward model."""
        return self.run is not None and self.run.kind in FROM_PAIRS

    @property
    def newest(self) -> float | None:
        return self.curve[-1][1] if self.curve else None

    @property
    def report(self) -> RewardReport | None:
        return RewardReport.read(self.version.metrics) if self.version else None


CURVE_OF: dict[str, tuple[str, ...]] = {
    Run.Kind.REWARD: ("validation/accuracy", "train/accuracy", "loss/train"),
    Run.Kind.POLICY: ("reward/mean",),
    Run.Kind.DPO: ("validation/accuracy", "train/accuracy", "loss/train"),
    Run.Kind.ILQL: ("validation/loss", "loss/train"),
}
FROM_PAIRS = (Run.Kind.DPO, Run.Kind.ILQL)
"""Ways to a policy that need no reward model."""


@dataclass(frozen=True)
class Loop:
    """Everything the dashboard shows of one project."""

    project: Project

    @functools.cached_property
    def labels(self) -> dict[str, int]:
        """Judgments that count: all, simulated ones, those since the newest snapshot."""
        since = self.snapshot.created_at if self.snapshot else datetime.datetime.min.replace(tzinfo=datetime.UTC)
        return self._judgments.aggregate(
            num=Count("pk"),
            num_simulated=Count("pk", filter=Q(annotator__is_simulated=True)),
            num_new=Count("pk", filter=Q(created_at__gt=since)),
        )

    @functools.cached_property
    def days(self) -> list[tuple[datetime.date, int]]:
        """Labels of each of the last days, today last."""
        today = timezone.localdate()
        first = today - datetime.timedelta(days=NUM_DAYS - 1)
        found = dict(
            self._judgments.filter(created_at__date__gte=first)
            .values_list(TruncDate("created_at"))
            .annotate(num=Count("pk"))
        )
        days = [first + datetime.timedelta(days=offset) for offset in range(NUM_DAYS)]
        return [(day, found.get(day, 0)) for day in days]

    @functools.cached_property
    def num_open_tasks(self) -> int:
        return Task.objects.filter(project=self.project).open().count()

    @functools.cached_property
    def snapshot(self) -> Snapshot | None:
        return Snapshot.objects.filter(project=self.project).first()

    @functools.cached_property
    def snapshot_sizes(self) -> list[tuple[str, int]]:
        """(name, pairs) of the newest snapshots, oldest first."""
        newest = Snapshot.objects.filter(project=self.project)[:NUM_DAYS]
        return [(str(each), each.counts.get("pairs", 0)) for each in reversed(newest)]

    @functools.cached_property
    def reward(self) -> Trained:
        return self._trained([Run.Kind.REWARD])

    @functools.cached_property
    def policy(self) -> Trained:
        """Tuned against a reward model, or on pairs directly."""
        return self._trained([Run.Kind.POLICY, *FROM_PAIRS])

    @functools.cached_property
    def answers(self) -> Trained:
        return Trained(self._newest_run([Run.Kind.GENERATE]), self.policy.version)

    @functools.cached_property
    def num_answers(self) -> int:
        """Fresh answers of the newest policy."""
        version = self.policy.version
        return Generation.objects.filter(version=version).count() if version else 0

    @functools.cached_property
    def mean_rewards(self) -> dict[int, float]:
        """Mean reward of the answers, by version: of the newest policy and of the one it came from."""
        version = self.policy.version
        pair = [version.pk, version.parent_id] if version else []
        rows = Generation.objects.filter(version__in=[pk for pk in pair if pk], reward__isnull=False)
        return dict(rows.values_list("version").annotate(mean=Avg("reward")))

    @functools.cached_property
    def rewards(self) -> list[tuple[str, int]]:
        """How the rewards of the newest policy's answers are spread: (reward, answers)."""
        scored = Generation.objects.filter(version=self.policy.version, reward__isnull=False)
        newest = scored.order_by("-id").values_list("reward", flat=True)[:MAX_REWARDS]
        values = [reward for reward in newest if reward is not None]
        return histogram(values, low=min(values), high=max(values)) if values else []

    @functools.cached_property
    def rounds(self) -> list[tuple[Round, WinRate]]:
        """The newest rounds, newest first, each with what people say."""
        newest = list(Round.objects.filter(project=self.project).with_versions()[:NUM_ROUNDS])
        rates = win_rates(newest)
        return [(each, rates[each.pk]) for each in newest]

    @property
    def is_asked(self) -> bool:
        """Whether the answers of the newest policy have gone back to people."""
        return any(each.version_id == _pk(self.policy.version) for each, _rate in self.rounds)

    @property
    def win_curve(self) -> list[tuple[float, float]]:
        """(round, win rate), oldest first: of the rounds that were judged, against another version."""
        judged = [(each.number, rate.share.value) for each, rate in self.rounds if rate.share]
        return [(float(number), value) for number, value in reversed(judged)]

    @property
    def newest_rate(self) -> tuple[Round, WinRate] | None:
        return next(((each, rate) for each, rate in self.rounds if rate.share), None)

    @property
    def reward_of_policy(self) -> float | None:
        return self.mean_rewards.get(self.policy.version.pk) if self.policy.version else None

    @property
    def reward_of_parent(self) -> float | None:
        return self.mean_rewards.get(self.policy.version.parent_id or 0) if self.policy.version else None

    @property
    def moving_run(self) -> Run | None:
        return next((step.run for step in (self.answers, self.policy, self.reward) if step.is_moving), None)

    @property
    def is_moving(self) -> bool:
        return self.moving_run is not None

    @property
    def next_step(self) -> Step:
        """The one thing to do now. A step whose run is under way is waited for."""
        if not self.labels["num"]:
            return "label"
        if self.is_moving:
            return "wait"
        if self.snapshot is None:
            return "label" if self.wants_more_labels else "freeze"
        if way := self._way_to_a_policy(self.snapshot):
            return way
        if not self.num_answers:
            return "generate"
        if self.has_many_new_labels:
            return "freeze"
        stage = self.policy.version.stage if self.policy.version else ""
        if stage == ModelVersion.Stage.CANDIDATE:
            return "compare"
        if self.is_asked or stage == ModelVersion.Stage.ARCHIVED:
            return "label" if self.num_open_tasks else "compare"
        return "ask"

    def _way_to_a_policy(self, snapshot: Snapshot) -> Step | None:
        """What is still to be done before there is a policy of the newest labels; None where there is one."""
        tuned = self.policy.version and self.policy.version.run
        if tuned and tuned.kind in FROM_PAIRS and tuned.snapshot_id == snapshot.pk:
            return None
        if not self._is_used(self.reward, snapshot=snapshot):
            return "reward"
        if tuned and tuned.reward_model_id == _pk(self.reward.version):
            return None
        if self.has_many_new_labels:
            return "freeze"
        if self.reward.report:
            return "policy"
        # PPO against a reward model that nothing is known of may drive the policy anywhere: measure it first.
        return "freeze" if self.labels["num_new"] or not self.num_open_tasks else "label"

    @property
    def wants_more_labels(self) -> bool:
        """There are too few for a first reward model, and people can still give more."""
        return self.labels["num"] < MIN_FIRST_LABELS and self.num_open_tasks > 0

    @property
    def has_many_new_labels(self) -> bool:
        num_frozen = self.labels["num"] - self.labels["num_new"]
        return self.labels["num_new"] >= max(MIN_NEW_LABELS, MIN_NEW_SHARE * num_frozen)

    @property
    def state(self) -> str:
        """Changes whenever the page would look different."""
        runs = [step.run for step in (self.reward, self.policy, self.answers) if step.run]
        moving = [f"{run.pk}.{run.status}.{run.step}" for run in runs]
        return "-".join([str(self.labels["num"]), str(_pk(self.snapshot)), *moving])

    @property
    def _judgments(self) -> JudgmentQuerySet:
        return Judgment.objects.counted().filter(task__project=self.project)

    def _newest_run(self, kinds: Collection[str]) -> Run | None:
        return Run.objects.filter(project=self.project, kind__in=kinds).with_origins().first()

    def _trained(self, kinds: Collection[str]) -> Trained:
        versions = ModelVersion.objects.filter(project=self.project, run__kind__in=kinds)
        return Trained(
            self._newest_run(kinds), versions.with_origins().select_related("parent").order_by("-id").first()
        )

    @staticmethod
    def _is_used(step: Trained, *, snapshot: Snapshot) -> bool:
        return bool(step.version and step.version.run and step.version.run.snapshot_id == snapshot.pk)


def curve(run: Run, metric: str) -> list[tuple[float, float]]:
    """(step, value) of one metric, thinned; the database hands out that one value a row and not all of them."""
    rows = Metric.objects.filter(run=run, values__has_key=metric).order_by("step")
    values = rows.annotate(value=KT(f"values__{metric}")).values_list("step", "value")
    thinned = thin([Point(step, 0.0, float(value)) for step, value in values], CURVE_POINTS)
    return [(point.step, point.value) for point in thinned]


def _pk(row: Snapshot | ModelVersion | None) -> int | None:
    return row.pk if row else None
