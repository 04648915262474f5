"""Models loaded, run and saved: padding changes nothing, adapters switch off and merge, foreign parts are refused."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from tests.rlhf.nano import nano_tokenizer, save_nano_gpt2, save_nano_policy
from training.rlhf import scalar
from training.rlhf.data import pad_rows
from training.rlhf.model import (
    adapters_off,
    add_lora,
    choose_device,
    load_policy,
    load_scalar,
    load_tokenizer,
    merged,
    new_scalar,
    next_token_logprobs,
    read_about,
    refuse_foreign_tokenizer,
    same_tokens,
    save_model,
)

CPU = torch.device("cpu")
ROWS = [[1, 40, 41, 42, 2], [1, 50], [1, 60, 61, 2, 2, 2, 70, 2]]


@pytest.fixture
def policy(nano_policy):
    return load_policy(str(nano_policy), device=CPU)


@pytest.fixture
def reward(nano_policy):
    torch.manual_seed(0)
    return new_scalar(str(nano_policy), device=CPU, head="random")


def disturb(model):
    """Give adapters an effect, as training would; they start without one."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)


def test_a_score_does_not_depend_on_batch_or_padding_side(reward):
    alone = torch.cat([reward.score(*pad_rows([row], side="right")) for row in ROWS])
    for side in ("left", "right"):
        together = reward.score(*pad_rows([*ROWS, [1] * 30], side=side))[:3]
        assert torch.allclose(alone, together, atol=1e-5, rtol=0)
    assert alone.std() > 0.1


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_nor_where_the_architecture_cannot_be_packed(tmp_path, monkeypatch, architecture):
    """Then rows are padded: the place of the last token and the positions come from the mask, on either side."""
    folder = save_nano_gpt2(tmp_path) if architecture == "gpt2" else save_nano_policy(tmp_path)
    reward = new_scalar(str(folder), device=CPU, head="random")
    packed = reward.score(*pad_rows(ROWS, side="right"))
    monkeypatch.setattr(scalar, "packs", lambda _: False)
    alone = torch.cat([reward.score(*pad_rows([row], side="right")) for row in ROWS])
    torch.testing.assert_close(alone, packed, atol=1e-5, rtol=0)
    for side in ("left", "right"):
        together = reward.score(*pad_rows([*ROWS, [1] * 30], side=side))[:3]
        torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
    assert alone.std() > 0.01


def test_the_score_is_read_at_the_last_real_token_even_when_the_filler_is_a_real_token(reward):
    tokens, mask = pad_rows([[1, 40, 0, 0]], side="right")
    values = reward(tokens, mask)
    torch.testing.assert_close(reward.score(tokens, mask), values[:, 3], atol=1e-6, rtol=0)
    assert float((values[:, 3] - values[:, 1]).abs()) > 1e-3


def test_logprobs_are_the_softmax_at_the_temperature(policy):
    row = torch.tensor([ROWS[0]])
    expected = torch.log_softmax(policy(row).logits / 0.7, -1)
    result = next_token_logprobs(policy, row, torch.ones_like(row), keep=2, temperature=0.7, with_entropy=True)
    assert torch.allclose(result.logprobs[0, 0], expected[0, 2, 42], atol=1e-6)
    assert torch.allclose(result.logprobs[0, 1], expected[0, 3, 2], atol=1e-6)
    assert torch.allclose(result.entropy, -(expected.exp() * expected).sum(-1)[:, 2:4], atol=1e-5)


def test_logprobs_do_not_depend_on_padding(policy):
    prompts, responses = [[1, 40], [1, 60, 61, 62]], [[70, 71, 2], [80, 2]]
    left, right = pad_rows(prompts, side="left"), pad_rows(responses, side="right")
    tokens, mask = torch.cat([left.tokens, right.tokens], 1), torch.cat([left.mask, right.mask], 1)
    together = next_token_logprobs(policy, tokens, mask, keep=3).logprobs
    for index, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        row = torch.tensor([prompt + response])
        alone = next_token_logprobs(policy, row, torch.ones_like(row), keep=len(response)).logprobs
        assert torch.allclose(together[index, : len(response)], alone[0], atol=1e-5)


def test_response_values_stand_where_the_token_was_chosen(reward):
    tokens, mask = pad_rows([ROWS[0]], side="right")
    assert torch.equal(reward.response_values(tokens, mask, keep=2), reward(tokens, mask)[:, 2:4])


def test_heads_start_as_asked(nano_policy, reward):
    assert 0.1 < reward.head.weight.std() < 0.3 and reward.head.bias is None  # 1/sqrt(33) = 0.17
    zero = new_scalar(str(nano_policy), device=CPU, head="zero")
    assert not zero.score(*pad_rows(ROWS, side="left")).any()


