"""The least a step can cost: the multiplications of its models at the rate of a matrix product measured beside it.

A forward pass takes 2 operations a weight and token, a backward pass 2 for the gradient of what went in and 2 for that
of the weights (none where they are frozen). Attention over rows this short is left out, so the floor is a little low.
"""

import time
from dataclasses import dataclass

import torch

from benchmarks.trainer.world import Dimensions


@dataclass(frozen=True)
class Weights:
    """Weights that a token is multiplied with."""

    trunk: int
    head: int
    """The layer over the vocabulary."""


def weights_of(dimensions: Dimensions) -> Weights:
    width = dimensions.width
    a_layer = 4 * width**2 + 3 * width * dimensions.inner_width
    return Weights(trunk=dimensions.num_layers * a_layer, head=width * dimensions.vocabulary)


def update_operations(
    dimensions: Dimensions, *, tokens: float, response_tokens: float, passes: int, is_shared: bool, is_lora: bool
) -> float:
    """Of one PPO update. tokens: of all prompts and responses once; the head sees the response tokens alone."""
    weights = weights_of(dimensions)
    a_weight = 4 if is_lora else 6
    trunks = weights.trunk * (1 if is_shared else 2)
    return passes * a_weight * (trunks * tokens + weights.head * response_tokens)


def product_rate(dimensions: Dimensions, *, rows: int = 1024, seconds: float = 1.0) -> float:
    """Operations a second of the product that a step is made of: `rows` tokens through one layer's widest matrix."""
    tokens, matrix = torch.randn(rows, dimensions.width), torch.randn(dimensions.inner_width, dimensions.width)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        for _ in range(10):
            torch.nn.functional.linear(tokens, matrix)
        best = min(best, (time.perf_counter() - began) / 10)
    return 2 * rows * dimensions.width * dimensions.inner_width / best
