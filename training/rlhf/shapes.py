"""What the memory of a model depends on, read from its folder: its config and the headers of its safetensors files.

    shape = shape_of("runs/7/artifact")               None where a file is missing: it lies on a hub
    stands_on("my-model", "runs/7/artifact")          whether this reward model needs no trunk of its own

Standard library only: a web page asks without loading torch.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

WINDOWS = ("sliding_window", "attention_chunk_size", "attn_logit_softcapping", "final_logit_softcapping")
"""As training.rlhf.packing refuses them."""
ADAPTER = "adapter"
"""As training.rlhf.adapters calls the folder."""
MOST_AT_ONCE = 4
"""Parts of a batch that pass through a small model at the same time on a CPU, where it has as many threads. They share
the tokens of a pass, which have to be enough for each."""
MOST_WEIGHTS_AT_ONCE = 10_000_000
"""Of a model whose products are too short for threads to share. Every worker has gradients of its own."""


class Shape(NamedTuple):
    """What the memory of a model depends on."""

    num_weights: int
    adapted_width: int
    """Inputs and outputs of all linear layers that adapters go on: rank times this many numbers learn."""
    num_layers: int
    width: int
    inner_width: int
    cache_width: int
    """Of keys, or of values, of all heads together."""
    vocabulary: int
    is_packed: bool
    """As far as its config tells: rows pass through it without padding, up to TOKENS_A_PASS at once."""


def works_side_by_side(num_weights: int) -> bool:
    """Whether parts of a batch should pass through a model of that size at the same time, where a CPU has threads."""
    return num_weights <= MOST_WEIGHTS_AT_ONCE


def shape_of(folder: str) -> Shape | None:
    """Read from a folder's config.json and the headers of its safetensors files; None where they are not there."""
    path = Path(folder)
    files = sorted(path.glob("*.safetensors")) if folder else []
    if not files or not (path / "config.json").is_file():
        return None
    values = json.loads((path / "config.json").read_text(encoding="utf-8"))
    values = values.get("text_config", values)
    tensors = {name: about["shape"] for file in files for name, about in _header(file)}
    width = _first(values, "hidden_size", "n_embd")
    heads = _first(values, "num_attention_heads", "n_head")
    head_width = values.get("head_dim") or width // heads
    matrices = {name: shape for name, shape in tensors.items() if len(shape) == 2 and _is_adapted(name)}
    return Shape(
        num_weights=sum(math.prod(shape) for shape in tensors.values()),
        adapted_width=sum(sum(shape) for shape in matrices.values()),
        num_layers=_first(values, "num_hidden_layers", "n_layer"),
        width=width,
        inner_width=_first(values, "intermediate_size", "n_inner") or 4 * width,
        cache_width=(values.get("num_key_value_heads") or heads) * head_width,
        vocabulary=_first(values, "vocab_size"),
        is_packed=not any(values.get(name) for name in WINDOWS)
        and set(values.get("layer_types") or ["full_attention"]) == {"full_attention"},
    )


def _is_adapted(name: str) -> bool:
    """Whether peft's all-linear takes it: not embeddings, not the output layer."""
    return not any(word in name for word in ("embed", "wte", "wpe", "lm_head", "score"))


def _first(values: Mapping[str, Any], *names: str) -> int:
    return next((int(values[name]) for name in names if values.get(name)), 0)


def _header(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names of a safetensors file with their shapes: a length of 8 bytes, and so much JSON."""
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = json.loads(handle.read(length))
    return ((name, about) for name, about in header.items() if name != "__metadata__")


def stands_on(policy: str, reward_model: str) -> bool:
    """Whether a reward model was tuned by adapters on the very weights that the policy starts from, so that it may
    stand on the trunk of a policy with adapters. Told by the folder that it names as its parent: hashing the weights,
    as the run itself does, would keep a page waiting.
    """
    folder = Path(reward_model)
    if not (folder / ADAPTER / "trunk.json").is_file():
        return False
    parent = json.loads((folder / "plumbline.json").read_text(encoding="utf-8")).get("parent")
    return bool(parent) and Path(parent).resolve() == Path(policy).resolve()


def on_its_trunk(reward_model: str) -> Shape:
    """What such a reward model adds: its adapters and heads."""
    files = (Path(reward_model) / ADAPTER).glob("*.safetensors")
    added = sum(math.prod(about["shape"]) for file in files for _, about in _header(file))
    return Shape(added, 0, 0, 0, 0, 0, 0, is_packed=True)
