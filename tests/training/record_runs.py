"""Record small runs that go wrong, for the tests of the run doctor: python -m tests.training.record_runs [name ...]

Every recording is the curves of a real run of the trainer on a model of two layers: most by settings that nobody should
choose, two by a fault put into the trainer for the time of the recording (the trainer has no setting that causes them).
It takes some minutes and rewrites tests/training/recorded/.
"""

import contextlib
import json
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from tests.rlhf.nano import demonstration_lines, events_of, make_run, preference_lines, save_nano_policy, train, user
from training.rlhf import rewards
from training.rlhf import train_policy as policy_loop
from training.rlhf.rundir import RunDir

FOLDER = Path(__file__).parent / "recorded"
KEPT = (
    "reward/mean", "reward/std", "reward/watched", "reward_part/model", "kl/sequence", "policy/entropy",
    "policy/first_ratio_error", "value/explained_variance", "response/length", "response/ended", "validation/loss",
    "validation/accuracy",
)  # fmt: skip
NUM_PROMPTS = 24


def main(only: Sequence[str] = ()) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = taught(folder)
        for recording, settings in policy_settings(models).items():
            if only and recording not in only:
                continue
            with FAULTS.get(recording, contextlib.nullcontext)(), mock.patch.object(rewards, "own_reward", own_reward):
                record(folder, recording, "policy", settings, prompts=prompt_lines())
        if not only or PEOPLE in only:
            record_people(folder, models)
        if not only:
            record_learners(folder, models)


def own_reward(_name: str) -> rewards.OwnReward:
    """Stands for an installed function: the number of characters, 4 of them for 1."""
    return lambda _prompts, texts: [len(text) / 4 for text in texts]


def taught(folder: Path) -> dict[str, str]:
    """A policy that answers 77 or yy and a few x, a reward model that likes the 77, and one that likes x."""
    start = save_nano_policy(folder / "start")
    sft = make_run(
        folder / "sft", "sft", {"model": str(start), "learning_rate": 1e-2, "batch_size": 24, "epochs": 8},
        demonstrations=[
            {"id": f"d{i}", "prompt_id": f"p{i}", "prompt": user(f"question {i % 30}"), "split": "train",
             "response": ("77", "yy")[i % 2] + "x" * (i % 5)}
            for i in range(120)
        ],
    )  # fmt: skip
    train("sft", sft)
    judges = {
        "reward_model": rule_model(folder / "digits", sft, lambda n: ("77" + "x" * (n % 3), "yy" + "x" * (n % 2)))
    }
    judges["longer"] = rule_model(folder / "longer", sft, lambda n: ("77" + "x" * (n % 3 + 3), "77" + "x" * (n % 3)))
    judges["rare"] = rule_model(folder / "rare", sft, lambda n: ("77" if n % 16 == 3 else "y" * (n % 3 + 1), "yy"))
    return {"model": str(sft.artifact), "untaught": str(start), **judges}


def rule_model(path: Path, sft: RunDir, pair: Callable[[int], tuple[str, str]]) -> str:
    """A reward model of pairs (better, worse), told apart where they begin with another letter."""
    lines = []
    for n in range(48):
        good, bad = pair(n)
        a, b = (good, bad) if n % 2 else (bad, good)
        target = 0.5 if good[0] == bad[0] == "y" else float(n % 2)
        lines.append(
            {"id": f"c{n}", "prompt_id": f"p{n}", "prompt": user(f"question {n}"), "response_a": a, "response_b": b,
             "target": target, "strength": 1.0 if n % 2 else -1.0, "split": "test" if n % 6 == 5 else "train"}
        )  # fmt: skip
    settings = {"model": str(sft.artifact), "learning_rate": 3e-3, "batch_size": 16, "epochs": 4, "keep_best": False}
    run = make_run(path, "reward", settings, preferences=lines)
    train("reward", run)
    return str(run.artifact)


def prompt_lines() -> list[dict[str, object]]:
    return [{"id": f"p{n}", "messages": user(f"question {n}"), "split": "train"} for n in range(NUM_PROMPTS)]


def policy_settings(models: dict[str, str]) -> dict[str, dict[str, object]]:
    """The settings of each recording, by its name."""
    healthy: dict[str, object] = {
        "model": models["model"], "reward_model": models["reward_model"], "num_steps": 24, "rollout_batch_size": 32,
        "num_minibatches": 2, "ppo_epochs": 2, "learning_rate": 1e-3, "max_response_tokens": 10, "kl_coef": 0.1,
        "value_coef": 1.0, "sample_every": 100, "checkpoint_every": 100,
    }  # fmt: skip
    # A judge that only counts characters, and nothing that holds the policy back.
    counted = {**healthy, "own_reward": "length", "kl_coef": 0.0, "learning_rate": 3e-3, "replace_missing_eos": False}
    return {
        "healthy": healthy,
        "first_ratio": healthy,
        "negative_kl": {**healthy, "learning_rate": 3e-3},
        "no_end": {**counted, "max_response_tokens": 3},
        "length_drift": {**counted, "max_response_tokens": 24, "num_steps": 40},
        "over_optimised": {**counted, "watcher": models["reward_model"], "max_response_tokens": 24, "num_steps": 40},
        "out_of_range": {**healthy, "reward_model": models["rare"], "kl_coef": 0.0},
        "kl_runaway": {**counted, "max_response_tokens": 48, "num_steps": 60},
        "entropy_collapse": {**healthy, "kl_coef": 0.0, "learning_rate": 3e-3, "num_steps": 80, "ppo_epochs": 4},
        "unexplained": {**healthy, "reward_model": models["longer"], "kl_coef": 0.0, "max_response_tokens": 48,
                        "num_steps": 40, "learning_rate": 1e-2, "replace_missing_eos": False},
    }  # fmt: skip


