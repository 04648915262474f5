"""How much memory a run will need: from its settings and the shapes of its models, before anything is loaded.

    needed = estimate(config, prompt_tokens=400, response_tokens=128)          None where a model lies on a hub
    refuse_too_large(needed, free=available())

Weights, gradients and Adam's two moments are float32. What a pass keeps for the backward pass is counted from the
layers of a Llama (7·d + 2·d_kv + 4·d_ff numbers a token and layer, as autograd saves them, and 4·d_ff while one layer
goes back); other architectures come near it. The live bytes, and on a CPU with what is held beside them the resident
ones that a person sees, are each within 20 % of what runs take (tests/rlhf/test_memory.py). Standard library only: a
web page asks without loading torch.
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from training.rlhf.config import (
    Config,
    DPOConfig,
    ILQLConfig,
    PolicyConfig,
    RewardConfig,
    TrainingConfig,
)
from training.rlhf.rundir import RunDir
from training.rlhf.shapes import MOST_AT_ONCE, Shape, on_its_trunk, shape_of, stands_on, works_side_by_side

NUMBER = 4
"""Bytes of a float32."""
TOKENS_A_PASS = {"cpu": 2048, "cuda": 65536}
"""As training.rlhf.packing cuts its pieces."""
LOGITS_KEPT, LOGITS_PIECE = 2**29, 2**26
"""As training.rlhf.heads keeps them."""
HEADS_KEEP = 10
"""Hidden layers of the heads of an ilql run that are in memory at once, gradients included."""
LOADED_LATE = 30 * 2**20
"""Bytes on a CPU that libraries take with their first model, beside what they took when they were loaded."""
HOLES = 0.2
"""Freed memory that glibc keeps, by the activations: with this share every kind and size that was measured takes what
is estimated to within 20 % (docs/training.md). No setting gives it back without costing time."""
BYTES_A_TOKEN = 4
"""Of text, about; for data that nobody has encoded yet."""


class Estimate(NamedTuple):
    """Bytes that one process needs at most, beside Python and its libraries."""

    weights: int
    optimizer: int
    gradients: int
    activations: int
    """Of the largest micro-batch, with its logits, and with the gradients of those before it."""
    sampling: int
    """Keys, values and logits while answers are written."""
    held: int
    """What the process keeps beside."""

    @property
    def live(self) -> int:
        """Gradients grow as activations go, and nothing is sampled while the model learns."""
        return self.weights + self.optimizer + max(self.gradients, self.activations, self.sampling)

    @property
    def total(self) -> int:
        """What a person sees the process take."""
        return self.live + self.held


def estimate(
    config: Config, *, device: str = "cpu", prompt_tokens: int = 0, response_tokens: int = 0
) -> Estimate | None:
    """What a run needs whose longest prompt and response are so long (0: as long as the config lets them be).

    None where the shape of a model is not to be had: it lies on a hub.
    """
    if not isinstance(config, TrainingConfig):
        return None
    found = [shape_of(folder) for folder in folders_of(config)]
    if None in found:
        return None
    trained, frozen = split_by_role(config, [shape for shape in found if shape])
    prompt = min(prompt_tokens or config.max_prompt_tokens, config.max_prompt_tokens)
    response = min(response_tokens or config.max_response_tokens, config.max_response_tokens)
    learning = sum(numbers_learned(shape, config) for shape in trained)
    of_each = activations(config, trained, prompt=prompt, response=response, device=device)
    kept = max(of_each)
    of_a_pass = tokens_of_a_pass(config, trained[0], prompt=prompt, response=response, device=device)
    num_workers = workers(config, trained[0], device=device)
    gradients = NUMBER * learning * num_workers
    if of_a_pass < tokens_of_a_step(config, trained[0], prompt=prompt, response=response):
        kept += gradients  # of the passes before
    # each thread has a part of the heap of its own, which keeps what one model gave back while the next needs more
    kept_apart = sum(of_each) - max(of_each) if num_workers > 1 else 0
    return Estimate(
        weights=NUMBER * (sum(shape.num_weights for shape in trained + frozen) + adapters(trained, config)),
        optimizer=2 * NUMBER * learning,
        gradients=gradients,
        activations=kept,
        sampling=sampling(config, trained[0], tokens=prompt + response, response=response),
        held=LOADED_LATE + int(HOLES * sum(of_each)) + kept_apart if device == "cpu" else 0,
    )


def folders_of(config: TrainingConfig) -> list[str]:
    """The models of a run: the one it trains first."""
    if not isinstance(config, PolicyConfig):
        return [config.model]
    value = config.value_model or (config.model if config.value_init == "policy" else config.reward_model)
    return [config.model, config.reward_model, *([config.watcher] if config.watcher else []), value]


def split_by_role(config: TrainingConfig, shapes: list[Shape]) -> tuple[list[Shape], list[Shape]]:
    """Those that learn and those that only answer; shapes: as folders_of names them."""
    own = shapes[0]
    if isinstance(config, ILQLConfig):
        heads = numbers_of_heads(own)
        frozen_target = own._replace(num_weights=heads, adapted_width=0)
        return [own._replace(num_weights=own.num_weights + heads)], [own, frozen_target]
    if not isinstance(config, PolicyConfig):
        return [own], []
    value = shapes[-1]
    scorers = [
        on_its_trunk(folder) if config.lora_rank and stands_on(config.model, folder) else shape
        for folder, shape in zip(folders_of(config)[1:-1], shapes[1:-1], strict=True)
    ]
    has_own_value = config.has_value_model and not config.shares_trunk
    return [own, *([value] if has_own_value else [])], [*scorers, *([] if config.lora_rank else [own])]


def numbers_learned(shape: Shape, config: TrainingConfig) -> int:
    if not config.lora_rank:
        return shape.num_weights
    return config.lora_rank * shape.adapted_width + (numbers_of_heads(shape) if isinstance(config, ILQLConfig) else 0)


def adapters(trained: list[Shape], config: TrainingConfig) -> int:
    """Numbers that learn beside the weights of the models."""
    return config.lora_rank * sum(shape.adapted_width for shape in trained)


def numbers_of_heads(shape: Shape) -> int:
    """Weights of the two heads of action values of an ilql run, and of the hidden layer before each."""
    return 2 * (shape.width * 2 * shape.width + 2 * shape.width * shape.vocabulary)


def rows_of_a_step(config: TrainingConfig) -> int:
    """Rows whose gradient is one: all of a step, unless micro_batch_size says otherwise."""
    if isinstance(config, PolicyConfig):
        whole = config.rollout_batch_size // config.num_minibatches
    else:
        whole = int(getattr(config, "batch_size", 1)) * (2 if isinstance(config, RewardConfig | DPOConfig) else 1)
    size = config.micro_batch_size * (2 if isinstance(config, DPOConfig) else 1)
    return min(whole, size or whole)


def activations(config: TrainingConfig, trained: list[Shape], *, prompt: int, response: int, device: str) -> list[int]:
    """Bytes that the largest micro-batch, or those that share its tokens at the same time, keep for the backward pass,
    logits included, of each model that learns; one model comes after the other.
    """
    tokens = tokens_of_a_pass(config, trained[0], prompt=prompt, response=response, device=device)
    size = NUMBER if config.dtype == "float32" else 0.75 * NUMBER  # norms, gates and sums stay float32
    kept = []
    for shape in trained:
        attention, feed_forward = 7 * shape.width + 2 * shape.cache_width, 4 * shape.inner_width
        # one layer goes back at a time
        whole = feed_forward + shape.num_layers * (attention + feed_forward)
        if isinstance(config, RewardConfig) and shape.is_packed:
            whole -= feed_forward  # of the last layer, which is read at one token a row
        if config.activation_checkpointing:
            whole = shape.num_layers * shape.width + attention + 2 * feed_forward
        cast = 0 if config.dtype == "float32" else NUMBER // 2 * shape.num_weights  # that autocast keeps for a pass
        kept.append(int(tokens * whole * size) + cast)
    kept[0] += logits(config, trained[0], tokens=tokens, prompt=prompt, response=response)
    return kept


def workers(config: TrainingConfig, shape: Shape, *, device: str) -> int:
    """How many have gradients of their own (training.rlhf.beside)."""
    threads = config.num_threads or os.cpu_count() or 1
    is_alone = device != "cpu" or config.processes > 1 or not works_side_by_side(shape.num_weights)
    if is_alone or not isinstance(config, PolicyConfig | RewardConfig):
        return 1
    return min(threads, MOST_AT_ONCE, rows_of_a_step(config))


def tokens_of_a_step(config: TrainingConfig, shape: Shape, *, prompt: int, response: int) -> int:
    """Of all rows whose gradient is one. Two packed answers to one prompt share it."""
    rows = rows_of_a_step(config)
    if isinstance(config, RewardConfig | DPOConfig) and shape.is_packed and rows > 1:
        return rows // 2 * (prompt + 2 * response)
    return rows * (prompt + response)


def tokens_of_a_pass(config: TrainingConfig, shape: Shape, *, prompt: int, response: int, device: str) -> int:
    """Of those that are in memory at once."""
    tokens = tokens_of_a_step(config, shape, prompt=prompt, response=response)
    if not shape.is_packed:
        return tokens
    return min(tokens, max(TOKENS_A_PASS[device], prompt + response))


def logits(config: TrainingConfig, shape: Shape, *, tokens: int, prompt: int, response: int) -> int:
    """Bytes of what is predicted for the response tokens of a micro-batch."""
    if isinstance(config, RewardConfig):
        return 0
    predicted = math.ceil(tokens * response / (prompt + response))
    whole = NUMBER * shape.vocabulary * predicted
    kept, piece = min(whole, LOGITS_KEPT), 2 * min(whole, LOGITS_PIECE)
    if isinstance(config, ILQLConfig):  # two heads, each with a hidden layer of twice the width before its last
        return 2 * kept + piece + NUMBER * predicted * HEADS_KEEP * 2 * shape.width
    return kept + piece


def sampling(config: TrainingConfig, shape: Shape, *, tokens: int, response: int) -> int:
    """Bytes of the key-value cache of a whole rollout, and of one token's logits with their float64 distribution."""
    if not isinstance(config, PolicyConfig):
        return 0
    cache = NUMBER * tokens * shape.num_layers * 2 * shape.cache_width
    summed = NUMBER * shape.num_weights if config.lora_rank else 0  # weights with their adapters added
    return config.rollout_batch_size * (cache + shape.vocabulary * (NUMBER + 3 * 8)) + summed


