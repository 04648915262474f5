"""Send a version's answers back to people: a round."""

from __future__ import annotations

import random
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotation.intake import content
from annotation.models import AuditEntry, Making, Task, User, Verb
from annotation.progress import NOBODY, Telling
from training.actions.runs import POLICIES
from training.asking import Found, Pair, choose, pairs_between
from training.models import ModelVersion, Round, RoundTask

ROUND = "round"
"""The kind of the making that holds a round's tasks together."""
PART = 2000
"""Questions asked at once; in between the page hears how far it is."""


@transaction.atomic
def publish_round(
    version: ModelVersion,
    *,
    opponent: ModelVersion,
    num: int,
    random_share: float,
    by: User | None,
    seed: int = 0,
    overlap: int | None = None,
    priority: int = 0,
    telling: Telling = NOBODY,
) -> Round:
    """Ask people which answers are better, the version's or the opponent's (itself: its own other answers).

    num: how many questions at most. random_share: 0 to 1, drawn by chance; the others are those that the reward model
    is least sure of. overlap None: the project's. A question that was asked before is part of the round and is not
    asked again. Raises ValueError with a sentence when there is nothing to ask.
    """
    project = version.project
    _check(version, opponent)
    content.lock(project)
    found = pairs_between(version, opponent)
    if not found.pairs:
        raise ValueError(why_nothing(version, opponent, found))
    chosen = choose(found.pairs, num=num, random_share=random_share, seed=seed)
    last = project.rounds.aggregate(last=Max("number"))["last"] or 0
    round_ = Round.objects.create(
        project=project, number=last + 1, version=version, opponent=opponent, created_by=by, seed=seed,
        scorer_id=found.scorer_id if chosen.by_doubt else None, num_asked=num, random_share=random_share,
        num_random=len(chosen.by_chance), num_doubtful=len(chosen.by_doubt),
        num_pairs=len(found.pairs), num_same=found.num_same,
        making=Making.objects.create(
            project=project, kind=ROUND, settings={"round": last + 1, "version": version.name}, created_by=by
        ),
    )  # fmt: skip
    pairs = [*((pair, True) for pair in chosen.by_chance), *((pair, False) for pair in chosen.by_doubt)]
    # Mixed, so that whoever stops halfway has judged some of both.
    random.Random(f"{seed}/order").shuffle(pairs)
    num_new = sum(_ask(round_, part, overlap=overlap, priority=priority) for part in telling.parts(pairs, PART))
    making = round_.making
    assert making
    making.num_tasks = num_new
    making.save(update_fields=["num_tasks"])
    AuditEntry.objects.record(Verb.TASKS_CREATED, by=by, project=project, subject=f"round {last + 1}", tasks=num_new)
    return round_


def why_nothing(version: ModelVersion, opponent: ModelVersion, found: Found) -> str:
    """The sentence for two versions between which there is no pair to ask about."""
    names = {"version": version, "opponent": opponent}
    if found.num_same:
        return _("%(version)s and %(opponent)s answer every prompt alike: there is nothing to compare.") % names
    if version == opponent:
        return (
            _("%(version)s has one answer a prompt: write fresh answers with samples_per_prompt at 2 or more.") % names
        )
    return _("%(version)s and %(opponent)s have answered no prompt in common: let both write fresh answers.") % names


def _check(version: ModelVersion, opponent: ModelVersion) -> None:
    if opponent.project_id != version.project_id:
        raise ValueError(
            _("%(row)s belongs to another project: choose one of %(project)s.")
            % {"row": opponent, "project": version.project}
        )
    for each in (version, opponent):
        if each.kind not in POLICIES:
            raise ValueError(
                _("%(model)s is a reward model: it writes no answers that people could judge.") % {"model": each}
            )


def _ask(round_: Round, pairs: Sequence[tuple[Pair, bool]], *, overlap: int | None, priority: int) -> int:
    """The tasks of these pairs, each with whether it was drawn by chance; returns how many are new."""
    tasks = [
        content.comparison_of(
            *(content.Answer(each.response_id, pair.prompt_id, each.content_hash) for each in pair[1:])
        )
        for pair, _is_random in pairs
    ]
    added = content.add_tasks(round_.project, tasks, overlap=overlap, priority=priority)
    RoundTask.objects.bulk_create(
        [
            RoundTask(round=round_, task_id=task_id, is_random=is_random)
            for task_id, (_pair, is_random) in zip(added.ids, pairs, strict=True)
        ],
        batch_size=5000,
    )
    Task.objects.filter(pk__in=added.created).update(making=round_.making)
    return len(added.created)
