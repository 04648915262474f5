"""A reward model on real judgments, imported by the product's importer and trained through its pages.

    python -m benchmarks.real_data ratings_squality.jsonl --out docs/results.md     (needs a Chromium)

The file is SQuALITY's human evaluation (Wang et al. 2022, CC-BY-4.0), a line a question: three answers (two by models,
one by a person) ranked by three annotators. It is not part of this repository. Each annotator's ranks become pairs; the
split is the product's own, by prompt.

The stories themselves are not in the file, so nothing can be learned about correctness: what a model can pick up is how
the better-ranked answers are written.
"""

import argparse
import datetime
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import write
from tests.browser import driving
from tests.product import REPO, Product, data_folder, running_product

SLUG = "squality"
SETTINGS = {
    "learning_rate": 1e-3,
    "epochs": 10,
    "warmup_steps": 5,
    "evaluate_every": 5,
    "max_prompt_tokens": 64,
    "max_response_tokens": 512,
}
SEEDS = (0, 1, 2)
"""With so few pairs one training is one draw, so every seed is reported."""


def pairs(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Import lines of one question: for every annotator and two answers, which they ranked higher (ties left out)."""
    texts = {response["model"]: response["text"] for response in row["responses"]}
    prompt = f"Story {row['passage_id']}. {row['prompt']}"  # the same question is asked of many stories
    ranks: dict[str, dict[str, int]] = {}
    for rating in row["annotations"]:
        ranks.setdefault(rating["annotator"], {})[rating["model"]] = rating["overall_rank"]
    for annotator, given in ranks.items():
        for one, other in itertools.combinations(sorted(given), 2):
            if given[one] == given[other]:
                continue
            better, worse = (one, other) if given[one] < given[other] else (other, one)
            yield {
                "prompt": prompt,
                "chosen": texts[better],
                "rejected": texts[worse],
                "chosen_source": better,
                "rejected_source": worse,
                "annotator": f"squality-{annotator}",
            }


def train_through_the_pages(product: Product, lines: Path) -> list[dict[str, Any]]:
    """Make the project, import, freeze, train once a seed; each finished run's summary, counts and seconds."""
    with driving.chromium() as browser:
        carol = driving.enter(browser, product, "carol")
        carol.goto("/projects/new/")
        carol.locator("[name=name]").fill("SQuALITY")
        carol.locator("[name=slug]").fill(SLUG)
        carol.get_by_role("button", name="Create project").click()
        carol.wait_for_url(f"**/projects/{SLUG}/**")
        print(product.manage("import_data", "--project", SLUG, str(lines)).strip())
        model = REPO / "training" / "starter" / "model"
        product.manage("register_model", str(model), "--name", "starter", "--project", SLUG)
        driving.freeze(carol, SLUG, test_share=0.4)
        for seed in SEEDS:
            carol.goto(f"/runs/new/?project={SLUG}&kind=reward")
            driving.start_run(carol, seed=seed, **SETTINGS)
            driving.wait_for_status(carol)
    code = (
        "import json; from training.models import Run;"
        f"runs = Run.objects.filter(project__slug='{SLUG}').order_by('pk');"
        "print(json.dumps([{'summary': run.summary, 'splits': run.snapshot.counts['splits'],"
        " 'seconds': (run.finished_at - run.started_at).total_seconds()} for run in runs]))"
    )
    found: list[dict[str, Any]] = json.loads(product.manage("shell", "-v", "0", "-c", code).strip().splitlines()[-1])
    return found


def section(runs: list[dict[str, Any]]) -> str:
    """Markdown: what was done, the figures of every seed, the calibration of all seeds' predictions together."""
    summaries = [run["summary"] for run in runs]
    first, splits = summaries[0], runs[0]["splits"]
    low, high = first["length_baseline_low"], first["length_baseline_high"]
    bins = [
        (sum(one["predicted"] * one["n"] for one in same), sum(one["observed"] * one["n"] for one in same), num)
        for same in zip(*(summary["calibration"] for summary in summaries), strict=True)
        if (num := sum(one["n"] for one in same))
    ]
    lines = [
        f"`python -m benchmarks.real_data ratings_squality.jsonl`, {datetime.date.today()}, 2 CPU cores. SQuALITY's",
        "human evaluation (Wang et al. 2022, CC-BY-4.0): 35 questions, 3 answers each, ranked by 3 people, imported,",
        "frozen (40 % of the prompts held out) and trained through the pages, from the starter model. The stories are",
        "not in the file, so what is learned is how better-ranked answers are written: one of the three is a person's.",
        "",
        f"Pairs: {splits['train']['pairs']} train, {splits['validation']['pairs']} validation,",
        f"{splits['test']['pairs']} held out ({first['num_decided']} of them decided). “The longer one wins”:",
        f"{first['length_baseline_accuracy']:.3f} [{low:.3f}, {high:.3f}].",
        "",
        "| seed | held-out accuracy, 95 % interval | log loss | ECE, 10 bins | seconds |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {seed} | {found['accuracy']:.3f} [{found['accuracy_low']:.3f}, {found['accuracy_high']:.3f}] "
            f"| {found['log_loss']:.3f} | {found['ece']:.3f} | {run['seconds']:.0f} |"
            for seed, run, found in zip(SEEDS, runs, summaries, strict=True)
        ),
        "",
        "Calibration, all seeds together:",
        "",
        "| predicted P(first is better) | observed | pairs |",
        "| --- | --- | --- |",
        *(f"| {predicted / num:.2f} | {observed / num:.2f} | {num} |" for predicted, observed, num in bins),
        "",
        "Settings: "
        + ", ".join(f"{key} {value}" for key, value in SETTINGS.items())
        + "; the others as the starter's presets.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="ratings_squality.jsonl")
    parser.add_argument("--out", type=Path, help="Markdown file whose part on real judgments is replaced")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        raise SystemExit(f"{arguments.file} is not there: name SQuALITY's human ratings, a question a line.")
    rows = [json.loads(line) for line in arguments.file.read_text(encoding="utf-8").splitlines()]
    with data_folder() as var, running_product(var, demo=True) as product:
        lines = var / "squality.jsonl"
        lines.write_text("".join(json.dumps(pair) + "\n" for row in rows for pair in pairs(row)), encoding="utf-8")
        runs = train_through_the_pages(product, lines)
    table = section(runs)
    print(f"\n{table}")
    if arguments.out:
        write(arguments.out, table, part="real-data", title="A reward model on real judgments")


if __name__ == "__main__":
    main()