class Encodes(Protocol):
    """What tells how many tokens a text has: training.rlhf.data.Encoder."""

    def prompt(self, messages: list[dict[str, str]]) -> list[int]: ...

    def response(self, text: str) -> list[int]: ...


class Longest(NamedTuple):
    """By their bytes, of all in a run's data."""

    messages: list[dict[str, str]]
    response: str

    def num_tokens(self, encoder: Encodes | None) -> tuple[int, int]:
        """(prompt, response): as the model reads them, or about, by their bytes, where nobody encodes them."""
        if encoder is not None:
            with contextlib.suppress(
                ValueError, KeyError, TypeError
            ):  # whoever encodes all data says what is wrong with it
                return len(encoder.prompt(self.messages)), len(encoder.response(self.response))
        return size_of(self.messages) // BYTES_A_TOKEN + 1, len(self.response.encode()) // BYTES_A_TOKEN + 1


def size_of(messages: Sequence[Mapping[str, str]]) -> int:
    return sum(len(str(turn["content"]).encode()) for turn in messages)


def longest(run: RunDir) -> Longest:
    """The longest prompt and the longest response in the run's data."""
    messages: list[dict[str, str]] = []
    response = ""
    for path in (run.preferences, run.prompts, run.demonstrations):
        for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                line = json.loads(text)
                messages = max(messages, line.get("prompt") or line.get("messages") or [], key=size_of)
                answers = [str(line.get(name) or "") for name in ("response", "response_a", "response_b")]
                response = max(response, *answers, key=lambda answer: len(answer.encode()))
            except (ValueError, AttributeError, KeyError, TypeError):
                continue  # whoever reads the data for the run says what is wrong with it
    return Longest(messages, response)


