"""Over-optimisation as people see it: the reward of a run has risen, and on fresh answers they do not agree.

A reward model that only watches (training/doctor.py) shares its labels' blind spots with the one that pays. People who
judge the new version's answers, drawn by chance in a round, do not.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from training.doctor import Finding
from training.models import ModelVersion, Round, Run
from training.win_rates import WinRate, win_rates


def findings(run: Run) -> list[Finding]:
    """What the newest judged round of the run's version says against its reward; four queries at most.

    Nothing for a run that is under way, has no reward, or whose reward has not risen.
    """
    version: ModelVersion | None = getattr(run, "version", None)
    before, now = (run.summary.get(f"reward/mean{end}") for end in ("/first", ""))
    if version is None or before is None or now is None or now <= before:
        return []
    said = newest_round(version)
    if said is None:
        return []
    round_, rate = said
    earlier = newest_round(round_.opponent)
    found = worse(round_, rate) or (no_longer_better(round_, rate, *earlier) if earlier else None)
    return [found] if found else []


def newest_round(version: ModelVersion) -> tuple[Round, WinRate] | None:
    """The newest round of the version against another that people have judged."""
    rounds = list(Round.objects.filter(version=version).exclude(opponent=version).with_versions())
    rates = win_rates(rounds)
    return next(((each, rates[each.pk]) for each in rounds if rates[each.pk].share), None)


def worse(round_: Round, rate: WinRate) -> Finding | None:
    """People clearly prefer the answers of the version before."""
    assert rate.share and rate.share.high is not None
    if rate.share.high >= 0.5:
        return None
    return Finding(
        "people_disagree",
        _("The reward has risen, but people prefer the answers of %(opponent)s: %(version)s wins only %(share).0f %% "
          "of %(num)d questions drawn by chance (%(low).0f to %(high).0f %%). This is over-optimisation.")
        % {
            "opponent": round_.opponent, "version": round_.version, "num": rate.num_judged,
            "share": 100 * rate.share.value, "low": 100 * (rate.share.low or 0), "high": 100 * rate.share.high,
        },
        _("Stay with the version before. Freeze these labels, train a new reward model on them, and tune again with a "
          "higher kl_coef or fewer episodes."),
        setting="kl_coef",
    )  # fmt: skip


def no_longer_better(round_: Round, rate: WinRate, earlier: Round, earlier_rate: WinRate) -> Finding | None:
    """The version before was clearly better than its own opponent; this one is not, and the reward says it is."""
    assert rate.share and earlier_rate.share
    has_fallen = (rate.share.high or 1.0) < (earlier_rate.share.low or 0.0)
    if not has_fallen or (rate.share.low or 0.0) > 0.5 or (earlier_rate.share.low or 0.0) <= 0.5:
        return None
    return Finding(
        "people_gain_less",
        _("The reward has risen, but people no longer see a gain: they preferred %(before)s in %(earlier).0f %% of its "
          "questions, and %(version)s in %(share).0f %% (%(low).0f to %(high).0f %%).")
        % {
            "before": earlier.version, "version": round_.version, "earlier": 100 * earlier_rate.share.value,
            "share": 100 * rate.share.value, "low": 100 * (rate.share.low or 0), "high": 100 * (rate.share.high or 1),
        },
        _("Have more of its answers judged before it is promoted. If that stays so, train a new reward model on the "
          "fresh labels, and tune with a higher kl_coef."),
        setting="kl_coef",
        is_bad=False,
    )  # fmt: skip
