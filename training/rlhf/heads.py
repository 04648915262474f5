"""What stands on a trunk: the layer over the vocabulary, read for single tokens, and a value head beside it.

    logprobs = picked_logprobs(states, head, tokens, temperature=1.0).logprobs
    values = ValueHead(width)(states)

The (N, V) matrix of logits is the largest tensor of a step. It is made once, in pieces of bounded size; the backward
pass turns what was kept of it into the gradient in place, or makes it again piece by piece where it would take more
than KEPT_BYTES.
"""

from typing import Any, NamedTuple

import peft
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

PIECE_BYTES = 2**26
KEPT_BYTES = 2**29


class Picked(NamedTuple):
    """What a policy says about N tokens."""

    logprobs: Tensor
    """(N,) nats."""
    entropy: Tensor
    """(N,) nats, of the distribution each was drawn from; 0 where nobody asked for it."""


class _PickedLogprobs(torch.autograd.Function):
    """With p the distribution and H its entropy: d log p_t / d logits = onehot(t) − p, d H / d logits = −p·(log p + H),
    both over the temperature.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, tokens: Tensor, temperature: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.temperature, ctx.with_entropy = temperature, with_entropy
        ctx.rows = _pieces(states, weight)
        is_kept = any(ctx.needs_input_grad) and len(states) * len(weight) * 4 <= KEPT_BYTES
        ctx.kept = [] if is_kept else None
        picked, entropies = [], []
        for rows in ctx.rows:
            logprobs = _logprobs(states[rows], weight, temperature)
            picked.append(logprobs.gather(1, tokens[rows].unsqueeze(1)).squeeze(1))
            # nansum: 0·log 0 = 0
            entropies.append(-(logprobs.exp() * logprobs).nansum(1) if with_entropy else torch.zeros_like(picked[-1]))
            if is_kept:
                ctx.kept.append(logprobs)
        entropy = torch.cat(entropies)
        ctx.save_for_backward(states, weight, tokens, entropy)
        return torch.cat(picked), entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, tokens, entropy = ctx.saved_tensors
        of_picked, of_entropy = (gradient / ctx.temperature for gradient in gradients)
        kept, ctx.kept = ctx.kept, None  # overwritten below; a second backward pass makes it anew
        of_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for index, rows in enumerate(ctx.rows):
            logprobs = kept[index] if kept else _logprobs(states[rows], weight, ctx.temperature)
            own = of_picked[rows].unsqueeze(1)
            factor = -own
            if ctx.with_entropy:
                factor = factor - of_entropy[rows].unsqueeze(1) * (logprobs + entropy[rows].unsqueeze(1))
            of_logits = (
                logprobs.exp_().mul_(factor).nan_to_num_(0) if ctx.with_entropy else logprobs.exp_().mul_(factor)
            )
            of_logits = of_logits.scatter_add_(1, tokens[rows].unsqueeze(1), own).to(weight.dtype)
            if of_states is not None:
                torch.mm(of_logits, weight, out=of_states[rows])
            if of_weight is not None:
                of_weight.addmm_(of_logits.t(), states[rows])
        return of_states, of_weight, None, None, None


def picked_logprobs(
    states: Tensor, head: nn.Linear, tokens: Tensor, *, temperature: float, with_entropy: bool = False
) -> Picked:
    """What softmax(head(states) / temperature) says about each token, in at least float32.

    states: (N, d) hidden states that predict the tokens; tokens: (N,).
    """
    weight = head.weight
    if head.bias is not None:  # one more channel, which is 1 everywhere
        states = torch.cat([states, states.new_ones(len(states), 1)], 1)
        weight = torch.cat([weight, head.bias.unsqueeze(1)], 1)
    kind = states.device.type  # both as mixed precision has them in a linear layer
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    found = _PickedLogprobs.apply(states.to(dtype), weight.to(dtype), tokens, temperature, with_entropy)
    return Picked(*found)


def trunk_of(policy: nn.Module) -> nn.Module:
    """The network below the head of a causal model, adapters included."""
    plain = plain_of(policy)
    trunk: nn.Module = getattr(plain, plain.base_model_prefix)
    return trunk


def head_of(policy: nn.Module) -> nn.Linear:
    """The layer over the vocabulary of a causal model that packs."""
    head = plain_of(policy).get_output_embeddings()
    assert isinstance(head, nn.Linear)
    return head


def plain_of(policy: nn.Module) -> PreTrainedModel:
    """The model inside its adapters, which stay where they are."""
    plain = policy.get_base_model() if isinstance(policy, peft.PeftModel) else policy
    assert isinstance(plain, PreTrainedModel)
    return plain


class ValueHead(nn.Module):
    """One number a state of somebody else's trunk: a value model without a network of its own. It starts at 0.

    It has everything to learn, on states that the policy's learning moves, at a rate that is chosen for a trunk that
    knows its language already. Adam steps by its rate whatever the gradient, so a factor on the way out is a factor of
    the head's rate.
    """

    FASTER = 10.0
    """How much faster than the trunk it learns: 1 left the policy behind one with a value model of its own
    (docs/results.md)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, states: Tensor) -> Tensor:
        """(N,) values in units of the normalised score. states: (N, d)."""
        with torch.autocast(states.device.type, enabled=False):  # three digits would be too coarse
            values: Tensor = self.FASTER * self.head(states.to(self.head.weight.dtype)).squeeze(-1)
        return values


def _logprobs(states: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = states @ weight.t()
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if temperature != 1:
        logits = logits.div_(temperature)
    return F.log_softmax(logits, -1)


def _pieces(states: Tensor, weight: Tensor) -> list[slice]:
    size = max(1, PIECE_BYTES // (4 * len(weight)))
    return [slice(start, start + size) for start in range(0, len(states), size)]
