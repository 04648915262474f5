"""Go round the loop unattended, with simulated annotators: labels, reward model, policy, fresh answers, and again.

    manage.py loop --project support-replies --rounds 3

What each round does, and what the gold score is: training/unattended.py. Called again, it goes on with the version of
the newest round. No worker is needed: the runs are carried out here, as a worker carries them out.
"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.models import Project
from training import unattended
from training.models import Run
from training.reward_report import Share
from training.tasks import execute_run
from training.win_rates import win_rates

USUAL: dict[str, dict[str, Any]] = {"reward": {"epochs": 3}, "policy": {"algorithm": "rloo"}}
"""Beside the model's own settings. The versions of later rounds are near each other, so their answers are harder to
tell apart than those of a first snapshot: one more pass over the pairs. And a round's few steps are too few for a value
model: it stayed worse than the mean of the returns, so its advantages were noise (docs/results.md).
"""


class Command(BaseCommand):
    help = "Whole rounds of the loop with simulated annotators, through the product's own verbs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of a project without labels by people")
        parser.add_argument("--rounds", type=int, default=3, help="how often round (default 3)")
        parser.add_argument(
            "--model", default="", help="the version to begin with (default: where the last loop ended)"
        )
        parser.add_argument("--annotators", type=int, default=3, help="simulated annotators (default 3)")
        parser.add_argument("--judgments", type=int, default=700, help="at most, before each training (default 700)")
        parser.add_argument("--questions", type=int, default=300, help="asked about each new version (default 300)")
        parser.add_argument("--random-share", type=float, default=0.5, help="of them, by chance (default 0.5)")
        parser.add_argument(
            "--stride", type=float, default=0.3, help="how far a round tunes, of the model's own way (default 0.3)"
        )
        parser.add_argument("--seed", type=int, default=0, help="of the annotators' noise, the split and all runs")
        for kind, usual in USUAL.items():
            parser.add_argument(
                f"--{kind}", type=settings_of, default=usual, metavar="JSON",
                help=f"settings of the {kind} runs (default {json.dumps(usual)})",
            )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no project {options['project']!r}. Projects: {known}.")
        names = ("annotators", "judgments", "questions", "random_share", "stride", "seed", "reward", "policy")
        try:
            plan = unattended.Plan(**{name: options[name] for name in names})
            self.go_round(project, plan, rounds=options["rounds"], model=options["model"])
        except ValueError as error:  # what was given will not do, or a run failed: it says it itself
            raise CommandError(str(error)) from None

    def go_round(self, project: Project, plan: unattended.Plan, *, rounds: int, model: str) -> None:
        unattended.check(project)
        version = unattended.first_version(project, model)
        turns = []
        for _ in range(rounds):
            turns.append(unattended.turn(project, version, plan, carry_out=carry_out))
            self.say(turns[-1])
            version = turns[-1].round.version
        unattended.label(project, plan)  # the newest version's questions too
        rates = win_rates([each.round for each in turns])
        for each in turns:
            won = rates[each.round.pk]
            share = with_interval(won.share, 100, "%") if won.share else "not judged"
            self.stdout.write(
                f"Round {each.round.number}: {each.round.version} wins {share} over {each.round.opponent}, "
                f"{won.num_judged} questions drawn by chance."
            )

    def say(self, turn: unattended.Turn) -> None:
        accuracy = turn.report.accuracy if turn.report else None
        self.stdout.write(
            f"Round {turn.round.number}: {turn.num_judged} simulated judgments; reward model "
            f"{with_interval(accuracy, 100, '%') if accuracy else 'unmeasured'} of the held-out pairs; "
            f"{turn.round.version}: rule's points {with_interval(turn.before)} → {with_interval(turn.after)}, "
            f"by {with_interval(turn.rise)}; "
            f"{turn.round.num_random} questions by chance, {turn.round.num_doubtful} by doubt."
        )


def carry_out(run: Run) -> None:
    execute_run(run.pk)


def settings_of(text: str) -> dict[str, Any]:
    """A JSON object of a run's settings; argparse says what is wrong with another text."""
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(text)
    return values


def with_interval(share: Share, scale: float = 1, unit: str = "") -> str:
    figures = [
        f"{scale * each:.1f}{unit}" if scale != 1 else f"{each:.3f}"
        for each in (share.value, share.low or 0, share.high or 0)
    ]
    return "{} ({} to {})".format(*figures)
