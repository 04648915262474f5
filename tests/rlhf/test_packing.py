"""Rows without padding give what they give alone; the head over the vocabulary gives what log_softmax gives."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2ForSequenceClassification,
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
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from training.rlhf import heads, row_layout
from training.rlhf.activations import make_again
from training.rlhf.heads import trunk_of
from training.rlhf.model import ScalarModel, add_lora
from training.rlhf.norms import fuse_norms, rms_norm
from training.rlhf.packing import enable_packing, packed_states, packs, token_batches
from training.rlhf.row_layout import gather, lay_out, spread
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
LENGTHS = (3, 9, 1, 6, 9, 8, 6)
PARENTS = {4: (1, 9), 5: (1, 5), 6: (3, 4)}
"""Rows that begin as another does, and for how long; the fifth is the second again."""


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
    model = models[kind]().eval()
    fuse_norms(model)  # so that float64 is float64
    return model


def rectangle(side: str) -> tuple[Tensor, Tensor]:
    """Rows of LENGTHS random tokens, padded on one side with a token that is not looked at."""
    generator = torch.Generator().manual_seed(1)
    columns, lengths = torch.arange(max(LENGTHS)), torch.tensor(LENGTHS).unsqueeze(1)
    mask = columns < lengths if side == "right" else columns >= max(LENGTHS) - lengths
    tokens = torch.randint(4, 48, mask.shape, generator=generator)
    for row, (parent, shared) in PARENTS.items():
        tokens[row, mask[row].nonzero()[:shared, 0]] = tokens[parent, mask[parent].nonzero()[:shared, 0]]
    return tokens, mask


@pytest.fixture(params=["one rectangle", "several"])
def cuts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Rows as short as these are never worth a second rectangle, unless it may save nothing."""
    if request.param == "several":
        monkeypatch.setattr(row_layout, "WORTH", (0, 0.0))
        assert len(lay_out(*rectangle("right")).layout.rectangles) == row_layout.MOST_RECTANGLES
    else:
        assert len(lay_out(*rectangle("right")).layout.rectangles) == 1
    return str(request.param)


@pytest.mark.usefixtures("cuts")
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_line_spells_its_rows_and_holds_nothing_twice(side):
    tokens, mask = rectangle(side)
    layout, line, positions = lay_out(tokens, mask)
    assert line[layout.places].tolist() == tokens[mask].tolist()
    assert positions[layout.places].tolist() == (mask.cumsum(1) - 1)[mask].tolist()
    rows = [tuple(row[own].tolist()) for row, own in zip(tokens, mask, strict=True)]
    assert len(line) == len({row[: end + 1] for row in rows for end in range(len(row))}) == sum(LENGTHS) - 18
    generator = torch.Generator().manual_seed(0)
    per_token = torch.randn(len(line), 2, generator=generator, dtype=torch.float64)
    assert torch.equal(gather(spread(per_token, layout), layout), per_token)


