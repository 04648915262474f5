"""What of a run is drawn: which charts a kind of run has, and the points of their lines, thinned for the screen.

The page draws empty charts (training/charts.py) and asks for points: all of them once, then only those after the last
step it has. A line of more than MAX_POINTS keeps the lowest and the highest point of each stretch, so that no spike
disappears.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.models import Metric, Run

MAX_POINTS = 2_000
"""Points a line at most, whatever the run's length."""

Text = str | Promise
Values = dict[str, float]
STEP = _("step")


def _step(step: int, values: Values) -> float | None:
    return step


def _root_kl(step: int, values: Values) -> float | None:
    """√KL, the distance in which over-optimisation is measured (Gao et al. 2022). The estimate may fall below 0."""
    return math.sqrt(max(values["kl/sequence"], 0.0)) if "kl/sequence" in values else None


@dataclass(frozen=True)
class Line:
    metric: str
    label: Text


def _always(_settings: Values) -> bool:
    return True


def _pays_for_more(settings: Values) -> bool:
    """Than the reward model: see training/rlhf/rewards.py."""
    parts = ("length_penalty", "repetition_penalty", "forbidden_pattern", "own_reward")
    return any(settings.get(part) for part in parts)


def _is_watched(settings: Values) -> bool:
    return bool(settings.get("watcher"))


def _minds_its_heads(settings: Values) -> bool:
    return settings.get("score_of_heads", "mean") != "mean"


def _has_value_model(settings: Values) -> bool:
    algorithm = settings.get("algorithm", "ppo")
    return algorithm in ("ppo", "a2c") or (algorithm == "reinforce" and settings.get("baseline") == "value")


@dataclass(frozen=True)
class Chart:
    key: str
    title: Text
    lines: tuple[Line, ...]
    note: Text = ""
    x_label: Text = STEP
    x: Callable[[int, Values], float | None] = _step
    is_path: bool = False
    """A walk through the plane, drawn with its points, and not a curve over the steps."""
    is_share: bool = False
    """Drawn on the whole scale from 0 to 1: a share that stays at 1 is not to look like an event."""

    is_for: Callable[[Values], bool] = _always
    """Whether a run of these settings can have it; an empty chart would promise what never comes."""

    def source(self, line: Line) -> str:
        """The name under which the page finds the line's points."""
        return f"{self.key}:{line.metric}"


POLICY = (
    Chart(
        "reward",
        _("Reward"),
        (Line("reward/mean", _("reward")), Line("reward/with_kl", _("reward minus KL penalty"))),
        note=_("0 is as good as the answers that the reward model was normalised on."),
    ),
    Chart(
        "watched",
        _("Reward by the model that watches"),
        (Line("reward/watched", _("score")),),
        note=_("It pays nothing. Where it falls while the reward rises, the policy exploits the reward model."),
        is_for=_is_watched,
    ),
    Chart(
        "heads",
        _("Disagreement of the reward model's heads"),
        (Line("reward/head_std", _("standard deviation between heads")),),
        note=_("Where it grows, the policy goes where the reward model has seen little."),
        is_for=_minds_its_heads,
    ),
    Chart(
        "kl",
        _("KL from the reference"),
        (Line("kl/sequence", _("KL")), Line("kl/k3", _("KL, k3 estimate"))),
        note=_("Nats a response, summed over its tokens."),
    ),
    Chart(
        "reward_by_kl",
        _("Reward against √KL"),
        (Line("reward/mean", _("reward")),),
        note=_("Reward bought with distance. Where it bends down, the policy exploits the reward model."),
        x_label=_("√KL"),
        x=_root_kl,
        is_path=True,
    ),
    Chart(
        "reward_parts",
        _("Parts of the reward"),
        (
            Line("reward_part/model", _("reward model")),
            Line("reward_part/length", _("length")),
            Line("reward_part/repetition", _("repetition")),
            Line("reward_part/forbidden", _("forbidden pattern")),
            Line("reward_part/own", _("function of one's own")),
        ),
        note=_("Means over the answers of a step, with their weights; where a run pays for more than one."),
        is_for=_pays_for_more,
    ),
    Chart("length", _("Length"), (Line("response/length", _("tokens a response")),)),
    Chart(
        "ended",
        _("Ended by itself"),
        (Line("response/ended", _("share of responses")),),
        note=_("The others were cut off at the longest length allowed."),
        is_share=True,
    ),
    Chart("policy_loss", _("Policy loss"), (Line("loss/policy", _("policy loss")),)),
    Chart("value_loss", _("Value loss"), (Line("loss/value", _("value loss")),), is_for=_has_value_model),
    Chart(
        "explained",
        _("Value model: explained variance"),
        (Line("value/explained_variance", _("explained variance")),),
        note=_("1 foresees every return, 0 is no better than their mean."),
        is_for=_has_value_model,
    ),
    Chart("entropy", _("Entropy"), (Line("policy/entropy", _("nats a token")),)),
    Chart(
        "clipping",
        _("Clipping"),
        (Line("policy/clip_fraction", _("share clipped")), Line("policy/approx_kl", _("KL from the sampling policy"))),
    ),
    Chart("kl_coef", _("KL coefficient β"), (Line("kl/coef", _("β")),)),
    Chart("gradient", _("Gradient norm"), (Line("optim/grad_norm", _("gradient norm")),)),
)
REWARD = (
    Chart("loss", _("Loss"), (Line("loss/train", _("train")), Line("validation/loss", _("validation")))),
    Chart(
        "accuracy",
        _("Accuracy"),
        (Line("train/accuracy", _("train")), Line("validation/accuracy", _("validation"))),
        note=_("Share of pairs in which the preferred answer scores higher; ties are left out."),
        is_share=True,
    ),
    Chart(
        "calibration_error",
        _("Calibration error"),
        (Line("validation/ece", _("validation")),),
        note=_("Mean distance between the predicted and the observed share, in ten bins."),
    ),
    Chart("gradient", _("Gradient norm"), (Line("optim/grad_norm", _("gradient norm")),)),
)
DPO = (
    Chart("loss", _("Loss"), (Line("loss/train", _("train")), Line("validation/loss", _("validation")))),
    Chart(
        "accuracy",
        _("Accuracy"),
        (Line("train/accuracy", _("train")), Line("validation/accuracy", _("validation"))),
        note=_("Share of pairs in which the preferred answer has gained more probability; ties are left out."),
        is_share=True,
    ),
    Chart(
        "margin",
        _("Margin"),
        (Line("dpo/margin", _("train")),),
        note=_("Mean distance between the implicit rewards of a pair, β·log(π/π_ref)."),
    ),
    Chart("gradient", _("Gradient norm"), (Line("optim/grad_norm", _("gradient norm")),)),
)
ILQL = (
    Chart("loss", _("Loss"), (Line("loss/train", _("train")), Line("validation/loss", _("validation")))),
    Chart(
        "parts",
        _("Parts of the loss"),
        (
            Line("ilql/td", _("temporal difference")),
            Line("ilql/expectile", _("expectile")),
            Line("ilql/conservative", _("conservative")),
        ),
        note=_("A token, before their weights. The first two rise while the values learn that tokens differ."),
    ),
    Chart(
        "values",
        _("Values"),
        (Line("ilql/q", _("Q of the written token")), Line("ilql/v", _("V of the state"))),
        note=_("In units of the net vote: 1 is an answer that everybody preferred, −1 one that nobody did."),
    ),
    Chart("gradient", _("Gradient norm"), (Line("optim/grad_norm", _("gradient norm")),)),
)
SFT = (
    Chart("loss", _("Loss"), (Line("loss/train", _("train")), Line("validation/loss", _("validation")))),
    Chart("perplexity", _("Perplexity"), (Line("validation/perplexity", _("validation")),)),
    Chart("gradient", _("Gradient norm"), (Line("optim/grad_norm", _("gradient norm")),)),
)
CHARTS: dict[str, tuple[Chart, ...]] = {
    Run.Kind.POLICY: POLICY,
    Run.Kind.REWARD: REWARD,
    Run.Kind.SFT: SFT,
    Run.Kind.DPO: DPO,
    Run.Kind.ILQL: ILQL,
    Run.Kind.GENERATE: (),
    Run.Kind.EVALUATE: (),
    Run.Kind.COMPARE: (),
}


