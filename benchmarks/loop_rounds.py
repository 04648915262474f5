"""Several rounds of `manage.py loop` in a product of its own; then the rule is asked about each version.

The messages stood in no data, so neither labels nor policies have seen them.
"""

import itertools
import statistics
import sys

from django.conf import settings
from django.core.management import call_command

from annotation.models import Project
from annotation.simulation import RULE, parts, score
from benchmarks.loop_steps import HELD_OUT_SEED, start_product
from benchmarks.report import Report, wins, with_interval
from training.models import ModelVersion
from training.starter import corpus, demo
from training.win_rates import win_rates

NUM_MESSAGES = 500
"""Fresh ones. With 200 the interval of a later round's rise was as wide as the rise: 0.25 points on either side."""
SAMPLES = 2
"""Answers a message: a round's rise is to be told from the chance of single answers."""


def measure(report: Report, *, seed: int, rounds: int) -> None:
    """Ends with a sentence when a round has not raised the gold score."""
    project = start_product(report)
    with report.timed("rounds"):
        call_command("loop", project=project.slug, rounds=rounds, seed=seed, stdout=sys.stdout)
    gone = list(project.rounds.order_by("number").select_related("version", "opponent", "scorer"))
    rates = win_rates(gone)
    versions = [gone[0].opponent, *(each.version for each in gone)]
    with report.timed("fresh answers"):
        answers = [fresh_answers(version, project) for version in versions]
    points = [{text: [score(text, each) for each in texts] for text, texts in of.items()} for of in answers]
    report.add("rule's score, starter", with_interval([statistics.fmean(each) for each in points[0].values()]))
    rises = []
    for each, (before, after) in zip(gone, itertools.pairwise(points), strict=True):
        changes = [statistics.fmean(after[text]) - statistics.fmean(before[text]) for text in before]
        rises.append(statistics.fmean(changes))
        said = rates[each.pk]
        assert said.share, "the loop has judged its questions"
        report.add(
            f"rule's score after round {each.number}", with_interval([statistics.fmean(of) for of in after.values()])
        )
        report.add(f"rise in round {each.number}", with_interval(changes))
        report.add(
            f"win rate over the version before, round {each.number}",
            f"by the rule {with_interval([wins(after[text], before[text]) for text in before])}; by the annotators "
            f"{said.share.value:.3f} ({said.share.low:.3f} to {said.share.high:.3f}), {said.num_judged} questions",
        )
    for version, of in zip(versions, answers, strict=True):
        report.add(f"rule's points by line, {version}", by_line(of))
    if min(rises) <= 0:
        raise SystemExit("A round has not raised the rule's score.")


def fresh_answers(version: ModelVersion, project: Project) -> dict[str, list[str]]:
    """Fresh messages to the version's answers."""
    known = frozenset(prompt.messages[-1]["content"] for prompt in project.prompts.all())
    texts = [ask.text for ask in corpus.asks(HELD_OUT_SEED, NUM_MESSAGES, avoid=known)]
    folder = settings.VAR_DIR / "answers" / version.name
    answers = demo.answer(folder, model=version.folder, texts=texts, samples=SAMPLES, seed=HELD_OUT_SEED)
    return {text: [row["text"] for row in rows] for text, rows in answers.items()}


def by_line(answers: dict[str, list[str]]) -> str:
    """What each line of the rule gives on average: where the points come from, and where some are left."""
    found = [parts(text, each) for text, texts in answers.items() for each in texts]
    means = {name: weight * statistics.fmean(each[name] for each in found) for name, (weight, _what) in RULE.items()}
    return ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
