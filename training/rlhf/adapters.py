"""A reward model tuned by adapters, on the trunk of a policy that is tuned by adapters from the same weights.

    save_adapters(folder, reward)              into its artifact, before save_model adds them into the weights
    reward = on_trunk_of(policy, "runs/7/artifact", name="reward")          None where it stands on other weights

An artifact of a reward run with adapters is a whole model, which any tool loads; in adapter/ it also keeps what was
learned alone, as peft writes it, and a hash of the weights below. A policy whose frozen trunk has this hash takes the
adapters and heads and leaves the rest on the disk: one trunk then answers as policy, reference, value model and reward
model.
"""

import contextlib
import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.rlhf.distributed import rank
from training.rlhf.heads import plain_of, trunk_of
from training.rlhf.model import ScalarModel, is_reward_model, read_about
from training.rlhf.rundir import write_text
from training.rlhf.scalar import Scalar

PLACE = "adapter"
WEIGHTS, HEADS, TRUNK = "adapter_model.safetensors", "heads.safetensors", "trunk.json"
OWN = "default"
"""What peft calls the adapters that learn."""
BELOW = "base_model.model."
"""What peft puts before the names of a model's weights."""


class AdaptedReward(Scalar):
    """Adapters of their own and heads on the trunk of a policy, whose weights are none of this model's."""

    def __init__(self, policy: peft.PeftModel, name: str, heads: Tensor) -> None:
        super().__init__(num_heads=len(heads))
        self._policy = (policy,)  # in a tuple: as a module of this one it would be frozen with it
        self._name = name
        self._head = nn.Linear(heads.shape[1], len(heads), bias=False, device="meta")
        self._head.weight = nn.Parameter(heads)

    @property
    def trunk(self) -> nn.Module:
        return trunk_of(self._policy[0])

    @property
    def head(self) -> nn.Linear:
        return self._head

    def at_work(self) -> contextlib.AbstractContextManager[None]:
        return adapters_of(self._policy[0], self._name)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        with adapters_of(self._policy[0], self._name):
            return super().forward(tokens, mask)

    def head_scores(self, tokens: Tensor, mask: Tensor) -> Tensor:
        with adapters_of(self._policy[0], self._name):
            return super().head_scores(tokens, mask)


def save_adapters(folder: Path, model: ScalarModel) -> None:
    """Write what a reward model has learned beside the place of its whole weights; nothing for one without adapters."""
    if not isinstance(model.trunk, peft.PeftModel) or rank():
        return
    place = folder / PLACE
    place.mkdir()
    settings = copy.copy(model.trunk.peft_config[OWN])
    settings.target_modules = sorted(settings.target_modules)  # of a set, whose order is never the same
    settings.save_pretrained(str(place))
    learned = get_peft_model_state_dict(model.trunk, save_embedding_layers=False)
    save_file({name: weight.contiguous() for name, weight in learned.items()}, place / WEIGHTS)
    save_file({"weight": model.head.weight.detach().contiguous()}, place / HEADS)
    write_text(place / TRUNK, json.dumps({"sha256": trunk_hash(model.trunk.get_base_model())}) + "\n")


def on_trunk_of(policy: nn.Module, folder: str, *, name: str) -> AdaptedReward | None:
    """The reward model of an artifact on the policy's trunk, frozen, under a name of its own; None where the policy
    has no adapters, or the reward model none or other weights below them.
    """
    place = Path(folder) / PLACE
    if not isinstance(policy, peft.PeftModel) or not is_reward_model(folder) or not (place / TRUNK).is_file():
        return None
    trunk = trunk_of(policy)
    if json.loads((place / TRUNK).read_text(encoding="utf-8")).get("sha256") != trunk_hash(trunk):
        return None
    device = next(policy.parameters()).device
    settings = peft.LoraConfig.from_pretrained(str(place))
    policy.add_adapter(name, settings, low_cpu_mem_usage=True)
    prefix = f"{BELOW}{plain_of(policy).base_model_prefix}."
    learned = {key.replace(BELOW, prefix, 1): weight.to(device) for key, weight in load_file(place / WEIGHTS).items()}
    left = set_peft_model_state_dict(policy, learned, adapter_name=name, low_cpu_mem_usage=True)
    assert not left.unexpected_keys, left.unexpected_keys
    reward = AdaptedReward(policy, name, load_file(place / HEADS)["weight"].to(device))
    reward.read_normalisation(read_about(folder))
    return reward.requires_grad_(False).eval()


@contextlib.contextmanager
def adapters_of(policy: nn.Module, name: str) -> Iterator[None]:
    """Inside, the adapters of that name are at work, without gradient, and the policy's own are not. Within itself it
    changes nothing, so several threads may pass through the model there.
    """
    layers = [module for module in policy.modules() if isinstance(module, BaseTunerLayer)]
    if all(layer.active_adapters == [name] for layer in layers):
        yield
        return
    for layer in layers:
        layer.set_adapter(name, inference_mode=True)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_adapter(OWN)


def trunk_hash(trunk: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a trunk's own weights, whatever adapters stand on it."""
    found = hashlib.sha256()
    for name, weight in sorted(trunk.named_parameters()):
        if ".lora_" in name:
            continue
        found.update(f"{name.replace('.base_layer', '')} {weight.dtype} {list(weight.shape)} ".encode())
        found.update(weight.detach().contiguous().view(-1).view(torch.uint8).cpu().numpy().data)
    return found.hexdigest()