def available() -> int | None:
    """Bytes that a new process may take of this machine's memory, or of its control group's; None where it cannot be
    known (not Linux).
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="utf-8"))
        return min(free, limit - int((group / "memory.current").read_text(encoding="utf-8")))
    except (OSError, ValueError):  # no such group, or "max"
        return free


def needed_by(config: Config, run: RunDir, *, device: str, encoder: Encodes | None = None) -> Estimate | None:
    """What a run needs with the data in its folder; None where nobody can tell."""
    prompt, response = longest(run).num_tokens(encoder)
    # a policy writes as much as it may, whatever the data holds
    response = 0 if isinstance(config, PolicyConfig) else response
    return estimate(config, device=device, prompt_tokens=prompt, response_tokens=response)


def refuse_too_large(needed: Estimate, *, free: int) -> None:
    """ValueError with a sentence when the run would not fit. free: bytes on the device, for one process of the run."""
    if needed.total <= free:
        return
    parts = {name: getattr(needed, name) for name in ("activations", "sampling", "gradients")}
    largest = max(parts, key=lambda name: parts[name])
    advice = ADVICE[largest]
    if parts[largest] < needed.weights + needed.optimizer:
        advice = ADVICE["weights"]
    raise ValueError(
        f"this run needs about {gigabytes(needed.total)} of memory, and {gigabytes(free)} are free: "
        f"{gigabytes(needed.weights)} for weights, {gigabytes(needed.optimizer)} for the optimizer, "
        f"{gigabytes(parts[largest])} for {largest}. To make it fit, {advice}."
    )


ADVICE = {
    "activations": "lower micro_batch_size (the result stays the same) or set activation_checkpointing",
    "sampling": "lower rollout_batch_size or max_response_tokens",
    "gradients": "raise lora_rank above 0",
    "weights": "raise lora_rank above 0, use more processes with a GPU each, or choose a smaller model",
}


def gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MB"
