"""What a run's and a model's page tell of a reward model: how it does on held-out pairs, beside length and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval, as the trainer measured it."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def read(cls, metrics: Mapping[str, Any], name: str, *, bounds: str = "") -> Share | None:
        """The share of that name with name_low and name_high; bounds: their name where it is another."""
        if metrics.get(name) is None:
            return None
        bounds = bounds or name
        return cls(metrics[name], metrics.get(f"{bounds}_low"), metrics.get(f"{bounds}_high"))


@dataclass(frozen=True)
class Calibration:
    """Predicted against observed, in tenths: a reliability diagram."""

    ece: float
    """Mean distance of the two."""
    bins: list[dict[str, float]]

    @classmethod
    def read(cls, metrics: Mapping[str, Any], suffix: str = "") -> Calibration | None:
        ece = metrics.get(f"ece{suffix}")
        bins: Sequence[dict[str, float]] = metrics.get(f"calibration{suffix}", [])
        return None if ece is None else cls(ece, [each for each in bins if each.get("n")])

    @property
    def diagram(self) -> list[dict[str, float]]:
        """The bins in a square of 100 × 100, y downwards; the radius grows with the root of the bin's share."""
        total = sum(each["n"] for each in self.bins)
        return [
            {
                **each,
                "cx": round(100 * each["predicted"], 1),
                "cy": round(100 - 100 * each["observed"], 1),
                "r": round(1.6 + 6 * (each["n"] / total) ** 0.5, 1),
            }
            for each in self.bins
        ]


@dataclass(frozen=True)
class Ceiling:
    """What people say among themselves, on the held-out pairs that several of them judged."""

    people: Share
    """How often two of them agree."""
    model: Share
    """How often the model agrees with one of them, on the same pairs."""
    num_pairs: int
    num_votes: int

    @classmethod
    def read(cls, metrics: Mapping[str, Any]) -> Ceiling | None:
        people, model = (Share.read(metrics, f"human_agreement{part}") for part in ("", "_of_model"))
        if people is None or model is None:
            return None
        return cls(people, model, metrics["human_agreement_pairs"], metrics["human_agreement_votes"])


@dataclass(frozen=True)
class Heads:
    """How several heads on one trunk agree."""

    num: int
    std: float
    """Mean standard deviation of a pair's difference between them, in units of the normalised score."""
    num_divided: int
    """Pairs on whose better answer they do not agree."""
    unanimous_accuracy: float | None
    divided_accuracy: float | None

    @classmethod
    def read(cls, metrics: Mapping[str, Any]) -> Heads | None:
        if "num_heads" not in metrics:
            return None
        accuracies = metrics["unanimous_accuracy"], metrics["divided_accuracy"]
        return cls(metrics["num_heads"], metrics["head_std"], metrics["divided_pairs"], *accuracies)


@dataclass(frozen=True)
class RewardReport:
    """How good a reward model is on pairs that it never saw."""

    accuracy: Share
    baseline: Share | None
    """“The longer answer is better”, on the same pairs."""
    ceiling: Ceiling | None
    """None where no held-out pair was judged by two people, or by a trainer that did not ask yet."""
    num_pairs: int
    num_decided: int
    """Pairs without ties: those that the accuracy is over."""
    log_loss: float | None
    calibration: Calibration | None
    """As the model was trained."""
    temperature: float | None
    calibrated: Calibration | None
    """With its temperature, on pairs that did not decide it."""
    heads: Heads | None
    by_strength: list[tuple[str, dict[str, Any]]]

    @classmethod
    def read(cls, metrics: Mapping[str, Any]) -> RewardReport | None:
        """None for a run that has measured no accuracy (yet)."""
        accuracy = Share.read(metrics, "accuracy")
        if accuracy is None:
            return None
        return cls(
            accuracy=accuracy,
            baseline=Share.read(metrics, "length_baseline_accuracy", bounds="length_baseline"),
            ceiling=Ceiling.read(metrics),
            num_pairs=int(metrics.get("num_pairs", 0)),
            num_decided=int(metrics.get("num_decided", metrics.get("num_pairs", 0))),
            log_loss=metrics.get("log_loss"),
            calibration=Calibration.read(metrics),
            temperature=metrics.get("temperature"),
            calibrated=Calibration.read(metrics, "_calibrated"),
            heads=Heads.read(metrics),
            by_strength=sorted(metrics.get("accuracy_by_strength", {}).items()),
        )

    @property
    def beats_length(self) -> bool | None:
        """Whether its whole interval lies above the baseline; None where there is no baseline."""
        if self.baseline is None:
            return None
        return (self.accuracy.low if self.accuracy.low is not None else self.accuracy.value) > self.baseline.value
