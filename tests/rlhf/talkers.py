"""Small models that talk: plain letters, another text for every seed, and no end before the longest length."""

from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from tests.rlhf.nano import nano_tokenizer, save_nano_policy

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def save_talker(folder: Path, *, seed: int) -> Path:
    save_nano_policy(folder, seed=seed)
    model = LlamaForCausalLM.from_pretrained(folder)
    plain = [nano_tokenizer().convert_tokens_to_ids(letter) for letter in LETTERS]
    with torch.no_grad():
        loud = torch.zeros_like(model.lm_head.weight)
        loud[plain] = 20 * model.lm_head.weight[plain]
        model.lm_head.weight.copy_(loud)
    model.save_pretrained(folder)
    return folder
