"""What becomes of response tokens when people are to read them."""

import torch

from tests.rlhf.nano import nano_tokenizer
from training.rlhf.sampling import Responses
from training.rlhf.scoring import response_texts


def test_a_nul_character_becomes_one_that_a_database_keeps() -> None:
    tokenizer = nano_tokenizer()
    text = tokenizer("a\0b", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(text) == "a\0b"
    tokens = torch.tensor([[*text, tokenizer.eos_token_id]])
    mask = torch.ones_like(tokens, dtype=torch.bool)
    responses = Responses(tokens, torch.tensor([0]), mask, torch.zeros(tokens.shape), torch.tensor([True]))
    assert response_texts(tokenizer, responses) == ["a\N{REPLACEMENT CHARACTER}b"]
