"""The steps of benchmarks/loop.py, each on the product's own pieces. Django is set up before this is imported."""

import io
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command

from annotation.models import Judgment, Project
from annotation.simulation import score
from benchmarks.report import Report, interval, wins, with_interval
from training import actions, snapshots
from training.models import ModelVersion, Run
from training.starter import corpus, demo
from training.tasks import execute_run

STARTER = Path(corpus.__file__).parent
NUM_HELD_OUT, SAMPLES = 200, 2
HELD_OUT_SEED = 91
JUDGMENTS = 612
"""600 comparisons, and the demo's 12 ratings, which lie between them."""

Answers = dict[str, list[dict[str, Any]]]
"""Lines of responses.jsonl by the customer's message."""


def measure(report: Report, *, seed: int) -> None:
    """The whole loop; ends with a sentence when the tuned version does not win."""
    project = prepare_product(report, seed=seed)
    starter, reward, policy = train(report, project, seed=seed)
    known = frozenset(prompt.messages[-1]["content"] for prompt in project.prompts.all())
    texts = [ask.text for ask in corpus.asks(HELD_OUT_SEED, NUM_HELD_OUT, avoid=known)]
    with report.timed("fresh answers"):
        before, after = (
            demo.answer(
                settings.VAR_DIR / "answers" / version.name,
                model=version.folder, reward_model=reward.folder, texts=texts, samples=SAMPLES, seed=HELD_OUT_SEED,
            )
            for version in (starter, policy)
        )  # fmt: skip
    compare(report, before, after)


def start_product(report: Report) -> Project:
    """Database, demo, starter version; the project."""
    with report.timed("start and demo"):
        settings.POSTGRES.start()
        settings.POSTGRES.create_database("plumbline")
        call_command("migrate", verbosity=0)
        call_command("load_demo", stdout=io.StringIO())
        call_command(
            "register_model", str(STARTER / "model"), name="starter", project="support-replies", stdout=io.StringIO()
        )
    return Project.objects.get(slug="support-replies")


def prepare_product(report: Report, *, seed: int) -> Project:
    """The product and its first labels."""
    project = start_product(report)
    with report.timed("labels"):
        call_command(
            "simulate_annotators",
            project="support-replies", annotators=3, judgments=JUDGMENTS, seed=seed, stdout=io.StringIO(),
        )  # fmt: skip
    counted = Judgment.objects.counted().filter(task__project=project, strength__isnull=False)
    report.add("simulated comparisons", f"{counted.count()} of {counted.values('task').distinct().count()} pairs")
    return project


def carry_out(report: Report, project: Project, *, kind: str, config: dict[str, Any], **inputs: Any) -> ModelVersion:
    """One run from start to its version, by the task that a worker carries out; ends with the run's own sentence."""
    with report.timed(f"{kind} run"):
        run = actions.start_run(project, kind=kind, config=config, by=None, **inputs)
        execute_run(run.pk)
    run.refresh_from_db()
    if run.status != Run.Status.SUCCEEDED:
        raise SystemExit(f"The {kind} run {run.status}: {run.error}")
    version: ModelVersion = run.version
    return version


def train(report: Report, project: Project, *, seed: int) -> tuple[ModelVersion, ModelVersion, ModelVersion]:
    """(starter, reward model, tuned policy), as versions."""
    starter = project.model_versions.get(name="starter")
    presets = starter.presets  # what the form of a new run begins with
    with report.timed("snapshot"):
        snapshot = snapshots.freeze(project, by=None)
    common = {"snapshot": snapshot, "model": starter}
    reward = carry_out(report, project, kind="reward", config=presets["reward"] | {"seed": seed}, **common)
    found = reward.metrics
    report.add(
        "reward model, held-out labels",
        f"accuracy {found['accuracy']:.3f} ({found['accuracy_low']:.3f} to {found['accuracy_high']:.3f}), "
        f"“the longer one wins” {found['length_baseline_accuracy']:.3f}, {found['num_pairs']:.0f} pairs",
    )
    config = presets["policy"] | {"seed": seed}
    policy = carry_out(report, project, kind="policy", config=config, reward_model=reward, **common)
    return starter, reward, policy


def compare(report: Report, before: Answers, after: Answers) -> None:
    """What the rule says of both versions' answers, and how well the reward model's order agrees with the rule's."""

    def rule(answers: Answers) -> dict[str, list[float]]:
        return {text: [score(text, row["text"]) for row in rows] for text, rows in answers.items()}

    old, new = rule(before), rule(after)
    report.add("rule's score, starter", with_interval([statistics.fmean(old[text]) for text in old]))
    report.add("rule's score, tuned", with_interval([statistics.fmean(new[text]) for text in new]))
    report.add("rise", with_interval([statistics.fmean(new[text]) - statistics.fmean(old[text]) for text in old]))
    won = [wins(new[text], old[text]) for text in old]
    report.add("win rate over the starter by the rule", with_interval(won))
    pairs = [(rows, old[text]) for text, rows in before.items() if old[text][0] != old[text][1]]
    for name, key in _orders().items():
        right = [float((key(rows[0]) > key(rows[1])) == (scores[0] > scores[1])) for rows, scores in pairs]
        report.add(f"{name}: same order as the rule on the starter's fresh pairs", with_interval(right))
    for name, answers in (("starter", before), ("tuned", after)):
        rows = [row for rows in answers.values() for row in rows]
        ended = statistics.fmean(row["ended"] for row in rows)
        words = statistics.fmean(len(row["text"].split()) for row in rows)
        report.add(
            f"{name}'s answers", f"{words:.1f} words, {ended:.1%} end by themselves, {distinct(rows):.1%} distinct"
        )
    report.notes.append("The first three messages, and the first answer of each version:")
    for text in list(before)[:3]:
        report.notes += [
            "",
            f"* {text}",
            f"  * starter: {before[text][0]['text']}",
            f"  * tuned: {after[text][0]['text']}",
        ]
    if interval(won)[0] <= 0.5:
        raise SystemExit("The win rate's interval does not exclude 0.5: the loop has not made the model better.")


def distinct(rows: list[dict[str, Any]]) -> float:
    return len({row["text"] for row in rows}) / len(rows)


def _orders() -> dict[str, Callable[[dict[str, Any]], float]]:
    return {"reward model": lambda row: row["reward"], "length": lambda row: len(row["text"])}
