"""Arguments of a forward pass, by what an architecture takes."""

import inspect
from typing import Any

import peft
from torch import Tensor, nn


def model_inputs(model: nn.Module, tokens: Tensor, mask: Tensor) -> dict[str, Any]:
    """Arguments of a forward pass, with positions counted over real tokens where the architecture takes positions."""
    inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask.long()}
    names = forward_names(model)
    if "position_ids" in names:
        inputs["position_ids"] = (mask.long().cumsum(1) - 1).clamp(min=0)
    if "use_cache" in names:
        inputs["use_cache"] = False
    return inputs


def forward_names(model: nn.Module) -> frozenset[str]:
    """The arguments that the architecture's forward pass takes."""
    plain = model.get_base_model() if isinstance(model, peft.PeftModel) else model
    return frozenset(inspect.signature(plain.forward).parameters)
