"""A version's model card: what it is, what it learned from, who said so, what was measured, and what that does not say.

    text = markdown(version)        a README.md, as model hubs read it: YAML on top, Markdown below

Everything in it is read off the rows; what a person should add (intended use, licence) is left to a person and named as
missing. It is English: hubs and papers are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Q

from training.human_wins import HumanWins, human_wins
from training.models import ModelVersion, Review, Run, Snapshot, SnapshotJudgment
from training.origins import snapshots_behind
from training.reports import scalars
from training.reward_report import RewardReport

ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|"})


def markdown(version: ModelVersion) -> str:
    parts = [front_matter(version), f"# {plain(version.name)}", *sections(version)]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(value: object) -> str:
    """A text of people or of the database inside Markdown: shown as it is, in one line."""
    return " ".join(str(value).split()).translate(ESCAPED)


def front_matter(version: ModelVersion) -> str:
    """What a hub reads. Tags are of our own words, so no value needs quoting."""
    kind = "reward-model" if version.kind == ModelVersion.Kind.REWARD else "text-generation"
    simulated = ["  - simulated-labels"] if version.run and version.run.num_simulated else []
    lines = [
        "---",
        "library_name: transformers",
        "tags:",
        "  - plumbline",
        "  - rlhf",
        f"  - {kind}",
        *simulated,
        "---",
    ]
    return "\n".join(lines)


def sections(version: ModelVersion) -> Iterator[str]:
    yield what_it_is(version)
    snapshots = snapshots_behind(version.run)
    yield "\n".join(["## Data and people", "", *(data(snapshots, version) or ["No labels behind it."])])
    yield settings(version.run)
    yield "\n".join(["## Results", "", *(results(version) or ["Nothing has been measured yet."])])
    yield "\n".join(["## Review", "", *(reviews(version) or ["Nobody has reviewed it."])])
    yield "\n".join(["## Limits", "", *limits(version, snapshots)])


def what_it_is(version: ModelVersion) -> str:
    rows = [
        ("Kind", version.get_kind_display()),
        ("Project", version.project.name),
        ("Stage", version.get_stage_display()),
        ("Came from", version.parent.name if version.parent else "registered by hand"),
        ("Made by", f"run {version.run.pk} ({version.run.get_kind_display()})" if version.run else ""),
        ("Made on", f"{version.created_at:%Y-%m-%d}"),
        ("SHA-256 of its files", version.checksum),
    ]
    return table("What it is", [(name, plain(value)) for name, value in rows if value])


def table(title: str, rows: list[tuple[str, str]]) -> str:
    body = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([f"## {title}", "", "| what | value |", "| --- | --- |", *body])


def data(snapshots: list[Snapshot], version: ModelVersion) -> list[str]:
    """Each snapshot behind it, with how many people stand behind its judgments."""
    lines = []
    for snapshot in snapshots:
        people = SnapshotJudgment.objects.filter(snapshot=snapshot).aggregate(
            people=Count("judgment__annotator", distinct=True, filter=Q(judgment__annotator__is_simulated=False)),
            programs=Count("judgment__annotator", distinct=True, filter=Q(judgment__annotator__is_simulated=True)),
        )
        counts = {name: snapshot.counts.get(name, 0) for name in ("judgments", "pairs", "prompts", "demonstrations")}
        said = ", ".join(f"{num:,} {name}" for name, num in counts.items() if num)
        by = f" by {people['people']:,} people" if people["people"] else ""
        programs = f" and {people['programs']:,} programs that follow a stated rule" if people["programs"] else ""
        lines.append(f"- Snapshot `{snapshot.content_hash[:12]}`: {said or 'empty'}{by}{programs}.")
        if snapshot.num_simulated:
            lines.append(f"- {snapshot.num_simulated:,} of its judgments are simulated.")
    agreement = agreement_of(version)
    return [*lines, agreement] if agreement else lines


def agreement_of(version: ModelVersion) -> str:
    """How far people agree with each other on held-out pairs, where the reward model's report knows it."""
    scorer = version if version.kind == ModelVersion.Kind.REWARD else version.run and version.run.reward_model
    measured = scorer.metrics.get("human_agreement") if scorer else None
    if measured is None:
        return ""
    low, high = (scorer.metrics.get(f"human_agreement_{end}") for end in ("low", "high")) if scorer else (None, None)
    return f"- Two people agree on {share(measured, low, high)} of the held-out pairs that several judged."


def settings(run: Run | None) -> str:
    if run is None:
        return ""
    return table("Settings", [(f"`{name}`", f"`{value}`") for name, value in run.config.items()])


def results(version: ModelVersion) -> list[str]:
    lines = []
    report = RewardReport.read(version.metrics)
    if report:
        lines.append(f"- Accuracy on held-out pairs: {of_metrics(version.metrics, 'accuracy')}.")
        if "length_baseline_accuracy" in version.metrics:
            lines.append(
                f"- A rule that takes the longer answer: {share(version.metrics['length_baseline_accuracy'])}."
            )
        lines += [
            f"- {label}: {version.metrics[name]:.3f}."
            for name, label in (("log_loss", "Log loss"), ("ece", "Calibration error"))
            if name in version.metrics
        ]
    else:
        lines += [f"- `{name}`: {value:.4g}." for name, value in scalars(version.metrics)]
    wins = human_wins(version.parent, version) if version.parent and not report else None
    return [*lines, told(wins, version)] if wins else lines


def told(wins: HumanWins, version: ModelVersion) -> str:
    assert version.parent
    rate = share(wins.share.value, wins.share.low, wins.share.high)
    simulated = f", {wins.num_simulated:,} of them simulated" if wins.num_simulated else ""
    return (
        f"- Preferred to {plain(version.parent.name)} in {rate} of {wins.num_votes:,} votes on {wins.num_prompts:,} "
        f"prompts{simulated}."
    )


def reviews(version: ModelVersion) -> list[str]:
    lines = []
    for review in Review.objects.filter(b=version).exclude(status=Review.Status.OPEN).select_related("a", "closed_by"):
        blind = review.votes.aggregate(num=Count("pk"), wins=Count("pk", filter=Q(choice="b")))
        votes = f" Blind votes: {blind['wins']:,} of {blind['num']:,} for it." if blind["num"] else ""
        lines.append(f"- {review.status.capitalize()} against {plain(review.a.name)}: {plain(review.reason)}{votes}")
    return lines


def limits(version: ModelVersion, snapshots: list[Snapshot]) -> list[str]:
    lines = ["- Not stated: intended use, licence, languages. Whoever publishes it adds them."]
    if any(snapshot.num_simulated for snapshot in snapshots):
        lines.append("- It learned from simulated labels: its figures say how well a program's rule was followed.")
    if version.kind == ModelVersion.Kind.REWARD:
        lines.append(
            "- A score ranks answers to one prompt, by the taste of the people above; it is no measure of truth "
            "or safety, and it is least reliable on answers unlike those it learned from."
        )
    elif version.run and version.run.reward_model:
        lines.append(
            "- It was tuned against a reward model: a higher reward is not the same as people preferring its answers, "
            "and the difference grows with the KL."
        )
    return lines


def of_metrics(metrics: dict[str, Any], name: str) -> str:
    return share(metrics[name], metrics.get(f"{name}_low"), metrics.get(f"{name}_high"))


def share(value: float, low: float | None = None, high: float | None = None) -> str:
    if low is None or high is None:
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})"
