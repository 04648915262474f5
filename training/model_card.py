"""A version's model card: what it is, what it learned from, who said so, what was measured, and what that does not say.

    text = markdown(version)        a README.md, as model hubs read it: YAML on top, Markdown below

Everything in it is read off the rows; what a person should add (intended use, licence) is left to a person and named as
missing. On the page it is in the reader's language; the file, which leaves the site, is in the site's own. What a hub
reads on top stays English.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as site
from django.db.models import Count, Q
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.human_wins import HumanWins, human_wins
from training.models import ModelVersion, Review, Run, Snapshot, SnapshotJudgment
from training.origins import snapshots_behind
from training.reports import scalars
from training.reward_report import RewardReport

ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|"})


def markdown(version: ModelVersion) -> str:
    with translation.override(site.LANGUAGE_CODE):
        parts = [front_matter(version), f"# {plain(version.name)}", *sections(version)]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(value: object) -> str:
    """A text of people or of the database inside Markdown: shown as it is, in one line."""
    return " ".join(str(value).split()).translate(ESCAPED)


def literal(value: object) -> str:
    """A setting's value as code; a pattern may hold what ends code or a table's cell, and is escaped then."""
    text = " ".join(str(value).split())
    if not text:
        return "–"
    return plain(text) if set(text) & set("`|") else f"`{text}`"


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
    """Its parts as Markdown, in the active language."""
    yield what_it_is(version)
    snapshots = snapshots_behind(version.run)
    yield section(_("Data and people"), data(snapshots, version) or [_("No labels behind it.")])
    yield settings(version.run)
    yield section(_("Results"), results(version) or [_("Nothing has been measured yet.")])
    yield section(_("Review"), reviews(version) or [_("Nobody has reviewed it.")])
    yield section(_("Limits"), limits(version, snapshots))


def section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *(lines if len(lines) == 1 else listed(lines))])


def listed(lines: list[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def what_it_is(version: ModelVersion) -> str:
    run = version.run
    made_by = _("run %(number)d (%(kind)s)") % {"number": run.pk, "kind": run.get_kind_display()} if run else ""
    rows = [
        (_("Kind"), version.get_kind_display()),
        (_("Project"), version.project.name),
        (_("Stage"), version.get_stage_display()),
        (_("Came from"), version.parent.name if version.parent else _("registered by hand")),
        (_("Made by"), made_by),
        (_("Made on"), f"{version.created_at:%Y-%m-%d}"),
        (_("SHA-256 of its files"), version.checksum),
    ]
    return table(_("What it is"), [(name, plain(value)) for name, value in rows if value])


def table(title: str, rows: list[tuple[str, str]]) -> str:
    body = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([f"## {title}", "", f"| {_('what')} | {_('value')} |", "| --- | --- |", *body])


def data(snapshots: list[Snapshot], version: ModelVersion) -> list[str]:
    """Each snapshot behind it, with how many people stand behind its judgments."""
    lines = [line for snapshot in snapshots for line in of_snapshot(snapshot)]
    agreement = agreement_of(version)
    return [*lines, agreement] if agreement else lines


def of_snapshot(snapshot: Snapshot) -> Iterator[str]:
    counts = {name: snapshot.counts.get(name, 0) for name in ("judgments", "pairs", "prompts", "demonstrations")}
    yield _("Snapshot %(name)s: judgments %(judgments)s, pairs %(pairs)s, prompts %(prompts)s, demonstrations "
            "%(demonstrations)s.") % {
        "name": f"`{snapshot.content_hash[:12]}`", **{name: f"{num:,}" for name, num in counts.items()},
    }  # fmt: skip
    said_by = SnapshotJudgment.objects.filter(snapshot=snapshot).aggregate(
        people=Count("judgment__annotator", distinct=True, filter=Q(judgment__annotator__is_simulated=False)),
        programs=Count("judgment__annotator", distinct=True, filter=Q(judgment__annotator__is_simulated=True)),
    )
    if num := said_by["people"]:
        yield ngettext("%(num)s person judged.", "%(num)s people judged.", num) % {"num": f"{num:,}"}
    if num := said_by["programs"]:
        sentence = ngettext(
            "%(num)s program judged, by a stated rule.", "%(num)s programs judged, by a stated rule.", num
        )
        yield sentence % {"num": f"{num:,}"}
    if num := snapshot.num_simulated:
        sentence = ngettext("%(num)s of its judgments is simulated.", "%(num)s of its judgments are simulated.", num)
        yield sentence % {"num": f"{num:,}"}


def agreement_of(version: ModelVersion) -> str:
    """How far people agree with each other on held-out pairs, where the reward model's report knows it."""
    scorer = version if version.kind == ModelVersion.Kind.REWARD else version.run and version.run.reward_model
    measured = scorer.metrics.get("human_agreement") if scorer else None
    if measured is None:
        return ""
    low, high = (scorer.metrics.get(f"human_agreement_{end}") for end in ("low", "high")) if scorer else (None, None)
    return _("Two people agree on %(share)s of the held-out pairs that several judged.") % {
        "share": share(measured, low, high)
    }


