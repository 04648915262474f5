"""Parts of a layer in one step: the numbers and gradients of the library's own, and nothing else taken for one."""

import copy

import pytest
import torch
from torch.autograd import gradcheck
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.llama.modeling_llama import LlamaMLP, apply_rotary_pos_emb

from training.rlhf import fused
from training.rlhf.fused import fuse, fuse_adapters
from training.rlhf.model import add_lora
from training.rlhf.packing import enable_packing, packed_states

SHAPE = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3, "head_dim": 4,
}  # fmt: skip
MODELS = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": None}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {}),
}


def make(name: str, **more: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config, model, own = MODELS[name]
    return model(config(**SHAPE | own | more)).eval()


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_the_backward_passes_are_those_of_their_formulas():
    torch.manual_seed(0)
    cos, sin = (torch.randn(3, 1, 2, dtype=torch.float64).repeat(1, 1, 2) for _ in range(2))
    for step, inputs in (
        (fused._Gate, (numbers(3, 4), numbers(3, 4))),
        (fused._Rotation, (numbers(3, 2, 4), cos, sin)),
        (fused._Adapted, (numbers(5, 4), numbers(3, 4).detach(), None, numbers(2, 4), numbers(3, 2), 0.7)),
        (fused._Adapted, (numbers(5, 4), numbers(3, 4).detach(), numbers(3).detach(), numbers(2, 4), numbers(3, 2), 2)),
    ):
        assert gradcheck(step.apply, inputs), step


def test_a_rotation_is_the_librarys():
    query, key = torch.randn(2, 5, 3, 8), torch.randn(2, 5, 1, 8)
    angles = torch.randn(2, 5, 4).repeat(1, 1, 2)
    cos, sin = angles.cos(), angles.sin()
    expected = apply_rotary_pos_emb(query.transpose(1, 2), key.transpose(1, 2), cos, sin)
    found = [fused._Rotation.apply(states, cos.unsqueeze(2), sin.unsqueeze(2)) for states in (query, key)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.transpose(1, 2), other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_says_and_learns_what_it_did(name):
    """Packed, padded, and token by token with a cache."""
    plain, fast = make(name), make(name)
    tokens = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0]])
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    for model in (plain, fast):
        assert enable_packing(model)
    assert fuse(fast) and any("forward" in vars(module) for module in fast.modules())
    outputs = []
    for model in (plain, fast):
        cached = model(input_ids=tokens[:1, :4], use_cache=True)
        after = model(input_ids=tokens[:1, 4:], past_key_values=cached.past_key_values).logits
        packed = packed_states(model.model, tokens, mask)
        (packed.square().sum() + model(input_ids=tokens, attention_mask=mask.long()).logits[mask].sum()).backward()
        gradients = [weight.grad for weight in model.parameters()]
        outputs.append([packed, after, *gradients])
    for found, expected in zip(outputs[1], outputs[0], strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("name", ["llama", "qwen2"])  # without and with biases
def test_adapters_give_what_peft_gives(name):
    tokens = torch.tensor([[3, 4, 5, 6, 7]])
    plain, fast = (add_lora(make(name), rank=2, alpha=3.0) for _ in range(2))
    for module in plain.modules():
        vars(module).pop("forward", None)
    outputs = []
    for model in (plain, fast):
        torch.manual_seed(1)
        for key, weight in model.named_parameters():
            if "lora_" in key:
                torch.nn.init.normal_(weight, std=0.2)
        logits = model(input_ids=tokens).logits
        logits.square().sum().backward()
        outputs.append([logits, *(weight.grad for weight in model.parameters() if weight.requires_grad)])
        with model.disable_adapter():
            outputs[-1].append(model(input_ids=tokens).logits)
    assert any("forward" in vars(module) for module in fast.modules())
    for found, expected in zip(outputs[1], outputs[0], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_what_only_looks_like_a_part_stays_as_it_was(monkeypatch):
    """A gate that is shifted, under a name that we know; another activation."""

    def other(self: LlamaMLP, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x) + 1) * self.up_proj(x))

    monkeypatch.setattr(LlamaMLP, "forward", other)
    model = make("llama")
    assert not fuse(model) and not any("forward" in vars(module) for module in model.modules())
    assert not fuse(make("llama", hidden_act="gelu"))


def test_a_copy_works_on_its_own_weights():
    model = make("llama")
    assert fuse(model)
    tokens, twin = torch.tensor([[3, 4, 5]]), copy.deepcopy(model)
    before = model(input_ids=tokens).logits
    with torch.no_grad():
        for module in twin.modules():
            if isinstance(module, LlamaMLP):
                module.up_proj.weight.mul_(2)
    assert torch.equal(model(input_ids=tokens).logits, before)
    assert not torch.allclose(twin(input_ids=tokens).logits, before)


def test_only_plain_adapters_are_taken():
    model = add_lora(make("llama"), rank=2, alpha=1.0)
    layer = model.base_model.model.model.layers[0].mlp.up_proj
    del layer.forward
    layer.lora_dropout["default"] = torch.nn.Dropout(0.5)
    fuse_adapters(model)
    assert "forward" not in vars(layer)
