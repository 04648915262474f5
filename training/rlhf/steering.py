"""A policy steered by token values: π(a|h) ∝ π_ref(a|h)·exp(β·(Q(h, a) − V(h))), ILQL's way to act (Snell et al. 2023).

    save_steered(folder, SteeredPolicy(reference, tower, beta=4.0), tokenizer, about=about)
    writer = load_writer("runs/9/artifact", device=device)      # any causal model, steered where its folder says so

A steered policy answers as a causal model does, key-value cache included, so whatever samples or measures a policy
takes it. V is the same for all tokens of a state and goes out in the softmax, so it is not computed. The folder holds
the reference as any tool loads it, and the values in values/.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.distributed import rank
from training.rlhf.heads import PIECE_BYTES, head_of
from training.rlhf.losses import token_logprobs
from training.rlhf.model import (
    load_policy,
    load_trunk,
    merged,
    num_embeddings_of,
    read_about,
    save_model,
    save_weights,
)
from training.rlhf.packing import packs
from training.rlhf.sampling import Responses, response_logits, response_states, response_tokens
from training.rlhf.values import QHeads, ValueTower, make_head

VALUES = "values"
HEADS = "heads.safetensors"


class SteeredPolicy(nn.Module):
    """A frozen causal model and the values that push its probabilities; `config` counts the layers of both, because
    one cache serves both.
    """

    reference: PreTrainedModel
    config: Any

    def __init__(self, reference: PreTrainedModel, tower: ValueTower, *, beta: float) -> None:
        super().__init__()
        self.reference, self.tower, self.beta = reference, tower, beta
        self.config = copy.deepcopy(reference.config)
        self._num_layers = int(self.config.num_hidden_layers)
        self.config.num_hidden_layers *= 2
        if getattr(self.config, "layer_types", None):
            self.config.layer_types = list(self.config.layer_types) * 2

    def get_input_embeddings(self) -> nn.Module:
        embeddings: nn.Module = self.reference.get_input_embeddings()
        return embeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool = False,
        logits_to_keep: int = 0,
    ) -> SimpleNamespace:
        """logits (B, L, V), of the last `logits_to_keep` positions where that is not 0, as a causal model gives."""
        inputs: dict[str, Any] = {"input_ids": input_ids, "use_cache": use_cache}
        if attention_mask is not None:
            inputs["attention_mask"] = attention_mask
        if position_ids is not None:
            inputs["position_ids"] = position_ids
        own, its = self._caches(past_key_values)
        logits: Tensor = self.reference(**inputs, **own, logits_to_keep=logits_to_keep).logits
        hidden = self.tower.trunk(**inputs, **its).last_hidden_state[:, -logits_to_keep:]
        with torch.autocast(hidden.device.type, enabled=False):
            values = self.tower.q.lowest(hidden.to(next(self.tower.q.parameters()).dtype))
        return SimpleNamespace(logits=logits.to(values.dtype) + self.beta * values)

    @torch.no_grad()
    def gained(self, responses: Responses) -> Tensor:
        """(N,) log π − log π_ref of each response token, in nats; each model reads the rows once, packed if it can."""
        reference, tokens, features = self.reference, response_tokens(responses), self.tower.features(responses)
        head: nn.Module = nn.Identity()
        if packs(reference):
            head, states = head_of(reference), response_states(reference, responses, responses.mask)
        else:
            states = response_logits(reference, responses)
        size = max(1, PIECE_BYTES // (features.element_size() * num_embeddings_of(reference)))
        found = []
        for at in range(0, len(tokens), size):
            rows = slice(at, at + size)
            with torch.autocast(features.device.type, enabled=False):
                values = self.tower.q.lowest(features[rows])
            logits = head(states[rows]).to(values.dtype)
            plain, steered = (
                token_logprobs(each, tokens[rows], temperature=1.0) for each in (logits, logits + self.beta * values)
            )
            found.append(steered - plain)
        return torch.cat(found)

    def _caches(self, cache: Cache | None) -> tuple[dict[str, Cache], dict[str, Cache]]:
        """The two models' halves of one cache: views, whose layers are the cache's own."""
        if cache is None:
            return {}, {}
        layers = cache.layers
        own, its = layers[: self._num_layers], layers[self._num_layers :]
        return {"past_key_values": Cache(layers=own)}, {"past_key_values": Cache(layers=its)}


def new_tower(model: str, revision: str, *, num_tokens: int, device: torch.device) -> ValueTower:
    """The model's trunk under new heads for `num_tokens` actions, in float32 and eval mode."""
    trunk = load_trunk(model, revision, device=device)
    width = int(trunk.config.hidden_size)
    q = QHeads(make_head(width, num_tokens), make_head(width, num_tokens))
    return ValueTower(trunk, q, make_head(width, 1)).to(device).eval()


def save_steered(
    folder: Path, policy: SteeredPolicy, tokenizer: PreTrainedTokenizerBase, *, about: Mapping[str, Any]
) -> None:
    """Write the reference as save_model does, and beside it the values (adapters merged) into values/."""
    save_model(folder, policy.reference, tokenizer, about={**about, "steering": {"beta": policy.beta}})
    trunk = merged(policy.tower.trunk)
    assert isinstance(trunk, PreTrainedModel)
    save_weights(folder / VALUES, trunk)
    if rank():
        return
    heads = {"q": policy.tower.q, "v": policy.tower.v}
    tensors = {
        f"{name}.{key}": weight.contiguous()
        for name, head in heads.items()
        for key, weight in head.state_dict().items()
    }
    save_file(tensors, folder / VALUES / HEADS)


def load_writer(model: str, revision: str = "", *, device: torch.device) -> PreTrainedModel | SteeredPolicy:
    """Whatever writes answers: a causal model, or one steered by values where its folder has them."""
    steering = read_about(model).get("steering")
    if steering is None:
        return load_policy(model, revision, device=device)
    reference = load_policy(model, revision, device=device, is_steered=True)
    tower = new_tower(str(Path(model) / VALUES), "", num_tokens=num_embeddings_of(reference), device=device)
    _heads(tower).load_state_dict(load_file(Path(model) / VALUES / HEADS))
    return SteeredPolicy(reference, tower, beta=float(steering["beta"])).requires_grad_(False)


def _heads(tower: ValueTower) -> nn.ModuleDict:
    """What is saved under one name."""
    return nn.ModuleDict({"q": tower.q, "v": tower.v})
