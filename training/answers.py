"""The answers that a model diff still needs: which of two versions lacks them, and the runs that write them.

Both versions answer the same prompts with the same settings and are scored by the same reward model; otherwise the
difference between them would not be theirs.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.models import User
from training import actions
from training.models import Generation, ModelVersion, Run

MANY_PROMPTS = 2_000
"""A project with more prompts than this is answered on its test split only."""

TAKEN_OVER = ("max_prompt_tokens", "max_response_tokens", "temperature", "seed")
"""Settings of the policy's own run under which its answers are the ones that its reward curve spoke of."""


def scorer(a: ModelVersion, b: ModelVersion) -> ModelVersion | None:
    """The reward model that both are scored by: the one b (or a) was tuned against, else the project's newest."""
    for version in (b, a):
        if version.run and version.run.reward_model:
            return version.run.reward_model
    scorers = ModelVersion.objects.filter(project=b.project).reward_models()
    return scorers.exclude(stage=ModelVersion.Stage.ARCHIVED).order_by("-id").first()


def missing(a: ModelVersion, b: ModelVersion) -> list[ModelVersion]:
    """Those of the two that have no answers scored by scorer(a, b), and no run under way that writes them."""
    judge = scorer(a, b)
    written = Generation.objects.filter(version__in=[a, b], run__reward_model=judge)
    under_way = runs_under_way(a, b).filter(reward_model=judge)
    have = set(written.values_list("version", flat=True)) | set(under_way.values_list("model", flat=True))
    return [version for version in (a, b) if version.pk not in have]


def runs_under_way(a: ModelVersion, b: ModelVersion) -> Any:
    """Those that write answers of one of the two."""
    return Run.objects.unfinished().filter(kind=Run.Kind.GENERATE, model__in=[a, b]).select_related("model")


@transaction.atomic
def start_missing(a: ModelVersion, b: ModelVersion, *, by: User | None) -> list[Run]:
    """Queue a generate run for each of the two that lacks answers; ValueError with a sentence when none does."""
    lacking = missing(a, b)
    if not lacking:
        raise ValueError(_("Both versions have their answers, or a run is writing them: nothing was started."))
    return [
        actions.start_run(
            b.project, kind=Run.Kind.GENERATE, config=settings(a, b), by=by, model=version, reward_model=scorer(a, b)
        )
        for version in lacking
    ]


def settings(a: ModelVersion, b: ModelVersion) -> dict[str, Any]:
    """One config for both, taken from the run that tuned b (or a)."""
    tuned = next((version.run for version in (b, a) if version.run and version.run.kind == Run.Kind.POLICY), None)
    taken = {key: tuned.config[key] for key in TAKEN_OVER if key in tuned.config} if tuned else {}
    return {**taken, "split": "test" if b.project.prompts.count() > MANY_PROMPTS else "all"}
