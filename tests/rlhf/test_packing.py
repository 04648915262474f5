"""Rows without padding give what they give alone; the head over the vocabulary gives what log_softmax gives."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from training.rlhf import heads
from training.rlhf.heads import trunk_of
from training.rlhf.model import ScalarModel, add_lora
from training.rlhf.packing import enable_packing, packed_states, packs, token_batches
from training.rlhf.sampling import Responses, response_logits, response_logprobs, response_tokens, sample

SHAPE = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "num_labels": 1,
}
LENGTHS = (3, 9, 1, 6)


def build(kind: str) -> nn.Module:
    torch.manual_seed(0)
    plain = {"vocab_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
    models = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=48, n_embd=32, n_layer=2, n_head=2, n_positions=64)),
        "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**plain, intermediate_size=64)),
        "a window": lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=4)),
        "scaled logits": lambda: GraniteForCausalLM(GraniteConfig(**SHAPE, logits_scaling=4.0)),
        "an attention of its own": lambda: BloomForCausalLM(BloomConfig(vocab_size=48, n_head=4, n_layer=2)),
    }
    return models[kind]().eval()


def rectangle(side: str) -> tuple[Tensor, Tensor]:
    """Rows of LENGTHS random tokens, padded on one side with a token that is not looked at."""
    generator = torch.Generator().manual_seed(1)
    columns, lengths = torch.arange(max(LENGTHS)), torch.tensor(LENGTHS).unsqueeze(1)
    mask = columns < lengths if side == "right" else columns >= max(LENGTHS) - lengths
    return torch.randint(4, 48, mask.shape, generator=generator), mask


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "neox"])
def test_packed_rows_are_what_they_are_alone(kind, side):
    model = build(kind).double()
    tokens, mask = rectangle(side)
    alone = torch.cat(
        [trunk_of(model)(input_ids=row[own].unsqueeze(0))[0][0] for row, own in zip(tokens, mask, strict=True)]
    )
    assert enable_packing(model) and packs(model)
    together = packed_states(trunk_of(model), tokens, mask)
    assert float((together - alone).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", ["a window", "scaled logits", "an attention of its own"])
def test_a_model_that_cannot_is_left_as_it_was(kind):
    model = build(kind)
    before = model.config._attn_implementation
    assert not enable_packing(model) and not packs(model)
    assert model.config._attn_implementation == before


def rollouts(model: nn.Module) -> Responses:
    prompts = [[5, 6, 7, 8, 9, 10, 11], [12], [5, 9], [30, 31, 32, 33]] * 3
    responses = sample(
        model, prompts, stop_ids=[0, 1, 2, 3], pad_id=0, max_tokens=12, temperature=0.7,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    assert len(set(responses.mask.sum(1).tolist())) > 3
    return responses


@pytest.mark.parametrize("kept_bytes", [heads.KEPT_BYTES, 0], ids=["kept", "made again"])
def test_log_probabilities_and_their_gradient_are_those_of_a_padded_pass(monkeypatch, kept_bytes):
    """The policy with adapters, in pieces of three rows of logits, kept or made a second time."""
    model = add_lora(build("llama").double(), rank=2, alpha=4)
    model.requires_grad_(True)
    responses = rollouts(model)
    padded = F.log_softmax(response_logits(model, responses) / 0.7, -1)
    wanted = padded.gather(1, response_tokens(responses).unsqueeze(1)).squeeze(1)
    weights = torch.linspace(-1, 1, len(wanted), dtype=torch.float64)
    expected = torch.autograd.grad((weights * wanted).sum(), list(model.parameters()))

    monkeypatch.setattr(heads, "PIECE_BYTES", 3 * 48 * 4)
    monkeypatch.setattr(heads, "KEPT_BYTES", kept_bytes)
    assert enable_packing(model.get_base_model())
    found = response_logprobs(model, responses, temperature=0.7)
    assert float((found - wanted).detach().abs().max()) < 1e-12
    gradients = torch.autograd.grad((weights * found).sum(), list(model.parameters()))
    assert len(gradients) == len(expected) > 20
    assert max(float((a - b).abs().max()) for a, b in zip(gradients, expected, strict=True)) < 1e-12


def test_sampling_is_the_same(tmp_path):
    """The cache's masks are sdpa's, and what is saved does not name our attention."""
    model = build("llama")
    before = rollouts(model)
    enable_packing(model)
    after = rollouts(model)
    assert before.texts() == after.texts() and torch.equal(before.logprobs, after.logprobs)
    model.save_pretrained(tmp_path)
    assert "packed_rows" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
    assert not packs(LlamaForCausalLM.from_pretrained(tmp_path))


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_scores_do_not_depend_on_their_batch(side):
    torch.manual_seed(0)
    reward = ScalarModel(LlamaForSequenceClassification(LlamaConfig(**SHAPE)).double().eval())
    tokens, mask = rectangle(side)
    padded = reward.score(tokens, mask)
    assert enable_packing(reward.inner)
    assert float((reward.score(tokens, mask) - padded).abs().max()) < 1e-12
    alone = torch.cat([reward.score(row[own][None], own[own][None]) for row, own in zip(tokens, mask, strict=True)])
    assert float((alone - padded).abs().max()) < 1e-12


@pytest.mark.parametrize("kept_bytes", [heads.KEPT_BYTES, 0], ids=["kept", "made again"])
def test_entropies_and_their_gradient_are_those_of_the_distribution(monkeypatch, kept_bytes):
    monkeypatch.setattr(heads, "PIECE_BYTES", 1)  # a row at a time
    monkeypatch.setattr(heads, "KEPT_BYTES", kept_bytes)
    torch.manual_seed(0)
    head = nn.Linear(8, 20, bias=False).double()
    states = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    tokens, weights = torch.tensor([3, 1, 4, 1, 5]), torch.linspace(-1, 2, 5, dtype=torch.float64)
    exact = torch.distributions.Categorical(logits=head(states) / 0.5)
    found = heads.picked_logprobs(states, head, tokens, temperature=0.5, with_entropy=True)
    gradients = []
    for logprobs, entropy in ((exact.log_prob(tokens), exact.entropy()), found):
        gradients.append(torch.autograd.grad((weights * logprobs + 3 * weights * entropy).sum(), [states, head.weight]))
    assert torch.allclose(found.logprobs, exact.log_prob(tokens), atol=1e-12)
    assert torch.allclose(found.entropy, exact.entropy(), atol=1e-12)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*gradients, strict=True))


def test_pieces_hold_every_row_once_and_keep_to_the_budget():
    lengths = [5, 40, 12, 3, 33, 7, 90, 21]
    pieces = list(token_batches(range(8), size=0, length=lengths.__getitem__, budget=80))
    assert sorted(row for piece in pieces for row in piece) == list(range(8))
    sums = [sum(lengths[row] for row in piece) for piece in pieces]
    assert len(pieces) == 3 and pieces[-1] == [6]  # 211 tokens: three passes, and the row of 90 has one of its own
    assert sum(sums) == sum(lengths) and max(sums[:-1]) <= 80
    assert max(len(piece) for piece in token_batches(range(8), size=2, length=lengths.__getitem__, budget=80)) == 2
    assert list(token_batches(range(8), size=0, length=lengths.__getitem__, budget=1000)) == [
        sorted(range(8), key=lengths.__getitem__)
    ]
