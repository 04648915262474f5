"""Models small enough to train inside a test (a byte-level tokenizer, a two-layer Llama) and run folders for them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.rlhf.__main__ import main
from training.rlhf.rundir import RunDir, read_events, write_jsonl, write_text
from training.rlhf.steering import new_tower
from training.rlhf.values import ValueTower

TEMPLATE = (
    "{{ '<bos>' }}{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
VOCABULARY_SIZE = 259


def nano_tokenizer(*, with_template: bool = True) -> PreTrainedTokenizerFast:
    """Every byte is a token; <pad> <bos> <eos> are 0 1 2."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<bos>", "<eos>", *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", model_max_length=512
    )
    tokenizer.chat_template = TEMPLATE if with_template else None
    return tokenizer


def save_nano_policy(folder: Path, *, seed: int = 0, num_layers: int = 2, hidden_size: int = 32) -> Path:
    """A causal model with its tokenizer in `folder`, weights fixed by the seed."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    nano_tokenizer().save_pretrained(folder)
    return folder


def save_nano_gpt2(folder: Path, *, seed: int = 0) -> Path:
    """Another architecture: learned positions, and a pad token that is the stop token."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCABULARY_SIZE, n_positions=64, n_embd=16, n_layer=1, n_head=2, eos_token_id=2, pad_token_id=2
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    nano_tokenizer().save_pretrained(folder)
    return folder


def shaken_tower(model: Path) -> ValueTower:
    """A tower whose heads have learned something, as far as anybody can tell."""
    torch.manual_seed(0)
    tower = new_tower(str(model), "", num_tokens=259, device=torch.device("cpu"))
    with torch.no_grad():
        for weight in [*tower.q.parameters(), *tower.v.parameters()]:
            weight.normal_(std=0.3)
    return tower


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def demonstration_lines(count: int = 24) -> list[dict[str, object]]:
    return [
        {
            "id": f"d{index}",
            "prompt_id": f"p{index}",
            "prompt": user(f"{index}: say {chr(97 + index % 5)}"),
            "response": chr(97 + index % 5) * (2 + index % 4),
            "split": "validation" if index % 6 == 5 else "train",
        }
        for index in range(count)
    ]


def preference_lines(count: int = 48) -> list[dict[str, object]]:
    """A rule that length cannot explain: the answer with the digit is better."""
    lines = []
    for index in range(count):
        good, bad = "77" + "x" * (index // 6 % 3), "yy" + "x" * ((index // 6 + 1) % 3)
        a_is_good = index % 2 == 0
        strength = 1 + index % 3
        lines.append(
            {
                "id": f"c{index}",
                "prompt_id": f"p{index}",
                "prompt": user(f"question {index}"),
                "response_a": good if a_is_good else bad,
                "response_b": bad if a_is_good else good,
                "target": 1.0 if a_is_good else 0.0,
                "strength": strength if a_is_good else -strength,
                "split": "test" if index % 6 == 5 else "validation" if index % 6 == 4 else "train",
            }
        )
    return lines


def make_run(path: Path, kind: str, config: dict[str, object], **files: list[dict[str, object]]) -> RunDir:
    """A run folder; files: lines by name, as in preferences=[...]."""
    path.mkdir(parents=True)
    run = RunDir(path)
    write_text(run.config, json.dumps({"kind": kind, **config}))
    for name, lines in files.items():
        write_jsonl(path / f"{name}.jsonl", lines)
    return run


def command(kind: str, run: RunDir, *options: str) -> list[str]:
    return [sys.executable, "-m", "training.rlhf", kind, str(run.path), *options]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def train(kind: str, run: RunDir, *, expect: int = 0) -> list[dict[str, object]]:
    """Run the command's own main to its end in this interpreter, which has torch loaded; the events."""
    handlers = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = main([kind, str(run.path)])
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)
    assert code == expect, run.stderr.read_text()[-2000:]
    return events_of(run)


def train_by_command(kind: str, run: RunDir) -> list[dict[str, object]]:
    """Run the real command to its end and give back the events."""
    done = subprocess.run(command(kind, run), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return events_of(run)


def events_of(run: RunDir, type_: str | None = None) -> list[dict[str, object]]:
    return [event for event in read_events(run.events, 0)[0] if type_ in (None, event["type"])]


def train_and_kill(kind: str, run: RunDir, *, at_step: int, sign: signal.Signals = signal.SIGKILL) -> int:
    """Run the real command, send the signal once its events show `at_step`, and give back the exit code."""
    process = subprocess.Popen(command(kind, run), env=environment(), stderr=subprocess.DEVNULL)
    while process.poll() is None:
        steps = [event["step"] for event in events_of(run, "progress")]
        if steps and steps[-1] >= at_step:
            process.send_signal(sign)
            break
        time.sleep(0.005)
    return process.wait(timeout=60)
