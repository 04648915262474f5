"""What stands between the matrix products of a layer, beside its norms, each as one step with its own backward pass.

    fuse(model)                 after enable_packing has found that the model packs
    fuse_adapters(policy)       after adapters are on it
    with adapters_added(policy): ...    while it answers

In a small model on a CPU these parts cost as much as the products: written out, a gate or a rotation passes over its
numbers four to ten times and keeps what it made on the way. Here a gate keeps its two inputs alone, a rotation nothing,
and an adapter is added to its layer's weights before they are used. The numbers are those of the library's
modules but for rounding, which is tried at loading; a part that is not what it looks like stays as it was.
"""

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear as AdaptedLinear
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.packing import packed_attention

TOLERANCE = 1e-5


class _Gate(torch.autograd.Function):
    """silu(gate)·up; the product's first factor is made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        (gradient,) = gradients
        of_gate: Tensor = torch.ops.aten.silu_backward(gradient * up, gate)
        return of_gate, F.silu(gate).mul_(gradient)


class _Rotation(torch.autograd.Function):
    """Pairs of numbers turned by the angle of their position (Su et al. 2021); the gradient is turned back.

    x: (..., heads, d); cos, sin: (..., 1, d), both halves alike.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin, sign=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return turned(gradients[0], cos, sin, sign=-1), None, None


