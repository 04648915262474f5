"""What an offline learner says of every token: a trunk with two action-value heads Q and one state-value head V (ILQL,
Snell et al. 2023).

    tower = ValueTower(load_trunk(model, device=device), QHeads(width, vocabulary), make_head(width, 1))
    features = tower.features(responses)             # (N, d), where each response token is chosen
    q1, q2 = tower.q(features)                       # (N, V) what every possible token is worth there
    v = tower.v(features).squeeze(-1)                # (N,)

The heads end in zeros: at first every token is worth 0, and a policy steered by them is what it is without. The target
that V follows is a second pair of Q heads on the same trunk, moved towards the first by `follow`.
"""

import copy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.rlhf.heads import picked_logprobs
from training.rlhf.inputs import forward_names
from training.rlhf.packing import packs
from training.rlhf.sampling import Responses, trunk_states


def make_head(width: int, num_outputs: int) -> nn.Sequential:
    """A hidden layer of twice the width, as in the authors' code; the last layer is zero."""
    last = nn.Linear(2 * width, num_outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), last)


class OfTokens(NamedTuple):
    """What a head of action values says of one token in each of N states."""

    value: Tensor
    """(N,)."""
    logprob: Tensor
    """(N,) value less logsumexp of all tokens' values, in nats; 0 where nobody asked for it."""


def of_tokens(head: nn.Module, features: Tensor, tokens: Tensor, *, with_logprob: bool) -> OfTokens:
    """The value of one token a state, the others' not kept, and without logprobs not even worked out.

    features: (N, d); tokens: (N,).
    """
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    last = layers.pop()
    assert isinstance(last, nn.Linear)
    for layer in layers:
        features = layer(features)
    value = (features * F.embedding(tokens, last.weight)).sum(-1)
    if last.bias is not None:
        value = value + last.bias[tokens]
    if not with_logprob:
        return OfTokens(value, torch.zeros_like(value))
    return OfTokens(value, picked_logprobs(features, last, tokens, temperature=1.0).logprobs)


class QHeads(nn.Module):
    """Two estimates of the same action values: the lower of the two errs less on the high side (Fujimoto et al.
    2018).
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(..., V) twice. features: (..., d)."""
        return self.first(features), self.second(features)

    def lowest(self, features: Tensor) -> Tensor:
        """(..., V) the lower of the two estimates."""
        return torch.minimum(*self(features))

    def of(self, features: Tensor, tokens: Tensor, *, with_logprobs: bool = False) -> tuple[OfTokens, OfTokens]:
        """Both, of one token a state. features: (N, d); tokens: (N,)."""
        first, second = (
            of_tokens(head, features, tokens, with_logprob=with_logprobs) for head in (self.first, self.second)
        )
        return first, second

    def copied(self) -> "QHeads":
        """A target: the same values, moved by `follow` alone."""
        return copy.deepcopy(self)

    @torch.no_grad()
    def follow(self, other: "QHeads", *, share: float) -> None:
        """Move every weight this share of the way to the other's (Polyak averaging)."""
        for own, its in zip(self.parameters(), other.parameters(), strict=True):
            own.lerp_(its, share)


class ValueTower(nn.Module):
    """A trunk of its own under the heads Q and V; the policy that it steers keeps its weights."""

    def __init__(self, trunk: nn.Module, q: QHeads, v: nn.Module) -> None:
        super().__init__()
        self.trunk, self.q, self.v = trunk, q, v

    def features(self, responses: Responses) -> Tensor:
        """(N, d) the trunk's last layer where each response token is predicted, in the heads' precision."""
        if packs(self.trunk):
            found = trunk_states(self.trunk, responses, responses.mask)
        else:
            # Padding stands behind every row's own tokens, so the causal mask alone hides it.
            inputs: dict[str, Any] = {"input_ids": responses.tokens[:, :-1]}
            if "use_cache" in forward_names(self.trunk):
                inputs["use_cache"] = False
            hidden = self.trunk(**inputs).last_hidden_state
            rows, offsets = responses.mask.nonzero(as_tuple=True)
            found = hidden[rows, responses.prompt_lengths[rows] - 1 + offsets]
        return found.to(next(self.q.parameters()).dtype)
