"""The sampler: it draws from the distribution it reports, and reports what one full pass says."""

import copy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.rlhf.small_world import START, STOP, make_world, sequence_logprobs, table_actors
from training.rlhf.config import PolicyConfig
from training.rlhf.model import add_lora
from training.rlhf.sampling import Responses, as_grid, at_responses, response_logprobs, response_tokens, sample

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12], [5, 9], [30, 31, 32, 33]] * 6


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    return LlamaForCausalLM(shape).eval()


def draw(model: torch.nn.Module, prompts: list[list[int]] = PROMPTS, *, seed: int = 3, **changes: object) -> Responses:
    settings = {"stop_ids": [0, 1, 2, 3], "pad_id": 0, "max_tokens": 20, "temperature": 0.7} | changes
    return sample(model, prompts, generator=torch.Generator().manual_seed(seed), **settings)


def test_logprobs_equal_those_of_a_full_pass(llama):
    """Cache, left padding and rows that leave the batch change nothing but the last bits."""
    model = copy.deepcopy(llama).double()
    responses = draw(model)
    lengths = responses.mask.sum(1)
    assert int(lengths.min()) < 5 < int(lengths.max())  # rows of many lengths, or this shows nothing
    with torch.no_grad():
        full = response_logprobs(model, responses, temperature=0.7)
        wrong = response_logprobs(model, responses, temperature=1.0)
    assert float((full - responses.logprobs[responses.mask]).abs().max()) < 1e-12
    assert float((wrong - responses.logprobs[responses.mask]).abs().max()) > 0.01


def test_other_architectures_and_adapters():
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=48, n_embd=32, n_layer=2, n_head=2, n_positions=64)).eval()
    adapted = add_lora(gpt2, rank=2, alpha=4)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.normal_(std=0.3)
    responses = draw(adapted)
    full = response_logprobs(adapted, responses, temperature=0.7).detach()
    assert float((full - responses.logprobs[responses.mask]).abs().max()) < 1e-4


def test_a_row_does_not_depend_on_its_neighbours(llama):
    """The same random numbers give the same answer alone (no padding, no compaction) and in a ragged batch."""
    together = draw(llama)
    for row in (0, 1, 6):
        uniform = torch.Generator().manual_seed(3)
        skipped = [torch.rand(20, generator=uniform, dtype=torch.float64) for _ in range(row)]
        assert len(skipped) == row
        alone = sample(
            llama, [PROMPTS[row]], stop_ids=[0, 1, 2, 3], pad_id=0, max_tokens=20, temperature=0.7, generator=uniform
        )
        assert alone.texts() == [together.texts()[row]]


def test_the_mask_ends_with_the_first_stop_token(llama):
    responses = draw(llama)
    for text, has_ended, count in zip(
        responses.texts(), responses.ended.tolist(), responses.mask.sum(1).tolist(), strict=True
    ):
        assert len(text) == count and not set(text[:-1]) & {0, 1, 2, 3}
        assert has_ended == (text[-1] in {0, 1, 2, 3})
        assert has_ended or count == 20
    rows = responses.tokens.tolist()
    for row, prompt, text in zip(rows, PROMPTS, responses.texts(), strict=True):
        assert row == prompt + text + [0] * (len(row) - len(prompt) - len(text))
    assert bool((responses.logprobs[~responses.mask] == 0).all())


def test_the_pad_token_may_be_the_stop_token(llama):
    one, other = draw(llama, pad_id=0), draw(llama, pad_id=47)
    assert one.texts() == other.texts() and torch.equal(one.mask, other.mask)


def test_frequencies_are_the_reported_probabilities():
    """20,000 responses where 13 are possible: every frequency within 5 standard errors of its probability."""
    world = make_world(4, 2, seed=0)
    policy = table_actors(4, 2, PolicyConfig(seed=1)).policy
    num = 20_000
    drawn = sample(
        policy, [[START]] * num, stop_ids=[STOP], pad_id=1, max_tokens=2, temperature=1.0,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    counts = torch.zeros(len(world.rewards), dtype=torch.float64)
    for text in drawn.texts():
        counts[world.rows[tuple(text)]] += 1
    probabilities = sequence_logprobs(policy, world).exp()
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-6)
    errors = (counts / num - probabilities).abs() / (probabilities * (1 - probabilities) / num).sqrt()
    assert float(errors.max()) < 5


def test_temperature_zero_takes_the_likeliest_token(llama):
    greedy = draw(llama, temperature=0)
    assert greedy.texts() == draw(llama, temperature=0, seed=99).texts()
    assert greedy.texts()[:4] == greedy.texts()[4:8]
    at_one = response_logprobs(llama, greedy, temperature=1.0).detach()
    assert float((at_one - greedy.logprobs[greedy.mask]).abs().max()) < 1e-4


def test_seeds(llama):
    assert draw(llama, seed=5).texts() == draw(llama, seed=5).texts() != draw(llama, seed=6).texts()


def test_take_cuts_to_the_longest_of_the_rows(llama):
    responses = draw(llama)
    rows = responses.lengths().argsort()[:3]
    part = responses.take(rows)
    assert part.tokens.shape[1] == int(responses.lengths()[rows].max())
    assert part.mask.shape[1] == int(responses.mask[rows].sum(1).max())
    assert part.texts() == [responses.texts()[row] for row in rows.tolist()]
    whole = as_grid(response_logprobs(llama, responses, temperature=1.0), responses.mask)
    cut = as_grid(response_logprobs(llama, part, temperature=1.0), part.mask)
    assert torch.allclose(cut, whole[rows][:, : part.mask.shape[1]], atol=1e-4)


def test_at_responses_reads_the_position_that_predicts():
    """Prompt of 2 and 1 tokens: token t of the response is predicted at prompt length − 1 + t."""
    responses = Responses(
        tokens=torch.tensor([[7, 8, 9, 4], [7, 9, 0, 0]]),
        prompt_lengths=torch.tensor([2, 1]),
        mask=torch.tensor([[True, True], [True, False]]),
        logprobs=torch.zeros(2, 2),
        ended=torch.tensor([True, True]),
    )
    positions = torch.arange(8.0).view(2, 4)
    assert at_responses(positions, responses, responses.mask).tolist() == [1.0, 2.0, 4.0]
    assert response_tokens(responses).tolist() == [9, 4, 9]


def test_a_prompt_with_several_answers_is_read_once(llama):
    """Prompts of the batch, each several times: the first pass sees each once, the answers are as alone."""
    model, seen = copy.deepcopy(llama), []
    model.register_forward_pre_hook(lambda _, __, inputs: seen.append(len(inputs["input_ids"])), with_kwargs=True)
    prompts = [[5, 6, 7], [5, 6, 7], [9], [9], [9]]
    responses = draw(model, prompts)
    assert seen[0] == 2 and max(seen[1:]) == 5
    full = response_logprobs(model, responses, temperature=0.7).detach()
    assert float((full - responses.logprobs[responses.mask]).abs().max()) < 1e-4
    assert len({tuple(text) for text in responses.texts()}) == 5


def test_empty_prompts_are_refused(llama):
    with pytest.raises(ValueError, match="at least one token"):
        draw(llama, [[5], []])
