"""What a reward model says about sampled responses, in units of its normalised score.

    scorer = Scorer(reward, reward_tokenizer, policy_tokenizer, config)
    scores = scorer(prompts, responses)

Where both tokenizers give the same ids, the sampled tokens are scored as they are. Where they differ, prompt and
response are rendered again with the reward model's own; a response that did not end by itself then gets no stop token
either.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.beside import side_by_side
from training.rlhf.config import PolicyConfig, ScoredConfig
from training.rlhf.data import Encoder, Messages, pad_rows
from training.rlhf.distributed import share, summed
from training.rlhf.model import precision, same_tokens
from training.rlhf.packing import packs, pieces
from training.rlhf.sampling import Responses
from training.rlhf.scalar import Scalar


def response_texts(tokenizer: PreTrainedTokenizerBase, responses: Responses) -> list[str]:
    """What a person reads: the response tokens without special ones.

    A byte-level model may write a NUL character, which no database keeps: it stands as U+FFFD, as broken UTF-8 does.
    """
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in responses.texts()]
    return [str(text).replace("\0", "\N{REPLACEMENT CHARACTER}") for text in texts]


class Scores(NamedTuple):
    """What a reward model says of B responses."""

    score: Tensor
    """(B,) normalised, of several heads as `score_of_heads` puts them together; float32."""
    std: Tensor | None
    """(B,) standard deviation between the heads, in the same unit; None of a single head."""


def together(heads: Tensor, config: ScoredConfig) -> Tensor:
    """(B,) one score of several heads' (B, K): their mean, the worst of them, or the mean less a price for variance
    (Coste et al. 2024, eqs. 2 to 4: what the heads were not taught alike is where a policy finds loopholes).
    """
    if config.score_of_heads == "worst":
        return heads.amin(1)
    if config.score_of_heads == "uncertainty":
        return heads.mean(1) - config.uncertainty_coef * heads.var(1, correction=0)
    return heads.mean(1)


class Scorer:
    """A reward model over the responses of one policy."""

    def __init__(
        self,
        reward: Scalar,
        tokenizer: PreTrainedTokenizerBase,
        policy_tokenizer: PreTrainedTokenizerBase,
        config: ScoredConfig,
        *,
        batch_size: int = 0,
    ) -> None:
        self.reward = reward
        self.shares_tokens = same_tokens(tokenizer, policy_tokenizer)
        self.batch_size = batch_size
        self._config = config
        self._policy_tokenizer = policy_tokenizer
        self._encoder = Encoder(
            tokenizer,
            max_prompt_tokens=config.max_prompt_tokens,
            # A re-encoded response may take more tokens than it was written in; it must not lose its end.
            max_response_tokens=4 * config.max_response_tokens,
        )

    def __call__(self, prompts: Sequence[Messages], responses: Responses) -> Tensor:
        """(B,) normalised scores, float32. prompts: the conversation behind each row."""
        return self.scores(prompts, responses).score

    @torch.no_grad()
    def scores(self, prompts: Sequence[Messages], responses: Responses) -> Scores:
        """The scores, and how far the heads disagree. prompts: the conversation behind each row."""
        rows = self.rows(prompts, responses)
        heads = torch.zeros(len(rows), self.reward.num_heads, device=responses.tokens.device)

        def head_scores(chosen: list[int]) -> Tensor:
            batch = pad_rows([rows[row] for row in chosen], side="right").to(heads.device)
            with precision(heads.device, self._config.dtype):
                raw = self.reward.head_scores(batch.tokens, batch.mask)
            return self.reward.normalised_heads(raw).float()

        with side_by_side(self.reward.trunk, most=self.batch_size) as workers, self.reward.at_work():
            cut = pieces(
                range(len(rows)),
                size=self.batch_size,
                length=lambda row: len(rows[row]),
                device=heads.device,
                is_packed=packs(self.reward.trunk),
                at_once=workers.count,
            )
            mine = [own.rows for own in map(share, cut) if own.weight]
            for chosen, of_piece in zip(mine, workers.read(head_scores, mine), strict=True):
                heads[chosen] = of_piece
        heads = summed(heads)
        std = heads.std(1, correction=0) if self.reward.num_heads > 1 else None
        return Scores(together(heads, self._config), std)

    def rows(self, prompts: Sequence[Messages], responses: Responses) -> list[list[int]]:
        """The reward model's own tokens of each prompt with its response."""
        if self.shares_tokens:
            lengths = responses.lengths().tolist()
            return [row[:length] for row, length in zip(responses.tokens.tolist(), lengths, strict=True)]
        texts = response_texts(self._policy_tokenizer, responses)
        rows = []
        for messages, text, has_ended in zip(prompts, texts, responses.ended.tolist(), strict=True):
            encoded = self._encoder.encode(messages, text)
            rows.append(encoded.prompt + (encoded.response if has_ended else encoded.response[:-1]))
        return rows

    def warnings(self) -> list[str]:
        """A sentence when text has to pass from one tokenizer to the other."""
        if self.shares_tokens:
            return []
        return [
            "policy and reward model have different tokenizers: responses are decoded and encoded again "
            "before they are scored."
        ]


def refuse_unfit_scores(
    scorer: Scorer, prompts: Sequence[Messages], responses: Responses, scores: Tensor, config: PolicyConfig
) -> list[str]:
    """Check the first rollouts before anything is learned from them; ValueError, or sentences to warn with.

    A reward that changes with the padding of its batch would pay for the neighbours, and a policy that never ends its
    responses would be paid `missing_eos_score` for all of them alike.
    """
    shortest = responses.lengths().argmin().reshape(1)
    alone = scorer([prompts[int(shortest)]], responses.take(shortest))
    gap = float((alone - scores[shortest]).abs().max())
    tolerance = 1e-4 if config.dtype == "float32" else 0.05
    if not gap <= tolerance:
        raise ValueError(
            f"the reward model scores a response {gap:.2g} higher or lower in a padded batch than alone (at most "
            f"{tolerance:g} is allowed): its architecture does not keep padding apart. Use another reward model."
        )
    if bool(responses.ended.any()):
        return []
    sentence = (
        f"none of the {len(scores)} sampled responses ended by itself within max_response_tokens "
        f"({config.max_response_tokens}): raise it, or teach the model to end (an sft run)"
    )
    if config.replace_missing_eos:
        raise ValueError(f"{sentence}, or set replace_missing_eos to false, so that their scores count.")
    return [f"{sentence}."]
