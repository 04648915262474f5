"""Activations kept for the backward pass, or made again in it.

make_again(model)       after loading, where config.activation_checkpointing asks for it
"""

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def make_again(model: nn.Module) -> None:
    """Keep what goes into each layer of the model, and make the rest again in the backward pass; the numbers stay the
    same to the last bit. ValueError where the architecture does not say what its layers are.

    The library's own switch works in training mode alone, and there dropout is on: our models stay in eval mode.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} does not say what its layers are, so their activations cannot be made again: set "
            "activation_checkpointing to false and lower micro_batch_size instead."
        )
    for layer in layers:
        # no random state to keep: nothing in a layer draws
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
