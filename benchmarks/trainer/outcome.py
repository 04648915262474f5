"""Whether the cheaper ways to train end where the dear ones do: the demo's rule on fresh answers, several seeds each.

    python -m benchmarks.trainer.outcome                     about a quarter of an hour on two CPU cores
    python -m benchmarks.trainer.outcome --seeds 5 --out docs/results.md

The demo's pairs, judged by the stated rule with its noise, train one reward model packed and one padded; then PPO tunes
the starter model in each way, with the settings that it brings. The rule has the last word: its mean over answers to
messages that stood in no data. No web, no database.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from annotation.simulation import compare, score
from benchmarks.report import Report, write
from benchmarks.trainer.runs import THREADS
from training.rlhf.__main__ import main as train
from training.starter import corpus, demo

STARTER = demo.MODEL
PRESETS = json.loads((STARTER / "presets.json").read_text(encoding="utf-8"))
HELD_OUT_SEED, NUM_HELD_OUT, LABEL_SEED = 91, 200, 0
LORA = {"value_trunk": "shared", "lora_rank": 16, "lora_alpha": 16, "learning_rate": 1e-3}


@dataclass(frozen=True)
class Way:
    """How a policy is trained."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_padded: bool = False


WAYS = (
    Way("a value model of its own"),
    Way("the same, rows padded", is_padded=True),
    Way("value and policy on one trunk", {"value_trunk": "shared"}),
    Way("LoRA, one trunk", LORA),
)


@contextlib.contextmanager
def padded(is_padded: bool) -> Iterator[None]:
    """Inside, no model that is loaded finds that it can pack."""
    with (
        mock.patch("training.rlhf.model.enable_packing", return_value=False) if is_padded else contextlib.nullcontext()
    ):
        yield


def carried_out(run: Path, kind: str, config: Mapping[str, Any]) -> Path:
    """The artifact of a run whose data lies in its folder; ends with the run's own sentence where it fails."""
    common = {"kind": kind, "model": str(STARTER), "device": "cpu", "num_threads": THREADS, "checkpoint_every": 10**6}
    (run / "config.json").write_text(json.dumps({**common, **PRESETS[kind], **config}), encoding="utf-8")
    if code := train([kind, str(run)]):
        raise SystemExit(f"the {kind} run in {run} ended with {code}.")
    return run / "artifact"


def pairs() -> list[dict[str, Any]]:
    """The demo's pairs as one noisy annotator prefers them; every tenth is held out."""
    rng = random.Random(LABEL_SEED)
    lines = []
    for number, text in enumerate(demo.OUT.read_text(encoding="utf-8").splitlines()):
        task = json.loads(text)
        first, second = (response["text"] for response in task["responses"])
        strength = compare(task["prompt"], first, second, rng=rng).strength
        lines.append(
            {
                "id": str(number),
                "prompt_id": str(number),
                "prompt": [{"role": "user", "content": task["prompt"]}],
                "response_a": first,
                "response_b": second,
                "target": 0.5 + 0.5 * ((strength > 0) - (strength < 0)),
                "strength": strength,
                "split": "test" if number % 10 == 0 else "train",
            }
        )
    return lines


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def reward_model(folder: Path, *, is_padded: bool) -> tuple[Path, float]:
    """Its artifact, and its accuracy on the held-out pairs."""
    write_lines(folder / "preferences.jsonl", pairs())
    with padded(is_padded):
        artifact = carried_out(folder, "reward", {"keep_best": False})
    about = json.loads((artifact / "plumbline.json").read_text(encoding="utf-8"))
    return artifact, about["held_out"]["accuracy"]


def points(folder: Path, model: Path) -> float:
    """The rule's mean over the model's answers to the held-out messages."""
    known = frozenset(pair["prompt"][0]["content"] for pair in pairs())
    texts = [ask.text for ask in corpus.asks(HELD_OUT_SEED, NUM_HELD_OUT, avoid=known)]
    answers = demo.answer(folder, model=model, texts=texts, samples=1, seed=HELD_OUT_SEED)
    return statistics.fmean(score(text, row["text"]) for text, rows in answers.items() for row in rows)


def measure(report: Report, scratch: Path, *, seeds: int) -> None:
    prompts = [{"id": pair["id"], "messages": pair["prompt"], "split": "train"} for pair in pairs()]
    scorers = {}
    for is_padded in (False, True):
        name = "padded" if is_padded else "packed"
        with report.timed(f"reward model, {name}"):
            scorers[is_padded], accuracy = reward_model(scratch / name, is_padded=is_padded)
        report.add(f"reward model, {name}: held-out accuracy", f"{accuracy:.3f}")
    report.add("points of the starter", f"{points(scratch / 'starter', STARTER):.2f}")
    for number, way in enumerate(WAYS):
        found = []
        with report.timed(way.name):
            for seed in range(seeds):
                run = scratch / f"{number}-{seed}"
                write_lines(run / "prompts.jsonl", prompts)
                config = {"reward_model": str(scorers[way.is_padded]), "seed": seed, **way.settings}
                with padded(way.is_padded):
                    artifact = carried_out(run, "policy", config)
                found.append(points(scratch / f"answers-{number}-{seed}", artifact))
        spread = statistics.stdev(found) if seeds > 1 else float("nan")
        each = ", ".join(f"{value:.2f}" for value in found)
        report.add(f"points, {way.name}", f"{statistics.fmean(found):.2f} ± {spread:.2f} ({each})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="Markdown file whose part on equal outcome is replaced")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        measure(report, Path(folder), seeds=asked.seeds)
    command = " ".join(["python -m benchmarks.trainer.outcome", *sys.argv[1:]])
    table = report.markdown(command=command)
    sys.stdout.write("\n" + table)
    if asked.out:
        write(asked.out, table, part="trainer-outcome", title="Where the ways of training end")


if __name__ == "__main__":
    main()
