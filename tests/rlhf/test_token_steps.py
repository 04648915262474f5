"""One more token a row, straight over the weights: what the model itself says, or the model itself is asked."""

import copy
from collections.abc import Iterator

import pytest
import torch

from tests.rlhf.test_fused import MODELS, make
from training.rlhf import token_steps
from training.rlhf.fused import adapters_added, fuse
from training.rlhf.model import adapters_off, add_lora
from training.rlhf.packing import enable_packing
from training.rlhf.sampling import Responses, response_logprobs, sample
from training.rlhf.token_steps import MARK, enable_steps, token_step

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12], [5, 9], [30, 31, 32, 33], [5, 9]] * 4
KNOWN = ["llama", "mistral", "qwen2"]


def ready(name: str, **more: object) -> torch.nn.Module:
    model = make(name, **more)
    for key, weight in model.named_parameters():
        if key.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.3)
    assert enable_packing(model) and fuse(model)
    return model


def draw(model: torch.nn.Module, prompts: list[list[int]] = PROMPTS) -> Responses:
    generator = torch.Generator().manual_seed(3)
    with adapters_added(model):
        return sample(model, prompts, stop_ids=[0, 1, 2, 3], pad_id=0, max_tokens=20, temperature=0.7,
                      generator=generator)  # fmt: skip


@pytest.fixture
def num_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many rows each token step was for."""
    seen: list[int] = []
    plain = token_steps.TokenStep.__call__

    def counted(self: token_steps.TokenStep, tokens: torch.Tensor, *given: object) -> torch.Tensor:
        seen.append(len(tokens))
        return plain(self, tokens, *given)

    monkeypatch.setattr(token_steps.TokenStep, "__call__", counted)
    return seen


@pytest.mark.parametrize("prompts", [PROMPTS, [[4, 5, 6]] * 3], ids=["padded", "one length"])
@pytest.mark.parametrize("name", KNOWN)
def test_an_answer_is_what_a_full_pass_says(name, prompts, num_steps):
    """Heads that share keys, biases, padding, prompts that stand there twice, rows that leave."""
    model = ready(name)
    assert enable_steps(model)
    model, num_steps[:] = model.double(), []
    responses = draw(model, prompts)
    assert num_steps and num_steps == sorted(num_steps, reverse=True)
    with torch.no_grad():
        full = response_logprobs(model, responses, temperature=0.7)
    assert float((full - responses.logprobs[responses.mask]).abs().max()) < 1e-12


@pytest.mark.parametrize("name", KNOWN)
def test_with_adapters_added_without_them_and_beside(name, num_steps):
    policy = add_lora(ready(name), rank=2, alpha=3.0)
    inner = policy.get_base_model()
    with adapters_added(policy):
        assert enable_steps(inner)
    torch.manual_seed(1)
    for key, weight in policy.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(weight, std=0.2)
    policy = policy.double()
    for context in (torch.no_grad(), adapters_off(policy)):
        num_steps[:] = []
        with context:
            responses = draw(policy)
            full = response_logprobs(policy, responses, temperature=0.7).detach()
        assert num_steps
        assert float((full - responses.logprobs[responses.mask]).abs().max()) < 1e-12
    assert token_step(policy) is None  # nobody has added them to the weights


def test_weights_that_have_moved_are_read_anew(num_steps):
    model = ready("llama")
    assert enable_steps(model)
    before = draw(model).texts()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.2)
    num_steps[:] = []
    after = draw(model)
    assert num_steps and after.texts() != before
    with torch.no_grad():
        full = response_logprobs(model, after, temperature=0.7)
    assert float((full - after.logprobs[after.mask]).abs().max()) < 1e-4


def test_who_is_built_otherwise_is_asked_itself(monkeypatch, num_steps):
    """Another architecture; a layer that is not what its name says; mixed precision; a copy is a model of its own."""
    assert "qwen3" in MODELS and not enable_steps(ready("qwen3"))
    model = ready("llama")
    norm = model.model.layers[0].input_layernorm.forward
    model.model.layers[0].input_layernorm.forward = lambda states: 2 * norm(states)
    assert not enable_steps(model) and MARK not in vars(model)
    num_steps[:] = []
    draw(model)
    assert not num_steps
    model = ready("llama")
    assert enable_steps(model) and token_step(model) is not None
    assert token_step(copy.deepcopy(model)) is not None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert token_step(model) is None


def test_a_window_is_left_to_the_model(num_steps):
    """Keys outside of it must not be read; the trial at loading is too short to see that."""
    model = make("mistral", sliding_window=6)
    assert fuse(model) and enable_steps(model)
    num_steps[:] = []  # those of the trial
    written = sample(model, PROMPTS, stop_ids=[0], pad_id=0, max_tokens=12, temperature=1.0,
                     generator=torch.Generator().manual_seed(3))  # fmt: skip
    assert not num_steps
    full = response_logprobs(model, written, temperature=1.0)
    torch.testing.assert_close(written.logprobs[written.mask], full, rtol=0, atol=1e-5)
