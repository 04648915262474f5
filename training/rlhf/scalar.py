"""One number a token, read by linear heads on a trunk: what reward models and value models have in common."""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from training.rlhf.inputs import model_inputs
from training.rlhf.packing import packed_states, packs


class Scalar(nn.Module):
    """Linear heads on a trunk. Whose trunk it is says the subclass, by `trunk` and `head`.

    A reward model may have several heads, an ensemble on one trunk; its score is then their mean.
    """

    def __init__(self, *, num_heads: int) -> None:
        super().__init__()
        self.reward_mean = 0.0
        self.reward_std = 1.0
        self.head_offsets = [0.0] * num_heads
        """Mean of each head over the reference responses, less reward_mean."""
        self.temperature = 1.0
        """What the difference of two raw scores is divided by to be the log-odds that people prefer the first."""

    @property
    def trunk(self) -> nn.Module:
        raise NotImplementedError

    @property
    def head(self) -> nn.Linear:
        raise NotImplementedError

    def at_work(self) -> contextlib.AbstractContextManager[None]:
        """Inside, several threads may ask the model: what it shares with others is set up for all of them."""
        return contextlib.nullcontext()

    @property
    def num_heads(self) -> int:
        return self.head.out_features

    def read_normalisation(self, about: Mapping[str, Any]) -> None:
        """Take it from an artifact's plumbline.json; what it does not say stays."""
        self.head_offsets = [float(offset) for offset in about.get("head_offsets", self.head_offsets)]
        self.reward_mean = float(about.get("reward_mean", self.reward_mean))
        self.reward_std = float(about.get("reward_std", self.reward_std))
        self.temperature = float(about.get("temperature", self.temperature))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, L) numbers, one after each token; those where the mask is false mean nothing."""
        if not packs(self.trunk):
            return self._read(self.trunk(**model_inputs(self.trunk, tokens, mask)).last_hidden_state).mean(-1)
        of_real = self._read(packed_states(self.trunk, tokens, mask)).mean(-1)
        return of_real.new_zeros(mask.shape).masked_scatter(mask, of_real)

    def head_scores(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, K) raw scores of every head, read at each row's last real token."""
        if packs(self.trunk):
            # the last True of each row
            return self._read(packed_states(self.trunk, tokens, mask, mask & (mask.flip(1).cumsum(1).flip(1) == 1)))
        hidden = self.trunk(**model_inputs(self.trunk, tokens, mask)).last_hidden_state
        columns = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * columns).argmax(dim=1)
        return self._read(hidden[torch.arange(len(last), device=last.device), last])

    def _read(self, hidden: Tensor) -> Tensor:
        """(..., K) what the heads say of the trunk's last layer (..., d)."""
        with torch.autocast(hidden.device.type, enabled=False):  # a score of three digits would be too coarse
            values: Tensor = self.head(hidden.to(self.head.weight.dtype))
        return values

    def score(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B,) raw scores, read at each row's last real token: the mean of the heads."""
        return self.head_scores(tokens, mask).mean(-1)

    def normalised(self, raw: Tensor) -> Tensor:
        """(raw - mean) / std over the reference responses it was trained with: 0 is "as good as the reference"."""
        return (raw - self.reward_mean) / self.reward_std

    def normalised_heads(self, raw: Tensor) -> Tensor:
        """(B, K) each head's scores in the same unit, every head with the mean 0. raw: (B, K), of head_scores."""
        return self.normalised(raw - torch.tensor(self.head_offsets, dtype=raw.dtype, device=raw.device))

    def response_values(self, tokens: Tensor, mask: Tensor, *, keep: int) -> Tensor:
        """(B, keep) values of the states that the last `keep` tokens were chosen in: one column earlier each."""
        values: Tensor = self(tokens, mask)
        return values[:, -keep - 1 : -1]