def settings(run: Run | None) -> str:
    if run is None:
        return ""
    return table(_("Settings"), [(f"`{name}`", literal(value)) for name, value in run.config.items()])


def results(version: ModelVersion) -> list[str]:
    report = RewardReport.read(version.metrics)
    if report:
        return of_a_reward_model(version.metrics)
    lines = [f"`{name}`: {value:.4g}" for name, value in scalars(version.metrics)]
    if version.parent is None:
        return lines
    people = human_wins(version.parent, version)
    if people.asked:
        lines += told(people.asked, version)
    if people.in_chats:
        lines.append(told_in_chats(people.in_chats, version))
    return lines


def of_a_reward_model(metrics: dict[str, Any]) -> list[str]:
    lines = [_("Accuracy on held-out pairs: %(share)s.") % {"share": of_metrics(metrics, "accuracy")}]
    if "length_baseline_accuracy" in metrics:
        found = share(metrics["length_baseline_accuracy"])
        lines.append(_("A rule that takes the longer answer: %(share)s.") % {"share": found})
    if "log_loss" in metrics:
        lines.append(_("Log loss: %(value)s.") % {"value": f"{metrics['log_loss']:.3f}"})
    if "ece" in metrics:
        lines.append(_("Calibration error: %(value)s.") % {"value": f"{metrics['ece']:.3f}"})
    return lines


def told(wins: HumanWins, version: ModelVersion) -> Iterator[str]:
    assert version.parent
    yield _("Preferred to %(opponent)s in %(share)s of %(votes)s votes on %(prompts)s prompts.") % {
        "opponent": plain(version.parent.name),
        "share": share(wins.share.value, wins.share.low, wins.share.high),
        "votes": f"{wins.num_votes:,}",
        "prompts": f"{wins.num_prompts:,}",
    }
    if num := wins.num_simulated:
        sentence = ngettext("%(num)s of these votes is simulated.", "%(num)s of these votes are simulated.", num)
        yield sentence % {"num": f"{num:,}"}


def told_in_chats(wins: HumanWins, version: ModelVersion) -> str:
    """Their prompts were chosen by who voted: no part of the figure above."""
    assert version.parent
    said = _("Preferred to %(opponent)s in %(share)s of %(votes)s votes in chats, on what people asked themselves.")
    return said % {
        "opponent": plain(version.parent.name),
        "share": share(wins.share.value, wins.share.low, wins.share.high),
        "votes": f"{wins.num_votes:,}",
    }


def reviews(version: ModelVersion) -> list[str]:
    lines = []
    for review in Review.objects.filter(b=version).exclude(status=Review.Status.OPEN).select_related("a", "closed_by"):
        blind = review.votes.aggregate(num=Count("pk"), wins=Count("pk", filter=Q(choice="b")))
        words = {
            "status": review.get_status_display(), "opponent": plain(review.a.name), "reason": plain(review.reason),
            "wins": f"{blind['wins']:,}", "votes": f"{blind['num']:,}",
        }  # fmt: skip
        if blind["num"]:
            sentence = _("Against %(opponent)s: %(status)s. %(reason)s (Blind votes for it: %(wins)s of %(votes)s.)")
        else:
            sentence = _("Against %(opponent)s: %(status)s. %(reason)s")
        lines.append(sentence % words)
    return lines


def limits(version: ModelVersion, snapshots: list[Snapshot]) -> list[str]:
    lines = [_("Not stated: intended use, licence, languages. Whoever publishes it adds them.")]
    if any(snapshot.num_simulated for snapshot in snapshots):
        lines.append(_("It learned from simulated labels: its figures say how well a program's rule was followed."))
    if version.kind == ModelVersion.Kind.REWARD:
        lines.append(
            _(
                "A score ranks answers to one prompt, by the taste of the people above; it is no measure of truth "
                "or safety, and it is least reliable on answers unlike those it learned from."
            )
        )
    elif version.run and version.run.reward_model:
        lines.append(
            _(
                "It was tuned against a reward model: a higher reward is not the same as people preferring its "
                "answers, and the difference grows with the KL."
            )
        )
    return lines


def of_metrics(metrics: dict[str, Any], name: str) -> str:
    return share(metrics[name], metrics.get(f"{name}_low"), metrics.get(f"{name}_high"))


def share(value: float, low: float | None = None, high: float | None = None) -> str:
    if low is None or high is None:
        return _("%(value)s %%") % {"value": f"{100 * value:.1f}"}
    return _("%(value)s %% (95 %% interval %(low)s to %(high)s)") % {
        "value": f"{100 * value:.1f}", "low": f"{100 * low:.1f}", "high": f"{100 * high:.1f}",
    }  # fmt: skip
