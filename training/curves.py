"""What of a run is drawn: which charts a kind of run has, and what their lines and axes are.

The page draws empty charts (training/charts.py) and asks for their points (training/points.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.models import Run

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


def of(kind: str, settings: Values) -> list[Chart]:
    """The charts that a run of this kind with these settings can have."""
    return [chart for chart in CHARTS[kind] if chart.is_for(settings)]


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
    beside: tuple[Line, ...] = ()
    """Lines that are worked out and not measured; they have a source each and points of their own."""
    is_path: bool = False
    """A walk through the plane, drawn with its points, and not a curve over the steps."""
    is_share: bool = False
    """Drawn on the whole scale from 0 to 1: a share that stays at 1 is not to look like an event."""

    is_signed: bool = False
    """May be negative, so it has no logarithmic scale: nothing would be drawn."""

    is_for: Callable[[Values], bool] = _always
    """Whether a run of these settings can have it; an empty chart would promise what never comes."""

    def source(self, line: Line, run: str = "") -> str:
        """The name under which the page finds the line's points; `run` where several runs lie over one another."""
        return f"{self.key}:{line.metric}" + (f":{run}" if run else "")


POLICY = (
    Chart(
        "reward",
        _("Reward"),
        (Line("reward/mean", _("reward")), Line("reward/with_kl", _("reward minus KL penalty"))),
        note=_("0 is as good as the answers that the reward model was normalised on."),
        is_signed=True,
    ),
    Chart(
        "watched",
        _("Reward by the model that watches"),
        (Line("reward/watched", _("score")),),
        note=_("It pays nothing. Where it falls while the reward rises, the policy exploits the reward model."),
        is_for=_is_watched,
        is_signed=True,
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
        beside=(Line("best_of_n", _("best of n of the start")), Line("fit", _("fit, 95 % band"))),
        is_signed=True,
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
        is_signed=True,
    ),
    Chart("length", _("Length"), (Line("response/length", _("tokens a response")),)),
    Chart(
        "ended",
        _("Ended by itself"),
        (Line("response/ended", _("share of responses")),),
        note=_("The others were cut off at the longest length allowed."),
        is_share=True,
    ),
    Chart("policy_loss", _("Policy loss"), (Line("loss/policy", _("policy loss")),), is_signed=True),
    Chart("value_loss", _("Value loss"), (Line("loss/value", _("value loss")),), is_for=_has_value_model),
    Chart(
        "explained",
        _("Value model: explained variance"),
        (Line("value/explained_variance", _("explained variance")),),
        note=_("1 foresees every return, 0 is no better than their mean."),
        is_for=_has_value_model,
        is_signed=True,
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
        is_signed=True,
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
        is_signed=True,
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
