"""What a response is paid: the reward model's score, and what else a run asks for, each weighted, each with its curve.

    reward = Reward(scorer, tokenizer, config)
    paid = reward(prompts, responses)      # paid.total (B,), paid.parts by name (B,)

Parts beside the reward model: length (tokens beyond a target), repetition (share of n-grams that came before), a
forbidden pattern (a regular expression), and a function of one's own. That function is named by an entry point of the
group `plumbline.rewards`, never by a path: whoever may start a run may not thereby run any code on the machine, only
what its owner has installed there.
"""

import math
import re
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.config import PolicyConfig
from training.rlhf.data import Messages
from training.rlhf.sampling import Responses
from training.rlhf.scoring import Scorer, response_texts

GROUP = "plumbline.rewards"
OwnReward = Callable[[Sequence[Messages], Sequence[str]], Sequence[float]]
"""(conversations, answers) → a finite number for each answer."""


class Paid(NamedTuple):
    """B responses and what they earn, before clipping and before the rule for those that did not end."""

    total: Tensor
    """(B,) Σ weight·part, float32."""
    parts: dict[str, Tensor]
    """(B,) each part with its weight in it; `model` is the reward model's."""
    model: Tensor
    """(B,) the reward model's normalised score without its weight."""
    model_std: Tensor | None
    """(B,) standard deviation between the reward model's heads; None where it has one."""


class Reward:
    """Everything a run pays for. ValueError with a sentence where a part cannot be had."""

    def __init__(self, scorer: Scorer, tokenizer: PreTrainedTokenizerBase, config: PolicyConfig) -> None:
        self.scorer = scorer
        self._tokenizer = tokenizer
        self._config = config
        self._forbidden = re.compile(config.forbidden_pattern) if config.forbidden_pattern else None
        self._own = own_reward(config.own_reward) if config.own_reward else None

    def __call__(self, prompts: Sequence[Messages], responses: Responses) -> Paid:
        config = self._config
        scores, std = self.scorer.scores(prompts, responses)
        parts = {"model": config.reward_weight * scores}
        if config.length_penalty:
            parts["length"] = -config.length_penalty * excess_length(responses.mask, config.length_target)
        if config.repetition_penalty:
            shares = [repetition(text, n=config.repetition_ngram) for text in responses.texts()]
            parts["repetition"] = -config.repetition_penalty * _like(scores, shares)
        if self._forbidden is not None:
            hits = [bool(self._forbidden.search(text)) for text in self._texts(responses)]
            parts["forbidden"] = -config.forbidden_penalty * _like(scores, hits)
        if self._own is not None:
            parts["own"] = config.own_reward_weight * _like(scores, self._asked(prompts, self._texts(responses)))
        return Paid(total=torch.stack(list(parts.values())).sum(0), parts=parts, model=scores, model_std=std)

    def _texts(self, responses: Responses) -> list[str]:
        return response_texts(self._tokenizer, responses)

    def _asked(self, prompts: Sequence[Messages], texts: Sequence[str]) -> list[float]:
        """What the function of one's own says, checked: a NaN would end the run many steps later."""
        assert self._own is not None
        values = [float(value) for value in self._own(prompts, texts)]
        if len(values) != len(texts) or not all(map(math.isfinite, values)):
            raise ValueError(
                f"the reward {self._config.own_reward!r} must give a finite number for each of {len(texts)} answers: "
                f"correct it (it gave {len(values)}, the first of them {values[:3]})."
            )
        return values


def own_reward(name: str) -> OwnReward:
    """The installed function of that name; ValueError with what there is instead."""
    found = entry_points(group=GROUP)
    if name in found.names:
        function: OwnReward = found[name].load()
        return function
    there = ", ".join(sorted(found.names)) or "none"
    raise ValueError(
        f"there is no reward {name!r} among the installed entry points of the group {GROUP} ({there}): install the "
        "package that brings it on the machine that trains, or correct own_reward."
    )


def excess_length(mask: Tensor, target: int) -> Tensor:
    """(B,) tokens beyond the target, as a share of it; 0 up to it. mask: (B, T) response tokens."""
    return (mask.sum(1).float() - target).clamp(min=0) / target


def repetition(tokens: Sequence[int], *, n: int) -> float:
    """The share of a response's n-grams that stand in it before: 0 none, towards 1 a loop; 0 where it is too short."""
    grams = list(zip(*(tokens[offset:] for offset in range(n)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _like(scores: Tensor, values: Sequence[float]) -> Tensor:
    return torch.tensor([float(value) for value in values], dtype=scores.dtype, device=scores.device)
