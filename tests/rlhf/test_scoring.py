"""Scores of sampled responses: the tokens as they are, text for a stranger's tokenizer, and no pay for one's
neighbours.
"""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.rlhf.nano import TEMPLATE, nano_tokenizer, user
from training.rlhf.config import PolicyConfig
from training.rlhf.data import Encoder
from training.rlhf.model import ScalarModel, new_scalar
from training.rlhf.sampling import Responses
from training.rlhf.scoring import Scorer, refuse_unfit_scores, response_texts

CPU = torch.device("cpu")
PROMPTS = [user("hi"), user("what is this?"), user("ok")]
TEXTS = ["yes", "no, it is", "maybe"]
ENDED = [True, True, False]


@pytest.fixture
def reward(nano_policy: Path) -> ScalarModel:
    torch.manual_seed(0)
    reward = new_scalar(str(nano_policy), device=CPU, head="random")
    reward.reward_mean, reward.reward_std = 0.25, 2.0
    return reward


def byte_tokenizer(*, shift: int) -> PreTrainedTokenizerFast:
    """The nano tokenizer with every byte's id moved around by `shift`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    moved = alphabet[shift:] + alphabet[:shift]
    core = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", *moved])}, merges=[])
    )
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def written(tokenizer: PreTrainedTokenizerFast) -> Responses:
    """TEXTS as a policy with this tokenizer would have left them."""
    encoder = Encoder(tokenizer, max_prompt_tokens=100, max_response_tokens=100)
    prompts = [encoder.prompt(messages) for messages in PROMPTS]
    answers = [encoder.response(text)[: None if ended else -1] for text, ended in zip(TEXTS, ENDED, strict=True)]
    rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    width, longest = max(map(len, rows)), max(map(len, answers))
    return Responses(
        tokens=torch.tensor([row + [2] * (width - len(row)) for row in rows]),
        prompt_lengths=torch.tensor([len(prompt) for prompt in prompts]),
        mask=torch.arange(longest) < torch.tensor([[len(answer)] for answer in answers]),
        logprobs=torch.zeros(3, longest),
        ended=torch.tensor(ENDED),
    )


def by_hand(reward: ScalarModel, row: list[int]) -> float:
    tokens = torch.tensor([row])
    return (float(reward.score(tokens, torch.ones_like(tokens, dtype=torch.bool))) - 0.25) / 2.0


@pytest.mark.parametrize("batch_size", [0, 2])
def test_shared_tokens_are_scored_as_they_are(reward, batch_size):
    own = nano_tokenizer()
    scorer = Scorer(reward, own, own, PolicyConfig(), batch_size=batch_size)
    responses = written(own)
    assert scorer.shares_tokens and not scorer.warnings()
    with torch.no_grad():
        expected = [
            by_hand(reward, row[:length])
            for row, length in zip(responses.tokens.tolist(), responses.lengths().tolist(), strict=True)
        ]
    assert scorer(PROMPTS, responses).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_strangers_tokens_are_written_again(reward):
    """The policy's ids mean other bytes: the same texts get the same scores by way of their text, with a warning."""
    own, stranger = nano_tokenizer(), byte_tokenizer(shift=100)
    assert own("yes")["input_ids"] != stranger("yes")["input_ids"]
    assert response_texts(stranger, written(stranger)) == TEXTS
    scorer = Scorer(reward, own, stranger, PolicyConfig())
    assert not scorer.shares_tokens and "different tokenizers" in scorer.warnings()[0]
    direct = Scorer(reward, own, own, PolicyConfig())(PROMPTS, written(own))
    assert torch.allclose(scorer(PROMPTS, written(stranger)), direct, atol=1e-6)
    wrong = Scorer(reward, stranger, stranger, PolicyConfig())(PROMPTS, written(stranger))
    assert not torch.allclose(wrong, direct, atol=1e-3)


class PaysForPadding(ScalarModel):
    """A broken reward model: a response in a wide batch earns more."""

    def head_scores(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return super().head_scores(tokens, mask) + 0.001 * tokens.shape[1]


def test_a_reward_that_sees_padding_is_refused(reward):
    own, responses = nano_tokenizer(), written(nano_tokenizer())
    fair = Scorer(reward, own, own, PolicyConfig())
    assert refuse_unfit_scores(fair, PROMPTS, responses, fair(PROMPTS, responses), PolicyConfig()) == []
    unfair = Scorer(PaysForPadding(reward.inner), own, own, PolicyConfig())
    scores = unfair(PROMPTS, responses)
    with pytest.raises(ValueError, match="in a padded batch than alone"):
        refuse_unfit_scores(unfair, PROMPTS, responses, scores, PolicyConfig())
    with pytest.raises(ValueError, match="in a padded batch than alone"):
        refuse_unfit_scores(fair, PROMPTS, responses, scores * float("nan"), PolicyConfig())


def test_answers_without_end_are_refused_or_warned_of(reward):
    own, responses = nano_tokenizer(), written(nano_tokenizer())
    endless = responses._replace(ended=torch.zeros(3, dtype=torch.bool))
    scorer = Scorer(reward, own, own, PolicyConfig())
    scores = scorer(PROMPTS, endless)
    with pytest.raises(ValueError, match="none of the 3 sampled responses ended by itself"):
        refuse_unfit_scores(scorer, PROMPTS, endless, scores, PolicyConfig())
    settings = PolicyConfig(replace_missing_eos=False)
    assert "none of the 3" in refuse_unfit_scores(scorer, PROMPTS, endless, scores, settings)[0]


def test_a_nul_character_becomes_one_that_a_database_keeps() -> None:
    tokenizer = nano_tokenizer()
    text = tokenizer("a\0b", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(text) == "a\0b"
    tokens = torch.tensor([[*text, tokenizer.eos_token_id]])
    mask = torch.ones_like(tokens, dtype=torch.bool)
    responses = Responses(tokens, torch.tensor([0]), mask, torch.zeros(tokens.shape), torch.tensor([True]))
    assert response_texts(tokenizer, responses) == ["a\N{REPLACEMENT CHARACTER}b"]