@pytest.mark.usefixtures("cuts")
def test_copies_have_the_gradients_of_indexing():
    layout, line, _ = lay_out(*rectangle("right"))
    real = torch.zeros(len(layout.sources), dtype=torch.bool)
    real[layout.cells], real[layout.shared_cells] = True, True
    values = torch.randn(len(line), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    per_token = values.requires_grad_()
    weights = torch.randn(len(real), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights[~real] = 0  # whoever attends to no padding has no gradient there
    of_ours = torch.autograd.grad(
        (torch.cat([part.flatten(0, 1) for part in spread(per_token, layout)]) * weights).sum(), per_token
    )[0]
    expected = torch.autograd.grad((per_token[layout.sources] * weights).sum(), per_token)[0]
    assert torch.allclose(of_ours, expected, atol=1e-14)
    per_cell = weights.requires_grad_()
    parts = [per_cell[part.start : part.end].unflatten(0, part[1:]) for part in layout.rectangles]
    of_ours = torch.autograd.grad((gather(parts, layout) * values.detach()).sum(), per_cell)[0]
    expected = torch.autograd.grad((per_cell[layout.cells] * values.detach()).sum(), per_cell)[0]
    assert torch.equal(of_ours, expected)


def test_rows_of_one_length_that_share_nothing_are_not_copied():
    tokens = torch.tensor([[9, 4, 5], [4, 4, 5], [7, 4, 5]])
    layout, line, _ = lay_out(tokens, torch.ones_like(tokens, dtype=torch.bool))
    per_token = torch.randn(len(line), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cells = spread(per_token, layout)
    assert torch.equal(cells[0], per_token[layout.sources].view(3, 3, 2))
    assert cells[0].data_ptr() == per_token.data_ptr()
    assert torch.equal(gather(cells, layout), per_token)
    shared, _, _ = lay_out(tokens[:, 1:], torch.ones(3, 2, dtype=torch.bool))
    assert not shared.is_rectangle


@pytest.mark.usefixtures("cuts")
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
    last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)
    some = last | (mask & (torch.arange(mask.shape[1]) % 3 == 0))
    for wanted in (last, some):
        states = packed_states(trunk_of(model), tokens, mask, wanted)
        assert float((states - alone[wanted[mask]]).abs().max()) < 1e-12


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


@pytest.mark.usefixtures("cuts")
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


@pytest.mark.usefixtures("cuts")
@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_scores_do_not_depend_on_their_batch(side):
    torch.manual_seed(0)
    reward = ScalarModel(LlamaForSequenceClassification(LlamaConfig(**SHAPE)).double().eval())
    fuse_norms(reward)
    tokens, mask = rectangle(side)
    padded = reward.score(tokens, mask)
    assert enable_packing(reward.inner)
    assert float((reward.score(tokens, mask) - padded).abs().max()) < 1e-12
    alone = torch.cat([reward.score(row[own][None], own[own][None]) for row, own in zip(tokens, mask, strict=True)])
    assert float((alone - padded).abs().max()) < 1e-12


@torch.no_grad()
def test_scores_of_a_rectangle_whose_rows_have_all_lengths_are_those_of_each_alone(monkeypatch):
    """Rows of one rectangle stand in the order of their texts, which is not that of their length."""
    monkeypatch.setattr(row_layout, "WORTH", (0, 0.0))
    torch.manual_seed(0)
    reward = ScalarModel(LlamaForSequenceClassification(LlamaConfig(**SHAPE)).double().eval())
    fuse_norms(reward)
    assert enable_packing(reward.inner)
    tokens = torch.randint(1, SHAPE["vocab_size"], (40, 12))
    mask = torch.arange(12) < torch.randint(1, 13, (40, 1))
    layout = lay_out(tokens, mask)[0]
    assert len(layout.rectangles) == row_layout.MOST_RECTANGLES < len(mask.sum(1).unique())
    alone = torch.cat([reward.score(row[own][None], own[own][None]) for row, own in zip(tokens, mask, strict=True)])
    assert float((reward.score(tokens, mask) - alone).abs().max()) < 1e-12


def reward_model(kind: type[PreTrainedModel], *, is_packed: bool, has_adapters: bool) -> ScalarModel:
    """Two heads on a trunk; the same weights, packed or not."""
    torch.manual_seed(0)
    gpt2 = GPT2Config(vocab_size=48, n_embd=32, n_layer=2, n_head=2, n_positions=64, num_labels=2, pad_token_id=0)
    config = gpt2 if kind is GPT2ForSequenceClassification else LlamaConfig(**{**SHAPE, "num_labels": 2})
    reward = ScalarModel(kind(config).double().eval())
    fuse_norms(reward)
    assert not is_packed or enable_packing(reward.inner)
    if has_adapters:
        add_lora(reward, rank=2, alpha=4)
        for name, weight in reward.double().named_parameters():
            if "lora_B" in name:
                nn.init.normal_(weight)
    return reward


@pytest.mark.usefixtures("cuts")
@pytest.mark.parametrize("how", ["plain", "adapters", "made again"])
@pytest.mark.parametrize("kind", [LlamaForSequenceClassification, GPT2ForSequenceClassification])
def test_the_gradient_of_scores_is_that_of_a_padded_pass(kind, how):
    """Rows that begin alike, one that is another's twin, and a last layer that works only where it is read."""
    tokens, mask = rectangle("right")
    weights = torch.linspace(-1, 2, 2 * len(mask), dtype=torch.float64).view(-1, 2)
    scores, gradients = [], []
    for is_packed in (False, True):
        reward = reward_model(kind, is_packed=is_packed, has_adapters=how == "adapters")
        if how == "made again":
            make_again(reward)
        learned = [weight for weight in reward.parameters() if weight.requires_grad]
        scores.append(reward.head_scores(tokens, mask))
        gradients.append(torch.autograd.grad((weights * scores[-1]).sum(), learned))
    assert float((scores[1] - scores[0]).detach().abs().max()) < 1e-12
    assert len(gradients[0]) > 15 and any(float(gradient.abs().max()) > 1e-3 for gradient in gradients[0])
    assert max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True)) < 1e-12


def test_a_copy_of_a_model_is_a_model_of_its_own():
    """The last layer's way of leaving things out must not lead a copy back to the first."""
    model = build("llama")
    assert enable_packing(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    tokens, mask = rectangle("right")
    states = packed_states(trunk_of(twin), tokens, mask, mask)
    assert not states.any() and packed_states(trunk_of(model), tokens, mask, mask).any()


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


def test_a_value_head_starts_at_zero_and_learns_ten_times_as_fast_as_its_trunk():
    head, states = heads.ValueHead(8), torch.linspace(-1, 2, 8).unsqueeze(0)
    assert not head(states).any()
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    head(states).sum().backward()
    optimizer.step()
    assert float(head(states)) == pytest.approx(-10 * 1e-3 * float(states.abs().sum()), rel=1e-4)


def test_a_norm_and_its_gradients_are_those_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    states, weight, given = (
        torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
        for shape in ((2, 3, 8), (8,), (2, 3, 8))
    )
    expected = F.rms_norm(states, (8,), weight, 1e-3)
    found = rms_norm(states, weight, 1e-3)
    assert torch.allclose(found, expected, atol=1e-14)
    of_ours, of_formula = (torch.autograd.grad((given.detach() * y).sum(), [states, weight]) for y in (found, expected))
    assert all(torch.allclose(a, b, atol=1e-13) for a, b in zip(of_ours, of_formula, strict=True))


def test_only_norms_of_this_formula_are_replaced():
    """Gemma's adds 1 to its weights."""
    shape = {**SHAPE, "head_dim": 8, "pad_token_id": 0}
    for model, is_replaced in ((build("llama"), True), (GemmaForCausalLM(GemmaConfig(**shape)), False)):
        norm = trunk_of(model).norm
        nn.init.uniform_(norm.weight)
        states = torch.randn(3, 32)
        before = type(norm).forward(norm, states)
        fuse_norms(model)
        assert ("forward" in vars(norm)) == is_replaced
        torch.testing.assert_close(norm(states), before)
        assert norm(states.bfloat16()).dtype == type(norm).forward(norm, states.bfloat16()).dtype


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
