"""What a run's page tells besides its curves: how far it is, what it measured at the end, its samples and its log."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from training import fresh_labels, over_optimisation, spreads
from training.diffs import WordDiff, word_diff
from training.doctor import Finding, examine
from training.models import ModelVersion, Run, Sample, Snapshot
from training.reward_report import RewardReport
from training.rlhf.config import KINDS, describe
from training.rlhf.rundir import RunDir
from training.run_memory import RunMemory, memory_of
from training.templatetags.figures import figure

LOG_BYTES = 64_000
LOG_LINES = 200
SAMPLE_STEPS = 6
"""Steps of the fixed prompts' answers that the page shows: the first, the newest and some between."""


def scalars(values: Mapping[str, Any]) -> list[tuple[str, float]]:
    return sorted((name, value) for name, value in values.items() if isinstance(value, int | float))


@dataclass(frozen=True)
class Figure:
    """One measurement as people read it; `name` instead of a label where nothing better is known."""

    label: str
    value: str
    name: str = ""


MEASURED: dict[str, tuple[Any, Callable[[float], str]]] = {
    "reward/mean": (_lazy("Reward"), lambda value: f"{value:.2f}"),
    "kl/sequence": (_lazy("KL"), lambda value: f"{value:.1f}"),
    "response/length": (_lazy("Length"), lambda value: f"{value:.0f}"),
    "response/ended": (_lazy("Ended by itself"), lambda value: f"{100 * value:.0f}\u202f%"),
}
UNITS = {"kl/sequence": _lazy("nats"), "response/length": _lazy("tokens")}


def measured(values: Mapping[str, Any]) -> list[Figure]:
    """Known measurements with their names and units, from the first step to the last; then the others as they are."""
    rest = dict(scalars(values))
    known = []
    for name, (label, written) in MEASURED.items():
        if name not in rest:
            continue
        moved = [rest.pop(key) for key in (f"{name}/first", name) if key in rest]
        shown = " → ".join(_plain(written(value)) for value in moved)
        known.append(Figure(str(label), f"{shown} {UNITS[name]}" if name in UNITS else shown))
    return [*known, *(Figure("", figure(value), name) for name, value in rest.items())]


def _plain(text: str) -> str:
    """With a true minus, and none before a value that rounds to nothing."""
    return text.replace("-", "\u2212") if text.strip("-0.") else text.lstrip("-")


@dataclass(frozen=True)
class Setting:
    name: str
    value: Any
    default: Any
    help: str

    @property
    def is_changed(self) -> bool:
        return self.value != self.default


