"""The run doctor: reads what a run has measured and says in sentences what is wrong and which setting to change.

Each rule is a function of a few windows of the curves, not of single steps: a policy's measurements are noisy. It looks
at the first steps and at the newest, so that a look costs the same however long the run is. The thresholds are habits
of the field where there is one (docs/training.md names them), and none of them stops a run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from training.models import Metric, Run

Values = Mapping[str, float]
WINDOW = 20
"""Steps in the window at either end, at most."""
SHORTEST = 3
"""Steps below which a window says nothing."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: the rule's name, what was seen with its figures, and what to do about it."""

    rule: str
    sentence: str
    advice: str
    setting: str = ""
    """The setting to change first, as the form of a new run names it."""
    is_bad: bool = True
    """The run is not worth going on with; else it is worth watching."""


class Curves:
    """The first and the newest steps of a run: windows of one metric each.

    first, newest: values of up to 2·WINDOW steps each, in order; they overlap in a short run.
    """

    def __init__(self, first: Sequence[Values], newest: Sequence[Values], settings: Mapping[str, object]) -> None:
        self._first, self._newest, self.settings = first, newest, settings

    def start(self, metric: str) -> list[float]:
        """Its first values: a quarter of a short run, WINDOW steps of a long one; empty where there are too few."""
        return self._window(self._first, metric)

    def end(self, metric: str) -> list[float]:
        """Its newest values, of as many steps."""
        return self._window(list(reversed(self._newest)), metric)[::-1]

    def first(self, metric: str) -> float | None:
        return next((values[metric] for values in self._first if metric in values), None)

    def newest(self, metric: str) -> list[float]:
        """All that is at hand of the newest steps."""
        return [values[metric] for values in self._newest if metric in values]

    @staticmethod
    def _window(rows: Sequence[Values], metric: str) -> list[float]:
        found = [values[metric] for values in rows if metric in values]
        size = min(WINDOW, len(found) // 4)
        return found[:size] if size >= SHORTEST else []


def examine(run: Run) -> list[Finding]:
    """What is wrong with the run, worst first; two queries. A run of a kind without rules, or too young, has none."""
    rules = RULES.get(run.kind, ())
    if not rules:
        return []
    rows = Metric.objects.filter(run=run).values_list("values", flat=True)
    first = list(rows.order_by("step")[: 4 * WINDOW])
    newest = list(rows.order_by("-step")[: 4 * WINDOW])[::-1]
    return diagnose(run.kind, first, newest, run.config)


def diagnose(
    kind: str, first: Sequence[Values], newest: Sequence[Values], settings: Mapping[str, object]
) -> list[Finding]:
    """The findings of the kind's rules, worst first, in the order of the rules."""
    curves = Curves(first, newest, settings)
    found = [finding for rule in RULES.get(kind, ()) if (finding := rule(curves))]
    return sorted(found, key=lambda finding: not finding.is_bad)


# --- Rules of a policy run ---


def no_end(curves: Curves) -> Finding | None:
    """Answers are cut off: their score is replaced, and the policy learns nothing of what it wrote."""
    ended = curves.end("response/ended")
    if not ended or (share := statistics.fmean(ended)) >= 0.5:
        return None
    return Finding(
        "no_end",
        _("Only %(share).0f %% of the answers end by themselves; the others are cut off and get the score for that.")
        % {"share": 100 * share},
        _("Raise max_response_tokens, or fine-tune the starting model on demonstrations first, so that it ends."),
        setting="max_response_tokens",
        is_bad=share < 0.05,
    )


def negative_kl(curves: Curves) -> Finding | None:
    """A KL is never below zero; its estimate is, for long, only when the answers are another distribution's."""
    kl = curves.newest("kl/sequence")
    if len(kl) < 2 * SHORTEST:
        return None
    mean, error = statistics.fmean(kl), statistics.stdev(kl) / math.sqrt(len(kl))
    if mean + 3 * error >= 0:
        return None
    return Finding(
        "negative_kl",
        _("The KL is %(kl).2f nats a response over the last %(num)s steps, and a KL cannot be negative.")
        % {"kl": mean, "num": len(kl)},
        _("The answers are not sampled from the distribution whose log-probabilities are used. Set temperature to 1, "
          "and look at the gap between sampler and trainer; if it stays, it is a fault of the trainer: report it."),
        setting="temperature",
    )  # fmt: skip


def first_ratio(curves: Curves) -> Finding | None:
    """In the first pass over a rollout batch the policy is still the one that sampled it: every ratio is 1."""
    errors = [abs(error) for error in curves.newest("policy/first_ratio_error")]
    if not errors or (worst := max(errors)) <= 0.01:
        return None
    return Finding(
        "first_ratio",
        _("Before the first update of a step the probability ratio should be 1; it was off by %(error).2g.")
        % {"error": worst},
        _("The update sees other log-probabilities than those stored with the answers. Set dtype to float32; if it "
          "stays, it is a fault of the trainer: report it."),
        setting="dtype",
    )  # fmt: skip


def unexplained(curves: Curves) -> Finding | None:
    """A value model worse than the mean of the returns adds noise to every advantage."""
    explained = curves.end("value/explained_variance")
    if not explained or (mean := statistics.median(explained)) >= 0:
        return None
    return Finding(
        "unexplained",
        _("The value model explains less than nothing of the returns (explained variance %(value).2f).")
        % {"value": mean},
        _("Lower learning_rate, raise value_coef, or take an algorithm without a value model, such as rloo."),
        setting="value_coef",
        is_bad=mean < -0.5,
    )


def length_drift(curves: Curves) -> Finding | None:
    """Reward models like long answers, and a policy finds that out."""
    before, now = curves.start("response/length"), curves.end("response/length")
    if not before or not now:
        return None
    change = statistics.fmean(now) / max(statistics.fmean(before), 1e-9)
    if 1 / 1.5 <= change <= 1.5:
        return None
    sentence = (
        _("Answers have grown to %(times).1f times their length (%(before).0f to %(now).0f tokens).")
        if change > 1
        else _("Answers have shrunk to %(times).1f times their length (%(before).0f to %(now).0f tokens).")
    )
    figures = {"times": change, "before": statistics.fmean(before), "now": statistics.fmean(now)}
    return Finding(
        "length_drift",
        sentence % figures,
        _("Look whether the reward follows the length. Set length_penalty and length_target, or raise kl_coef.")
        if change > 1
        else _("Look at the answers below. Raise kl_coef, or pay for what is missing in them."),
        setting="length_penalty" if change > 1 else "kl_coef",
        is_bad=False,
    )


def saturated(curves: Curves) -> Finding | None:
    """Where all answers score alike, no difference between them is left to learn from."""
    before, now = curves.start("reward/std"), curves.end("reward/std")
    if not before or not now or statistics.fmean(now) >= 0.1 * max(before):
        return None
    return Finding(
        "saturated",
        _("All answers get nearly the same reward: its spread fell from %(before).2f to %(now).3f.")
        % {"before": max(before), "now": statistics.fmean(now)},
        _("The policy has learned all that this reward model tells apart. Stop, label fresh answers, train a new "
          "reward model; or raise kl_coef to keep the answers varied."),
        setting="kl_coef",
        is_bad=False,
    )  # fmt: skip


FARTHEST = 4.0
"""Standard deviations of the reference's scores."""


def out_of_range(curves: Curves) -> Finding | None:
    """Scores are normalised to mean 0 and deviation 1 on the reference's answers: 4 is far from all of them."""
    now = curves.end("reward_part/model") or curves.end("reward/mean")  # the parts are written where there are several
    weight = float(str(curves.settings.get("reward_weight", 1.0)))
    if not now or not weight or (mean := statistics.fmean(now) / weight) <= FARTHEST:
        return None
    return Finding(
        "out_of_range",
        _("The mean score is %(mean).1f standard deviations above the answers the reward model was normalised on: it "
          "judges what it has never been shown.") % {"mean": mean},
        _("Have people judge these answers before you go on. Set reward_clip, or raise kl_coef."),
        setting="reward_clip",
    )  # fmt: skip


def entropy_collapse(curves: Curves) -> Finding | None:
    """A policy that always says the same has stopped exploring."""
    before, now = curves.start("policy/entropy"), curves.end("policy/entropy")
    if not before or not now or statistics.fmean(now) >= 0.2 * statistics.fmean(before):
        return None
    return Finding(
        "entropy_collapse",
        _("The policy's entropy fell from %(before).2f to %(now).3f nats a token: it answers almost always the same.")
        % {"before": statistics.fmean(before), "now": statistics.fmean(now)},
        _("Raise kl_coef or entropy_coef, or lower learning_rate."),
        setting="entropy_coef",
    )


MOST_KL = 40.0
"""Nats a response; published runs were past their best before d = √KL reached 6 or 7 (Gao et al. 2022)."""


def kl_runaway(curves: Curves) -> Finding | None:
    """The policy leaves its reference faster than the penalty holds it."""
    before, now = curves.start("kl/sequence"), curves.end("kl/sequence")
    if not before or not now:
        return None
    is_adaptive = curves.settings.get("kl_controller") == "adaptive"
    bound = 3 * float(str(curves.settings.get("kl_target", 6.0))) if is_adaptive else MOST_KL
    kl = statistics.fmean(now)
    if kl <= bound or kl <= statistics.fmean(before):
        return None
    return Finding(
        "kl_runaway",
        _("The KL from the reference has reached %(kl).0f nats a response; beyond %(bound).0f the reward rarely means "
          "what it did.") % {"kl": kl, "bound": bound},
        _("Raise kl_coef, lower learning_rate, or set kl_stop."),
        setting="kl_coef",
    )  # fmt: skip


def over_optimised(curves: Curves) -> Finding | None:
    """Paid more and more by one judge, while another, which the policy is not tuned against, likes it less and less."""
    paid, watched = curves.newest("reward/mean"), curves.newest("reward/watched")
    if len(watched) < 4 * SHORTEST:
        return None
    third = len(watched) // 3
    best = max(statistics.fmean(watched[:third]), statistics.fmean(watched[third : 2 * third]))
    now = statistics.fmean(watched[-third:])
    noise = statistics.stdev(watched[-third:]) / math.sqrt(third)
    is_rising = statistics.fmean(paid[-third:]) > statistics.fmean(paid[-3 * third : -2 * third])
    if not is_rising or now + 2 * noise >= best:
        return None
    return Finding(
        "over_optimised",
        _("The reward still rises, but by the reward model that only watches the answers get worse (%(best).2f to "
          "%(now).2f): over-optimisation.") % {"best": best, "now": now},
        _("Stop here and take an earlier checkpoint; raise kl_coef, and have people judge fresh answers."),
        setting="kl_coef",
    )  # fmt: skip


# --- Rules of the kinds that learn from examples ---


def overfitted(curves: Curves) -> Finding | None:
    """The loss on examples it never saw rises while that on its own falls."""
    validation = curves.newest("validation/loss")
    if len(validation) < SHORTEST:
        return None
    lowest, now = min(validation), validation[-1]
    if validation.index(lowest) == len(validation) - 1 or now < 1.1 * lowest:
        return None
    return Finding(
        "overfitted",
        _("The validation loss was %(lowest).3f and has risen to %(now).3f: it learns its examples by heart.")
        % {"lowest": lowest, "now": now},
        _("Lower epochs or learning_rate, keep keep_best on, or collect more labels."),
        setting="epochs",
        is_bad=False,
    )


def learns_nothing(curves: Curves) -> Finding | None:
    """A coin would be as good on pairs that it never saw."""
    accuracy = curves.newest("validation/accuracy")
    if len(accuracy) < SHORTEST or max(accuracy[-SHORTEST:]) > 0.5:
        return None
    return Finding(
        "learns_nothing",
        _("On pairs it never saw, the preferred answer wins in %(share).0f %%: no better than a coin.")
        % {"share": 100 * accuracy[-1]},
        _("Look at the agreement of your people and collect more labels; then raise epochs or learning_rate."),
        setting="learning_rate",
    )


Rule = Callable[[Curves], Finding | None]
RULES: dict[str, tuple[Rule, ...]] = {
    Run.Kind.POLICY: (
        first_ratio,
        negative_kl,
        over_optimised,
        no_end,
        kl_runaway,
        entropy_collapse,
        out_of_range,
        saturated,
        unexplained,
        length_drift,
    ),
    Run.Kind.REWARD: (learns_nothing, overfitted),
    Run.Kind.DPO: (learns_nothing, overfitted),
    Run.Kind.SFT: (overfitted,),
}
