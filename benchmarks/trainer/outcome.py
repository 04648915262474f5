"""Whether the cheaper ways to train end where the dear ones do: the demo's rule on fresh answers, several seeds each.

    python -m benchmarks.trainer.outcome                     about a quarter of an hour on two CPU cores
    python -m benchmarks.trainer.outcome --ways lora rloo grpo --seeds 4 --out docs/results.md

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
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from annotation.simulation import compare, score
from benchmarks.report import conditions, write
from benchmarks.trainer.runs import THREADS
from training.rlhf.__main__ import main as train
from training.rlhf.rundir import read_events
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


WAYS = {
    "own": Way("a value model of its own"),
    "padded": Way("the same, rows padded", is_padded=True),
    "shared": Way("one trunk", {"value_trunk": "shared"}),
    "lora": Way("LoRA (rank 16, rate 1e-3), one trunk", LORA),
    "rloo": Way("RLOO, 4 answers a prompt", {"algorithm": "rloo"}),
    "grpo": Way("GRPO, 4 answers a prompt", {"algorithm": "grpo"}),
}
NUM_LAST = 5
"""Steps at the end whose explained variance is averaged."""


@contextlib.contextmanager
def padded(is_padded: bool) -> Iterator[None]:
    """Inside, no model that is loaded finds that it can pack."""
    with (
        mock.patch("training.rlhf.model.enable_packing", return_value=False) if is_padded else contextlib.nullcontext()
    ):
        yield


def carried_out(run: Path, kind: str, config: Mapping[str, Any]) -> Path:
    """The artifact of a run whose data lies in its folder; ends with the run's own sentence where it fails."""
    common = {"kind": kind, "model": str(STARTER), "device": "cpu", "checkpoint_every": 10**6}
    common |= {"num_threads": int(os.environ["OMP_NUM_THREADS"])}
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


def explained_variance(run: Path) -> str:
    """Of the value model's values, in the last steps; "" where there is none."""
    events, _ = read_events(run / "events.jsonl", 0)
    values = [event["values"] for event in events if event["type"] == "metrics"][-NUM_LAST:]
    name = "value/explained_variance"
    return f"{statistics.fmean(each[name] for each in values):.2f}" if name in values[-1] else ""


def reward_models(scratch: Path, *, is_padded: Iterable[bool]) -> tuple[dict[bool, Path], list[str]]:
    """Those that the ways are tuned against, and how right each is."""
    found, sentences = {}, []
    for padded_too in sorted(set(is_padded)):
        name = "padded" if padded_too else "packed"
        found[padded_too], accuracy = reward_model(scratch / name, is_padded=padded_too)
        sentences.append(f"the {name} reward model is right about {accuracy:.1%} of the held-out pairs")
    return found, sentences


HEAD = "| way | points, seed by seed | mean ± deviation | explained variance | CPU s a run |\n" + "| --- " * 5 + "|"


def row(way: Way, scratch: Path, *, reward: Path, seeds: int) -> str:
    """One line of the table. The explained variance is the mean of the seeds'."""
    prompts = [{"id": pair["id"], "messages": pair["prompt"], "split": "train"} for pair in pairs()]
    found, cpu_seconds, explained = [], [], []
    for seed in range(seeds):
        run = scratch / f"{way.name}-{seed}"
        write_lines(run / "prompts.jsonl", prompts)
        began = time.process_time()
        with padded(way.is_padded):
            artifact = carried_out(run, "policy", {"reward_model": str(reward), "seed": seed, **way.settings})
        cpu_seconds.append(time.process_time() - began)
        explained.append(explained_variance(run))
        found.append(points(scratch / f"answers-{way.name}-{seed}", artifact))
        said(f"{way.name}, seed {seed}: {found[-1]:.2f} points, {cpu_seconds[-1]:.0f} CPU s, {explained[-1]}")
    spread = f" ± {statistics.stdev(found):.2f}" if seeds > 1 else ""
    variance = f"{statistics.fmean(map(float, explained)):.2f}" if all(explained) else ""
    each = ", ".join(f"{value:.2f}" for value in found)
    cells = [
        way.name,
        each,
        f"{statistics.fmean(found):.2f}{spread}",
        variance,
        f"{statistics.median(cpu_seconds):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def said(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="Markdown file whose part on equal outcome is replaced")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    ways = [WAYS[name] for name in asked.ways]
    lines = [HEAD]
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        scratch = Path(folder)
        models, sentences = reward_models(scratch, is_padded=[way.is_padded for way in ways])
        sentences.append(f"the starter has {points(scratch / 'starter', STARTER):.2f} points")
        for way in ways:
            lines.append(row(way, scratch, reward=models[way.is_padded], seeds=asked.seeds))
            said(lines[-1])
    threads = f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    command = " ".join([threads, "python -m benchmarks.trainer.outcome", *sys.argv[1:]])
    table = conditions(command) + "\n".join(lines) + f"\n\nBeside it: {', '.join(sentences)}.\n"
    said("\n" + table)
    if asked.out:
        write(asked.out, table, part="trainer-outcome", title="Where the ways of training end")


if __name__ == "__main__":
    main()
