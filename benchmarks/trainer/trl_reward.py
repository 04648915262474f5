"""One measured run of TRL's RewardTrainer, by the peer's own Python.

    PEER/bin/python -m benchmarks.trainer.trl_reward WORLD --steps 8 [--defaults]

8 pairs a step in float32, or with its own defaults (bfloat16, gradient checkpointing).
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import RewardConfig, RewardTrainer

from benchmarks.trainer.clock import Clock


class Marks(TrainerCallback):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_train_begin(self, args, state, control, **_):
        self._clock.begin()

    def on_step_end(self, args, state, control, **_):
        self._clock.mark()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--defaults", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(asked.world / "policy")
    lines = [json.loads(line) for line in (asked.world / "preferences.jsonl").read_text().splitlines()]
    rows = []
    for line in lines:
        if line["split"] == "train":
            prompt = line["prompt"][0]["content"]
            a, b = (f"{prompt} {line[name]}<eos>" for name in ("response_a", "response_b"))
            rows.append({"chosen": a if line["target"] else b, "rejected": b if line["target"] else a})
    model = AutoModelForSequenceClassification.from_pretrained(
        asked.world / "reward", num_labels=1, dtype=torch.float32
    )
    precision = {} if asked.defaults else {"bf16": False, "gradient_checkpointing": False}
    config = RewardConfig(
        output_dir=tempfile.mkdtemp(prefix="trl-reward-"),
        per_device_train_batch_size=8,
        max_steps=asked.steps,
        max_length=256,
        learning_rate=1e-6,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **precision,
    )
    trainer = RewardTrainer(
        model=model, args=config, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
        callbacks=[Marks(clock)],
    )  # fmt: skip
    trainer.train()
    clock.report()


if __name__ == "__main__":
    main()