def test_adapters_switch_off_to_the_reference_and_merge_into_the_weights(policy):
    tokens, mask = pad_rows(ROWS, side="right")
    reference = copy.deepcopy(policy)(tokens, attention_mask=mask.long()).logits
    adapted = add_lora(policy, rank=4, alpha=8)
    disturb(adapted)
    trained = next_token_logprobs(adapted, tokens, mask, keep=4).logprobs
    with adapters_off(adapted):
        assert torch.equal(adapted(tokens, attention_mask=mask.long()).logits, reference)
    assert all("lora_" in name for name, weight in adapted.named_parameters() if weight.requires_grad)
    assert not any("lm_head" in name for name, weight in adapted.named_parameters() if weight.requires_grad)
    whole = merged(adapted)
    merged_logprobs = next_token_logprobs(whole, tokens, mask, keep=4).logprobs
    assert torch.allclose(merged_logprobs, trained, atol=1e-5)
    assert not torch.allclose(trained, next_token_logprobs(copy.deepcopy(whole), tokens * 0 + 9, mask, keep=4).logprobs)


@pytest.mark.parametrize("rank", [0, 4])
def test_a_saved_policy_is_loaded_by_any_tool(tmp_path, nano_policy, policy, rank):
    model = add_lora(policy, rank=rank, alpha=8) if rank else policy
    disturb(model)
    tokens, mask = pad_rows(ROWS, side="right")
    expected = next_token_logprobs(model, tokens, mask, keep=4).logprobs
    save_model(tmp_path, model, load_tokenizer(str(nano_policy)), about={"parent": str(nano_policy)})
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.allclose(
        next_token_logprobs(again, tokens, mask, keep=4).logprobs[mask[:, 1:][:, -4:]],
        expected[mask[:, 1:][:, -4:]],
        atol=1e-5,
    )
    about = read_about(str(tmp_path))
    assert about["kind"] == "policy" and about["parent"] == str(nano_policy) and "torch" in about["versions"]
    assert not list(tmp_path.glob("*.bin"))
    assert same_tokens(load_tokenizer(str(tmp_path)), nano_tokenizer())


@pytest.mark.parametrize("rank", [0, 4])
def test_a_saved_reward_model_keeps_its_scores_and_normalisation(tmp_path, nano_policy, reward, rank):
    if rank:
        add_lora(reward, rank=rank, alpha=8)
        assert reward.head.weight.requires_grad
        disturb(reward)
    reward.reward_mean, reward.reward_std = 0.25, 2.0
    batch = pad_rows(ROWS, side="left")
    expected = reward.score(*batch)
    save_model(tmp_path, reward, load_tokenizer(str(nano_policy)), about={})
    again = load_scalar(str(tmp_path), device=CPU)
    assert torch.allclose(again.score(*batch), expected, atol=1e-5)
    assert torch.allclose(again.normalised(expected), (expected - 0.25) / 2)
    other_tool = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    row = torch.tensor([ROWS[0]])
    assert torch.allclose(other_tool(row).logits[:, 0], expected[:1], atol=1e-5)


def test_another_architecture_with_its_pad_equal_to_its_stop_token(tmp_path):
    save_nano_gpt2(tmp_path)
    reward = new_scalar(str(tmp_path), device=CPU, head="random")
    alone = torch.cat([reward.score(*pad_rows([row], side="right")) for row in ROWS])
    assert torch.allclose(alone, reward.score(*pad_rows(ROWS, side="left")), atol=1e-5)
    adapted = add_lora(load_policy(str(tmp_path), device=CPU), rank=2, alpha=4)
    tokens, mask = pad_rows(ROWS, side="right")
    assert next_token_logprobs(adapted, tokens, mask, keep=4).logprobs.isfinite().all()


def test_wrong_models_are_refused_in_sentences(tmp_path, nano_policy):
    with pytest.raises(ValueError, match="model is empty"):
        load_policy("", device=CPU)
    with pytest.raises(ValueError, match="together with `revision`"):
        load_policy("someone/some-model", device=CPU)
    with pytest.raises(ValueError, match="could not be loaded"):
        load_policy(str(tmp_path), device=CPU)
    with pytest.raises(ValueError, match="holds no reward model"):
        load_scalar(str(nano_policy), device=CPU)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees no GPU"):
            choose_device("cuda")


def test_pickled_weights_are_refused(tmp_path, nano_policy):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((nano_policy / name).read_bytes())
    torch.save(load_file(nano_policy / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="could not be loaded"):
        load_policy(str(tmp_path), device=CPU)
    save_file(load_file(nano_policy / "model.safetensors"), tmp_path / "model.safetensors", {"format": "pt"})
    assert load_policy(str(tmp_path), device=CPU)


def test_a_tokenizer_that_differs_from_its_own_file_is_refused(tmp_path, nano_policy):
    for file in nano_policy.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "qwen2"}))
    core = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.save(str(tmp_path / "tokenizer.json"))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "Qwen2Tokenizer"}))
    with pytest.raises(ValueError, match=r"gives other ids than its tokenizer\.json"):
        load_tokenizer(str(tmp_path))


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(policy):
    tokenizer = nano_tokenizer()
    refuse_foreign_tokenizer(policy, tokenizer)
    tokenizer.add_tokens(["extra"])
    with pytest.raises(ValueError, match="the tokenizer knows 260 tokens, the model only 259"):
        refuse_foreign_tokenizer(policy, tokenizer)
    assert not same_tokens(tokenizer, nano_tokenizer())