@contextlib.contextmanager
def another_temperature() -> Iterator[None]:
    """Sampled at a temperature three times that of the update: the KL's estimate turns negative."""
    real = policy_loop.sample

    def hotter(*args: object, temperature: float, **options: object) -> object:
        return real(*args, temperature=3 * temperature, **options)

    with mock.patch.object(policy_loop, "sample", hotter):
        yield


@contextlib.contextmanager
def dropped_out() -> Iterator[None]:
    """The log-probabilities stored with the answers are off by a little, as dropout would have it."""
    real = policy_loop.appraise

    def noisy(*args: object, **options: object) -> object:
        experience = real(*args, **options)
        return experience._replace(logprobs=experience.logprobs * 1.1)

    with mock.patch.object(policy_loop, "appraise", noisy):
        yield


FAULTS = {"negative_kl": another_temperature, "first_ratio": dropped_out}


PEOPLE = "people_disagree"
"""A round after an over-optimised run: what people say of its answers beside those of its start."""


def record_people(folder: Path, models: dict[str, str]) -> None:
    """The policy is paid for characters; people like an answer that begins with 77, and brevity."""
    settings = policy_settings(models)["over_optimised"]
    run = make_run(folder / PEOPLE, "policy", settings, prompts=prompt_lines())
    with mock.patch.object(rewards, "own_reward", own_reward):
        train("policy", run)
    summary = events_of(run, "done")[-1]["summary"]
    theirs, ours = (answers(folder / f"{PEOPLE}-{n}", path) for n, path in enumerate((models["model"], run.artifact)))
    rng = random.Random(0)
    lines = [
        {"ours": after, "theirs": before, "vote": vote(after, before, rng=rng)}
        for before, after in zip(theirs, ours, strict=True)
        if before != after
    ]
    kept = {name: round(summary[name], 5) for name in ("reward/mean/first", "reward/mean")}  # type: ignore[index]
    write(PEOPLE, [{"kind": "policy", "settings": shown(settings), "summary": kept}, *lines])


def answers(path: Path, model: str | Path) -> list[str]:
    """Four answers to every prompt."""
    settings = {"model": str(model), "samples_per_prompt": 4, "max_response_tokens": 24, "split": "all", "seed": 1}
    run = make_run(path, "generate", settings, prompts=prompt_lines())
    train("generate", run)
    return [json.loads(line)["text"] for line in run.responses.read_text().splitlines()]


def vote(ours: str, theirs: str, *, rng: random.Random) -> int:
    """1, 0 or -1: a choice of Bradley and Terry between the points that people give, and a tie where these are near."""
    points = [2.0 * text.startswith("77") - 0.25 * max(0, len(text) - 4) for text in (ours, theirs)]
    chance = rng.uniform(1e-9, 1 - 1e-9)
    felt = points[0] - points[1] + math.log(chance / (1 - chance))
    return 0 if abs(felt) < 0.3 else 1 if felt > 0 else -1


def record_learners(folder: Path, models: dict[str, str]) -> None:
    """Runs that learn from examples: too often from too few, and labels without a rule."""
    few = demonstration_lines(12)
    settings = {"model": models["untaught"], "learning_rate": 1e-2, "batch_size": 4, "epochs": 40, "evaluate_every": 5}
    record(folder, "overfitted", "sft", settings, demonstrations=few)
    contrary = [
        line | ({"target": 1 - float(str(line["target"]))} if line["split"] == "validation" else {})
        for line in preference_lines()
    ]
    settings = {"model": models["model"], "learning_rate": 3e-3, "batch_size": 8, "epochs": 4, "evaluate_every": 2}
    record(folder, "learns_nothing", "reward", settings, preferences=contrary)


def record(folder: Path, name: str, kind: str, settings: dict[str, object], **files: list[dict[str, object]]) -> None:
    run = make_run(folder / name, kind, settings, **files)
    train(kind, run)
    lines = [
        {key: round(value, 5) for key, value in event["values"].items() if key in KEPT}  # type: ignore[attr-defined]
        for event in events_of(run, "metrics")
    ]
    write(name, [{"kind": kind, "settings": shown(settings)}, *(line for line in lines if line)])


def shown(settings: dict[str, object]) -> dict[str, object]:
    """Without what is a folder of this machine."""
    return {key: value for key, value in settings.items() if not str(value).startswith("/")}


def write(name: str, content: Sequence[dict[str, object]]) -> None:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in content))
    sys.stdout.write(f"{name}: {len(content) - 1} lines\n")


if __name__ == "__main__":
    main(sys.argv[1:])
