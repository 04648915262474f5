"""Activations made again in the backward pass: the same numbers, less memory."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.rlhf.small_world import table_actors
from training.rlhf.activations import make_again
from training.rlhf.config import PolicyConfig
from training.rlhf.model import add_lora
from training.rlhf.packing import enable_packing
from training.rlhf.sampling import response_logprobs, sample

KINDS = {
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=48, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, initializer_range=0.3,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=48, n_embd=32, n_layer=3, n_head=2, n_positions=64)),
}  # fmt: skip


def gradient_and_kept(model: nn.Module) -> tuple[list[torch.Tensor], int]:
    """The gradient of the log-probabilities of sampled answers, and how many numbers the forward pass kept for it."""
    prompts = [[5, 6, 7, 8], [12], [5, 9]] * 2
    responses = sample(
        model, prompts, stop_ids=[0, 1, 2], pad_id=0, max_tokens=12, temperature=1.0,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = response_logprobs(model, responses, temperature=1.0).sum()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return list(torch.autograd.grad(loss, weights)), kept


@pytest.mark.parametrize("with_lora", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_same_to_the_bit_and_less_is_kept(kind, with_lora):
    found = []
    for is_made_again in (False, True):
        torch.manual_seed(0)
        model = KINDS[kind]().eval()
        assert enable_packing(model)
        whole = add_lora(model, rank=2, alpha=4) if with_lora else model
        if is_made_again:
            make_again(whole)
        found.append(gradient_and_kept(whole))
    (kept_gradient, kept), (made_gradient, kept_again) = found
    assert len(kept_gradient) == len(made_gradient) > 10
    assert all(torch.equal(a, b) for a, b in zip(kept_gradient, made_gradient, strict=True))
    assert kept_again < 0.6 * kept


def test_a_model_without_layers_is_refused():
    with pytest.raises(ValueError, match=r"does not say what its layers are.*activation_checkpointing to false"):
        make_again(table_actors(5, 3, PolicyConfig()).policy)