def turned(x: Tensor, cos: Tensor, sin: Tensor, *, sign: int) -> Tensor:
    """What _Rotation gives; sign −1: turned back."""
    half = x.shape[-1] // 2
    turned = x * cos
    turned[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    turned[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return turned


class _Adapted(torch.autograd.Function):
    """x·(W + s·B·A)ᵀ of a frozen W (Hu et al. 2022). x: (N, in); A, first: (rank, in); B, second: (out, rank).

    The sum is made anew each way and kept for neither: it costs what the adapters would for in·out/(in + out) tokens,
    and all others then take one product where they took three.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, first: Tensor, second: Tensor, scale: float
    ) -> Tensor:
        ctx.scale = scale
        ctx.save_for_backward(x, weight, first, second)
        return F.linear(x, torch.addmm(weight, second, first, alpha=scale), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, first, second = ctx.saved_tensors
        (gradient,) = gradients
        of_x = gradient @ torch.addmm(weight, second, first, alpha=ctx.scale) if ctx.needs_input_grad[0] else None
        of_first = (gradient @ second).mul_(ctx.scale).t() @ x if ctx.needs_input_grad[3] else None
        of_second = (gradient.t() @ (x @ first.t())).mul_(ctx.scale) if ctx.needs_input_grad[4] else None
        return of_x, None, None, of_first, of_second, None


def _gated(self: Any, x: Tensor) -> Tensor:
    if _is_mixed(x):
        return type(self).forward(self, x)  # type: ignore[no-any-return]
    gate, up = self.gate_proj(x), self.up_proj(x)
    gated = _Gate.apply(gate, up) if torch.is_grad_enabled() else F.silu(gate).mul_(up)
    return self.down_proj(gated)  # type: ignore[no-any-return]


def _attention(
    self: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    **named: Any,
) -> tuple[Tensor, None]:
    if _is_mixed(hidden_states):
        given = (hidden_states, position_embeddings, attention_mask, past_key_values)
        return type(self).forward(self, *given, **named)  # type: ignore[no-any-return]
    shape = (*hidden_states.shape[:-1], -1, self.head_dim)
    query, key, value = (layer(hidden_states).view(shape) for layer in (self.q_proj, self.k_proj, self.v_proj))
    cos, sin = (part.unsqueeze(2) for part in position_embeddings)
    query, key = (
        _Rotation.apply(states, cos, sin) if torch.is_grad_enabled() else turned(states, cos, sin, sign=1)
        for states in (query, key)
    )
    query, key, value = (states.transpose(1, 2) for states in (query, key, value))
    if past_key_values is not None:
        key, value = past_key_values.update(key, value, self.layer_idx)
    layout = named.get("row_layout")
    attended = packed_attention(self, query, key, value, attention_mask, row_layout=layout, scaling=self.scaling)[0]
    return self.o_proj(attended.reshape(*hidden_states.shape[:-1], -1)), None


def _adapted(self: Any, x: Tensor, *given: Any, **named: Any) -> Tensor:
    if self.disable_adapters or self.merged:
        return self.base_layer(x)  # type: ignore[no-any-return]
    name = self.active_adapters[0]
    base = self.base_layer
    if given or named or _is_mixed(x) or len(self.active_adapters) > 1 or base.weight.requires_grad:
        return type(self).forward(self, x, *given, **named)  # type: ignore[no-any-return]
    if self.summed is not None and not torch.is_grad_enabled():
        return F.linear(x, self.summed, base.bias)
    first, second = self.lora_A[name].weight, self.lora_B[name].weight
    flat = _Adapted.apply(x.reshape(-1, x.shape[-1]), base.weight, base.bias, first, second, self.scaling[name])
    return flat.view(*x.shape[:-1], -1)  # type: ignore[no-any-return]


@contextlib.contextmanager
def adapters_added(model: nn.Module) -> Iterator[None]:
    """Inside, the adapters that are at work stand added to their weights, for who calls the model many times without
    gradient and changes nothing about it; one more set of these weights meanwhile. The weights below stay.
    """
    layers: list[Any] = [module for module in model.modules() if "summed" in vars(module)]
    if not layers or _is_mixed(layers[0].base_layer.weight):
        yield
        return
    for layer in layers:
        if not (layer.disable_adapters or layer.merged):
            name = layer.active_adapters[0]
            first, second = layer.lora_A[name].weight, layer.lora_B[name].weight
            with torch.no_grad():
                layer.summed = torch.addmm(layer.base_layer.weight, second, first, alpha=layer.scaling[name])
    try:
        yield
    finally:
        for layer in layers:
            layer.summed = None


def _is_mixed(x: Tensor) -> bool:
    """Mixed precision says for every single operation what it is computed in, so there the library's own are used."""
    return torch.is_autocast_enabled(x.device.type)


PARTS: dict[str, Callable[..., Any]] = {
    "LlamaMLP": _gated, "MistralMLP": _gated, "Qwen2MLP": _gated, "Qwen3MLP": _gated,
    "LlamaAttention": _attention, "MistralAttention": _attention, "Qwen2Attention": _attention,
}  # fmt: skip


@torch.no_grad()
def fuse(model: PreTrainedModel) -> bool:
    """Let the parts of the model's layers that stand in PARTS work in one step each; False where there are none, or
    where the model would then say something else.
    """
    # one whose forward pass is another's already, as the last layer's, stays
    parts = [module for module in model.modules() if type(module).__name__ in PARTS and "forward" not in vars(module)]
    if not parts or model.config.get_text_config().hidden_act not in ("silu", "swish"):
        return False
    device = next(model.parameters()).device
    tokens = torch.arange(10, device=device).view(2, 5) % model.config.get_text_config().vocab_size
    trunk = getattr(model, model.base_model_prefix, model)
    expected = trunk(input_ids=tokens, use_cache=False).last_hidden_state
    for module in parts:
        module.forward = types.MethodType(PARTS[type(module).__name__], module)
    found = trunk(input_ids=tokens, use_cache=False).last_hidden_state
    if (found - expected).abs().max() <= TOLERANCE * expected.abs().max():
        return True
    for module in parts:
        del module.forward
    return False


def fuse_adapters(model: nn.Module) -> None:
    """The same for plain adapters on linear layers, whatever their number: no dropout, no bias, no variant of LoRA."""
    for module in model.modules():
        if type(module) is AdaptedLinear and _is_plain(module):
            module.forward = types.MethodType(_adapted, module)
            vars(module)["summed"] = None  # or the sum of its weights and adapters


def _is_plain(layer: AdaptedLinear) -> bool:
    drops = any(not isinstance(dropout, nn.Identity) for dropout in layer.lora_dropout.values())
    return isinstance(layer.base_layer, nn.Linear) and not (
        drops or layer.lora_variant or any(layer.lora_bias.values())
    )
