"""One measured run of TRL's experimental PPO (1.12, the last release line that has one), by the peer's own Python.

    PEER/bin/python -m benchmarks.trainer.trl_ppo WORLD --steps 4 [--lora-rank 16]

64 rollouts a step, 4 passes of 4 minibatches, one optimizer step each; policy, reference, value and reward model in
float32. Sampling and scoring are told apart by its own functions' calls.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import peft
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

from benchmarks.trainer.clock import Clock


class Marks(TrainerCallback):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_train_begin(self, args, state, control, **_):
        self._clock.begin()

    def on_step_end(self, args, state, control, **_):
        self._clock.mark()


def time_phases(clock: Clock) -> None:
    """Sampling is batch_generation; scoring lasts until the policy is first called together with its value model."""
    sample, forward = ppo_trainer.batch_generation, ppo_trainer.forward
    scoring_since: list[float] = []

    def timed_sample(*given):
        began = time.perf_counter()
        result = sample(*given)
        scoring_since[:] = [time.perf_counter()]
        clock.phase("sample", scoring_since[0] - began)
        return result

    def timed_forward(model, *given):
        if scoring_since and isinstance(model, ppo_trainer.PolicyAndValueWrapper):
            clock.phase("score", time.perf_counter() - scoring_since.pop())
        return forward(model, *given)

    ppo_trainer.batch_generation, ppo_trainer.forward = timed_sample, timed_forward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lora-rank", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(asked.world / "policy", padding_side="left")
    lines = [json.loads(line) for line in (asked.world / "prompts.jsonl").read_text().splitlines()]
    rows = [{"input_ids": tokenizer(line["messages"][0]["content"])["input_ids"]} for line in lines]
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(asked.world / "policy", dtype=torch.float32) for _ in range(2)
    )
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(asked.world / "reward", num_labels=1, dtype=torch.float32)
        for _ in range(2)
    )
    lora = peft.LoraConfig(r=asked.lora_rank, lora_alpha=16, target_modules="all-linear") if asked.lora_rank else None
    config = PPOConfig(
        output_dir=tempfile.mkdtemp(prefix="trl-ppo-"),
        per_device_train_batch_size=64,
        gradient_accumulation_steps=1,
        num_mini_batches=4,
        num_ppo_epochs=4,
        total_episodes=64 * asked.steps,
        response_length=64,
        local_rollout_forward_batch_size=64,
        temperature=1.0,
        stop_token_id=tokenizer.eos_token_id,
        learning_rate=1e-6,
        kl_coef=0.05,
        num_sample_generations=0,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        gradient_checkpointing=False,
    )
    time_phases(clock)
    trainer = PPOTrainer(
        args=config, processing_class=tokenizer, model=policy, ref_model=None if lora else reference,
        reward_model=reward, value_model=value, train_dataset=Dataset.from_list(rows), peft_config=lora,
        callbacks=[Marks(clock)],
    )  # fmt: skip
    if lora:
        del reference
    trainer.train()
    clock.report()


if __name__ == "__main__":
    main()
