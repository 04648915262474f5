"""What both sides train: models of random weights, a tokenizer of words, prompts and pairs, as files in one folder.

    make(folder, "small", shape="ragged", seed=0)

`nano` is a Llama of 40,000 weights, `tiny` one of 1.5 million, `small` one of 20 million. How long answers get is
built into the policy: one channel of every embedding is 1, so its last hidden state has a channel that hardly moves,
and the stop token's row of the head reads it. `full`: prompts of 32 tokens, nobody ever stops. `ragged`: prompts of 2
to 32 tokens, and each token is the last with probability 1/40, which gives answers of 32 tokens on average within the
limit of 64.
"""

import json
import math
import random
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from training.rlhf.adapters import save_adapters
from training.rlhf.model import add_lora, load_tokenizer, new_scalar, save_model

Shape = Literal["full", "ragged"]
Size = Literal["nano", "tiny", "small"]

PAD, BOS, EOS, UNKNOWN = range(4)
PROMPT_TOKENS, RESPONSE_TOKENS, PAIR_TOKENS = 32, 64, 256
STOP_PROBABILITY = 1 / 40
LORA_RANK = 16


class Dimensions(NamedTuple):
    num_layers: int
    width: int
    inner_width: int
    num_heads: int
    vocabulary: int


SIZES = {
    "nano": Dimensions(2, 32, 64, 2, 256),
    "tiny": Dimensions(4, 128, 512, 4, 2048),
    "small": Dimensions(8, 384, 1024, 6, 8192),
}


class World(NamedTuple):
    """Where it lies."""

    folder: Path

    @property
    def policy(self) -> Path:
        return self.folder / "policy"

    @property
    def reward(self) -> Path:
        return self.folder / "reward"

    @property
    def adapted_reward(self) -> Path:
        """A reward model that was tuned by adapters over the policy's weights."""
        return self.folder / "adapted-reward"

    @property
    def prompts(self) -> Path:
        return self.folder / "prompts.jsonl"

    @property
    def preferences(self) -> Path:
        return self.folder / "preferences.jsonl"


def make(
    folder: Path,
    size: Size,
    shape: Shape,
    *,
    seed: int = 0,
    num_prompts: int = 512,
    num_pairs: int = 256,
    prompt_tokens: int = PROMPT_TOKENS,
) -> World:
    """Write everything; the same arguments write the same numbers."""
    world, dimensions = World(folder), SIZES[size]
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = llama(dimensions)
    policy = with_stop(LlamaForCausalLM(config), shape)
    tokenizer = words(dimensions.vocabulary)
    reward = LlamaForSequenceClassification(config)
    reward.model.load_state_dict(policy.model.state_dict())  # value and reward start where the policy does
    reward.score.weight.data.normal_(std=1 / math.sqrt(dimensions.width + 1))
    for model, where in ((policy, world.policy), (reward, world.reward)):
        model.save_pretrained(where)
        tokenizer.save_pretrained(where)
    make_adapted_reward(world)
    rng = random.Random(seed)

    def text(length: int) -> str:
        return " ".join(f"w{rng.randrange(UNKNOWN + 1, dimensions.vocabulary)}" for _ in range(length))

    def length(most: int) -> int:
        return most if shape == "full" else rng.randint(2, most)

    prompts = [
        {"id": f"p{index}", "messages": user(text(length(prompt_tokens))), "split": "train"}
        for index in range(num_prompts)
    ]
    write_lines(world.prompts, prompts)
    pairs = []
    for index in range(num_pairs):
        first = 64 if shape == "full" else dialogue_length(rng, median=48, most=PAIR_TOKENS // 2)
        rest = [
            PAIR_TOKENS - first - 1
            if shape == "full"
            else dialogue_length(rng, median=64, most=PAIR_TOKENS - first - 1)
            for _ in range(2)
        ]
        pairs.append(
            {
                "id": f"c{index}",
                "prompt_id": f"c{index}",
                "prompt": user(text(first)),
                "response_a": text(rest[0]),
                "response_b": text(rest[1]),
                "target": float(index % 2),
                "strength": 2.0 * (index % 2) - 1,
                "split": "test" if index == 0 else "train",
            }
        )
    write_lines(world.preferences, pairs)
    return world


def make_adapted_reward(world: World) -> None:
    """What a reward run with adapters leaves, with adapters that nobody has taught."""
    model = new_scalar(str(world.policy), device=torch.device("cpu"), head="random")
    add_lora(model, rank=LORA_RANK, alpha=LORA_RANK)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    world.adapted_reward.mkdir()
    save_adapters(world.adapted_reward, model)
    save_model(world.adapted_reward, model, load_tokenizer(str(world.policy)), about={})


def dialogue_length(rng: random.Random, *, median: int, most: int) -> int:
    """Tokens of one side of a dialogue: log-normal, as real ones are, few and very long ones included (sigma 0.9)."""
    return max(4, min(most, round(median * math.exp(rng.gauss(0, 0.9)))))


def llama(dimensions: Dimensions) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=dimensions.vocabulary,
        hidden_size=dimensions.width,
        intermediate_size=dimensions.inner_width,
        num_hidden_layers=dimensions.num_layers,
        num_attention_heads=dimensions.num_heads,
        num_key_value_heads=dimensions.num_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        num_labels=1,
    )


@torch.no_grad()
def with_stop(policy: LlamaForCausalLM, shape: Shape) -> LlamaForCausalLM:
    """The policy with the probability of its stop token set, whatever the text."""
    policy.model.embed_tokens.weight[:, 0] = 1.0
    policy.lm_head.weight[:, 0] = 0.0
    vocabulary = policy.config.vocab_size
    some = torch.randint(UNKNOWN + 1, vocabulary, (4, 32))
    channel = float(policy.model(some).last_hidden_state[..., 0].mean())
    probability = STOP_PROBABILITY if shape == "ragged" else 1e-9
    # the pad token is never written either: a peer takes it for the end
    for token, wanted in ((EOS, probability), (PAD, 1e-9)):
        policy.lm_head.weight[token] = 0.0
        policy.lm_head.weight[token, 0] = math.log(wanted * (vocabulary - 1) / (1 - wanted)) / channel
    return policy


def words(vocabulary: int) -> PreTrainedTokenizerFast:
    """Every word is a token; a prompt is its words and nothing else."""
    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    ids = {token: index for index, token in enumerate([*special, *(f"w{n}" for n in range(4, vocabulary))])}
    core = Tokenizer(models.WordLevel(vocab=ids, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
    return tokenizer


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def write_lines(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
