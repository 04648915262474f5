"""One more token a row through a Llama or one of its kin, straight over the weights.

    enable_steps(model)                                     once, after fuse; does nothing to other architectures
    step = token_step(policy)                               None where the model itself has to be called
    logits = step(tokens, positions, hidden_keys, layers)   (B, V)

While a batch is answered, a small model's products take a quarter of the time; much of the rest is the way to them,
through modules made for any length and any use. Of one token a row, query, key and value are one product and one
rotation, and what is added to the states is added by the product. Reading the prompts is left to the model.
"""

from typing import Any, NamedTuple

import peft
import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear as AdaptedLinear
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from training.rlhf.fused import turned
from training.rlhf.heads import plain_of
from training.rlhf.norms import normed

TOLERANCE = 1e-5
LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer")
MARK = "takes_token_steps"


class _Linear(NamedTuple):
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def added_to(self, states: Tensor, x: Tensor) -> Tensor:
        """states + the layer's (B, out) of x (B, in)."""
        found = torch.addmm(states, x, self.weight.t())
        return found if self.bias is None else found.add_(self.bias)


class _Layer(NamedTuple):
    norm: nn.Module
    read: _Linear
    """Query, key and value, one below the other."""
    attended: _Linear
    second_norm: nn.Module
    gate: _Linear
    up: _Linear
    down: _Linear


class TokenStep:
    """The weights of a model as they are now, adapters added; made anew whenever they change."""

    def __init__(self, model: PreTrainedModel, layers: list[_Layer]) -> None:
        self._trunk: Any = getattr(model, model.base_model_prefix)
        self._head = model.get_output_embeddings()
        self._layers = layers
        attention = self._trunk.layers[0].self_attn
        self._width, self._scaling = attention.head_dim, attention.scaling
        self._num_keys = model.config.num_key_value_heads
        self._group = model.config.num_attention_heads // self._num_keys

    def __call__(self, tokens: Tensor, positions: Tensor, hidden_keys: Tensor | None, layers: list[Any]) -> Tensor:
        """(B, V) logits of what follows `tokens` (B, 1). positions: (B, 1); hidden_keys: (B, 1, 1, keys) 0, or −inf
        where a key is padding; None: none is. layers: of the cache, whose keys are (B, heads, keys, d).
        """
        states = self._trunk.embed_tokens(tokens[:, 0])
        cos, sin = self._trunk.rotary_emb(states.unsqueeze(1), positions)
        for layer, kept in zip(self._layers, layers, strict=True):
            read = layer.read(_norm(layer.norm, states)).view(len(tokens), -1, self._width)
            rotated = turned(read[:, : -self._num_keys], cos, sin, sign=1).unsqueeze(2)
            query, key = rotated[:, : -self._num_keys], rotated[:, -self._num_keys :]
            keys, values = kept.update(key, read[:, -self._num_keys :].unsqueeze(2))
            # the heads that share a key stand in the place of several tokens
            query = query.reshape(len(tokens), self._num_keys, self._group, self._width)
            attended = F.scaled_dot_product_attention(query, keys, values, hidden_keys, scale=self._scaling)
            states = layer.attended.added_to(states, attended.reshape(len(tokens), -1))
            inner = _norm(layer.second_norm, states)
            states = layer.down.added_to(states, F.silu(layer.gate(inner)).mul_(layer.up(inner)))
        return self._head(_norm(self._trunk.norm, states))  # type: ignore[no-any-return]


def token_step(policy: nn.Module) -> TokenStep | None:
    """A step over the policy's weights as they are now; None where they are not to be had as matrices, so in mixed
    precision, in shards, or with adapters that stand beside them.
    """
    model = plain_of(policy) if isinstance(policy, PreTrainedModel | peft.PeftModel) else None
    if model is None or MARK not in vars(model):
        return None
    layers = [_layer(layer) for layer in getattr(model, model.base_model_prefix).layers]
    known = [layer for layer in layers if layer is not None]
    device = model.get_input_embeddings().weight.device
    if len(known) < len(layers) or torch.is_autocast_enabled(device.type):
        return None
    return TokenStep(model, known)


def hidden_keys(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, 1, 1, keys) what is added to the scores of the keys: −inf where the mask (B, keys) is 0."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(mask == 0, -torch.inf)[:, None, None]


@torch.no_grad()
def enable_steps(model: PreTrainedModel) -> bool:
    """Let the model take token steps if they say what it says, which is tried; False where they do not."""
    trunk = getattr(model, model.base_model_prefix, None)
    layers = getattr(trunk, "layers", None)
    if layers is None or any(type(layer).__name__ not in LAYERS for layer in layers):
        return False
    vars(model)[MARK] = True
    device = next(model.parameters()).device
    tokens = torch.arange(1, 11, device=device).view(2, 5) % model.config.vocab_size
    mask = torch.tensor([[1] * 5, [0, 0, 1, 1, 1]], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    caches = [DynamicCache(config=model.config) for _ in range(2)]
    for cache in caches:
        model(tokens[:, :4], attention_mask=mask[:, :4], position_ids=positions[:, :4], past_key_values=cache)
    expected = model(
        tokens[:, 4:], attention_mask=mask, position_ids=positions[:, 4:], past_key_values=caches[0]
    ).logits[:, 0]
    step = token_step(model)
    if step is not None:
        found = step(tokens[:, 4:], positions[:, 4:], hidden_keys(mask, expected.dtype), caches[1].layers)
        if (found - expected).abs().max() <= TOLERANCE * expected.abs().max():
            return True
    del vars(model)[MARK]
    return False


def _layer(layer: Any) -> _Layer | None:
    if type(layer).__name__ not in LAYERS:  # in shards, say
        return None
    attention, inner = layer.self_attn, layer.mlp
    parts = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    found = [_matrix(part) for part in (*parts, inner.gate_proj, inner.up_proj, inner.down_proj)]
    linear = [part for part in found if part is not None]
    if len(linear) < len(found):
        return None
    *three, attended, gate, up, down = linear
    biases = [part.bias for part in three if part.bias is not None]
    read = _Linear(torch.cat([part.weight for part in three]), torch.cat(biases) if len(biases) == len(three) else None)
    if read.bias is None and biases:
        return None
    return _Layer(layer.input_layernorm, read, attended, layer.post_attention_layernorm, gate, up, down)


def _matrix(module: nn.Module) -> _Linear | None:
    """What the module multiplies by now."""
    if type(module) is nn.Linear:
        return _Linear(module.weight, module.bias)
    if type(module) is not AdaptedLinear or "summed" not in vars(module):
        return None
    base: Any = module.base_layer
    if module.disable_adapters or module.merged:
        return _Linear(base.weight, base.bias)
    summed: Tensor | None = vars(module)["summed"]
    return None if summed is None else _Linear(summed, base.bias)


def _norm(module: nn.Module, states: Tensor) -> Tensor:
    norm: Any = module
    return normed(states, norm.weight, norm.variance_epsilon)[0]