@dataclass(frozen=True)
class Points:
    """One line: its x and its y, of the same length."""

    x: list[float] = dataclasses.field(default_factory=list)
    y: list[float] = dataclasses.field(default_factory=list)


def rows(run: Run, *, after: int = -1) -> list[tuple[int, Values]]:
    """(step, values) of every step after `after`, in order."""
    found = Metric.objects.filter(run=run, step__gt=after).order_by("step")
    return list(found.values_list("step", "values"))


def points(rows: Iterable[tuple[int, Values]], chart: Chart, line: Line, *, limit: int = MAX_POINTS) -> Points:
    """The line's points, thinned to at most `limit`; steps that did not measure the metric have none."""
    pairs = []
    for step, values in rows:
        x = chart.x(step, values)
        if x is not None and line.metric in values:
            pairs.append((x, values[line.metric]))
    kept = thin(pairs, limit)
    return Points([_short(x) for x, _y in kept], [_short(y) for _x, y in kept])


def thin(pairs: Sequence[tuple[float, float]], limit: int) -> list[tuple[float, float]]:
    """At most `limit` of the (x, y) pairs, in order: the first, the last, and of each stretch its lowest and highest.

    limit: at least 4.
    """
    if len(pairs) <= limit:
        return list(pairs)
    inner = range(1, len(pairs) - 1)
    num_stretches = (limit - 2) // 2
    kept = [0]
    for stretch in range(num_stretches):
        indices = inner[stretch * len(inner) // num_stretches : (stretch + 1) * len(inner) // num_stretches]
        lowest = min(indices, key=lambda index: pairs[index][1])
        highest = max(indices, key=lambda index: pairs[index][1])
        kept += sorted({lowest, highest})
    kept.append(len(pairs) - 1)
    return [pairs[index] for index in kept]


def table(rows: Sequence[tuple[int, Values]], chart: Chart, *, num_rows: int = 20) -> list[dict[str, Any]]:
    """The chart in numbers: at most `num_rows` steps, evenly spaced over those that have a value, the last among them.

    Each row: {"step", "x", "cells": one value or None a line}.
    """
    metrics = [line.metric for line in chart.lines]
    measured = [
        (step, values)
        for step, values in rows
        if any(metric in values for metric in metrics) and chart.x(step, values) is not None
    ]
    last = len(measured) - 1
    chosen = sorted({round(index * last / (num_rows - 1)) for index in range(num_rows)}) if last >= 0 else []
    return [
        {"step": step, "x": chart.x(step, values), "cells": [values.get(metric) for metric in metrics]}
        for step, values in (measured[index] for index in chosen)
    ]


def _short(number: float) -> float:
    """Six digits are more than a screen shows, and half the bytes."""
    return float(f"{number:.6g}")