@dataclass
class RunPage:
    """The parts of a run's page that move while it runs, and the state by which a poll knows what it has."""

    run: Run
    can_change: bool

    @functools.cached_property
    def snapshots(self) -> list[Snapshot]:
        return Snapshot.objects.behind(self.run)

    @functools.cached_property
    def sample_steps(self) -> list[int]:
        steps = self.run.samples.order_by("step").values_list("step", flat=True).distinct()
        return list(steps)

    @functools.cached_property
    def state(self) -> str:
        """Three words: how it goes, the newest samples, the log. A word that has changed names a part to draw anew."""
        run = self.run
        left = "" if run.seconds_left is None else round(run.seconds_left)
        progress = (run.status, run.is_cancel_requested, run.step, run.total_steps, left, len(run.warnings))
        newest = self.sample_steps[-1] if self.sample_steps else ""
        log = [path.stat().st_size for path in self._log_files if path.exists()]
        return "~".join(["-".join(map(str, progress)), str(newest), "-".join(map(str, log))])

    def changed_since(self, seen: str) -> dict[str, bool]:
        before = [*seen.split("~"), "", "", ""][:3]
        return dict(
            zip(
                ("progress", "samples", "log"),
                [old != new for old, new in zip(before, self.state.split("~"), strict=True)],
                strict=True,
            )
        )

    @property
    def report(self) -> RewardReport | None:
        return RewardReport.read(self.run.summary)

    @functools.cached_property
    def findings(self) -> list[Finding]:
        """What the run doctor says, and people who judged what came of the run; worst first."""
        found = [*examine(self.run), *fresh_labels.findings(self.run)]
        return sorted(found, key=lambda finding: not finding.is_bad)

    @functools.cached_property
    def peak(self) -> tuple[float, float] | None:
        """√KL and reward where the fit foresees the best of this run; None where it foresees none."""
        found = over_optimisation.of_run(self.run) if self.run.kind == Run.Kind.POLICY else None
        return found.peak if found and found.is_peak_near else None

    @functools.cached_property
    def rewards(self) -> list[spreads.Panel]:
        """How the rewards of its answers are spread, from the first steps to the newest."""
        if self.run.kind == Run.Kind.POLICY:
            return spreads.panels(self.run)
        return spreads.of_summary(self.run)

    @property
    def figures(self) -> list[Figure]:
        """What it measured at the end, where no report of its own says it better."""
        return [] if self.report else measured(self.run.summary)

    @property
    def version(self) -> ModelVersion | None:
        return getattr(self.run, "version", None)

    @property
    def num_seconds(self) -> float | None:
        """How long it has run, or ran."""
        run = self.run
        end = run.finished_at or run.heartbeat_at
        return (end - run.started_at).total_seconds() if run.started_at and end else None

    @property
    def samples(self) -> list[PromptSamples]:
        """The fixed prompts with their answers at the first, the newest and up to four steps between."""
        steps = self.sample_steps
        last = len(steps) - 1
        count = min(SAMPLE_STEPS, len(steps))
        chosen = {steps[round(index * last / max(count - 1, 1))] for index in range(count)}
        prompts: dict[str, list[Sample]] = {}
        for sample in self.run.samples.filter(step__in=chosen).order_by("prompt_id", "step"):
            prompts.setdefault(sample.prompt_id, []).append(sample)
        return [PromptSamples(answers) for answers in prompts.values()]

    @property
    def _log_files(self) -> list[Path]:
        folder = RunDir(self.run.folder)
        return [folder.events, folder.stderr]

    @property
    def log(self) -> list[str]:
        events, stderr = self._log_files
        lines = [line for text in tail(events) if (line := event_line(text))]
        return [*lines[-LOG_LINES:], *tail(stderr)[-LOG_LINES:]]

    @property
    def changed_settings(self) -> list[Setting]:
        return [setting for setting in self.settings if setting.is_changed]

    @functools.cached_property
    def memory(self) -> RunMemory:
        return memory_of(self.run)

    @property
    def default_settings(self) -> list[Setting]:
        return [setting for setting in self.settings if not setting.is_changed]

    @functools.cached_property
    def settings(self) -> list[Setting]:
        """The config, as it was started with."""
        return [
            Setting(each.name, self.run.config.get(each.name, each.default), each.default, _(each.help))
            for each in describe(KINDS[self.run.kind])
            if not each.filled_by_app
        ]


@dataclass(frozen=True)
class PromptSamples:
    """One fixed prompt and its answers, oldest first."""

    answers: list[Sample]

    @property
    def question(self) -> str:
        return str(self.answers[0].prompt[-1]["content"])

    @property
    def first(self) -> Sample:
        return self.answers[0]

    @property
    def newest(self) -> Sample:
        return self.answers[-1]

    @property
    def between(self) -> list[Sample]:
        return self.answers[1:-1]

    @functools.cached_property
    def words(self) -> WordDiff:
        """What the newest answer removed from and added to the first."""
        return word_diff(self.first.text, self.newest.text)

    @property
    def change(self) -> float | None:
        """Of the reward, from the first answer to the newest."""
        if self.newest.reward is None or self.first.reward is None:
            return None
        return self.newest.reward - self.first.reward


def tail(path: Path, *, num_bytes: int = LOG_BYTES) -> list[str]:
    """The last whole lines of a text file; none when it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - num_bytes, 0))
            content = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    lines = content.splitlines()
    return lines[1:] if size > num_bytes else lines


def event_line(text: str) -> str | None:
    """An event as one line of the log; None for those that the page shows otherwise."""
    try:
        event = json.loads(text)
    except ValueError:  # the line that is being written right now
        return None
    said = {
        "checkpoint": lambda: _("checkpoint at step %(step)s") % event,
        "artifact": lambda: _("model written to %(path)s") % event,
        "warning": lambda: _("warning: %(message)s") % event,
        "resumed": lambda: _("resumed after step %(step)s") % event,
        "done": lambda: _("done: %(status)s") % event,
        "error": lambda: _("error: %(message)s") % event,
    }.get(event["type"])
    if said is None:
        return None
    moment = datetime.datetime.fromtimestamp(event["time"], tz=datetime.UTC)
    return f"{moment:%H:%M:%S}  {said()}"
