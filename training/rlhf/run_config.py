"""What every kind of run has, and what every run that changes weights has. Standard library only."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from training.rlhf.fields import SettingError, app_filled, bounded, checked, hints


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every kind of run has."""

    model: str = app_filled()
    """Folder of the model to start from or to use (transformers, safetensors), or a hub id with a pinned revision."""
    revision: str = app_filled()
    """Commit of the hub model; needed when `model` is a hub id, so that one config means one set of weights."""
    seed: int = bounded(0, at_least=0, at_most=2**31 - 1)
    """Fixes data order, initialisation and sampling: the same seed on the same machine gives the same numbers."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; auto takes the first GPU when there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward and backward pass. bfloat16 keeps float32 weights and saves time on a GPU."""
    num_threads: int = bounded(0, at_least=0)
    """CPU threads for torch; 0 leaves its own choice. Bit-exact resuming needs the same number every time."""
    max_prompt_tokens: int = bounded(512, at_least=1)
    """A longer prompt keeps its end, and the run says so in a warning."""
    max_response_tokens: int = bounded(256, at_least=1)
    """Longest response in tokens, the stop token included; a longer one is cut (and then has no stop token)."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = checked(field, hints(type(self))[field.name], getattr(self, field.name))
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(RunConfig):
    """What every run has that asks a reward model."""

    score_of_heads: Literal["mean", "worst", "uncertainty"] = "mean"
    """Of a reward model with several heads: their mean, the lowest of them, or the mean less `uncertainty_coef` times
    their variance."""
    uncertainty_coef: float = bounded(0.5, at_least=0)
    """Score lost by a unit of variance between the heads, with `score_of_heads` uncertainty."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunConfig):
    """What every run that changes weights has. The optimizer is AdamW with betas 0.9 and 0.999."""

    learning_rate: float = bounded(1e-4, above=0)
    """Peak; reached linearly over `warmup_steps`, then as `lr_schedule` says."""
    lr_schedule: Literal["linear", "cosine", "constant"] = "linear"
    """From the peak to zero at the last step (linear, cosine) or no change (constant)."""
    warmup_steps: int = bounded(0, at_least=0)
    """Optimizer steps over which the learning rate rises from zero."""
    micro_batch_size: int = bounded(0, at_least=0)
    """Rows that pass through the model at once; 0 takes the whole batch. Changes memory and speed, not the gradient."""
    activation_checkpointing: bool = False
    """Make each layer's activations again in the backward pass instead of keeping them: less memory, a third more time.
    Changes no number."""
    max_grad_norm: float = bounded(1.0, at_least=0)
    """The gradient is scaled down to this norm; 0 leaves it as it is."""
    adam_eps: float = bounded(1e-5, above=0)
    """Added to Adam's denominator."""
    weight_decay: float = bounded(0.0, at_least=0)
    """Decoupled decay (AdamW) of the weight matrices; norms and biases are left alone."""
    checkpoint_every: int = bounded(50, at_least=1)
    """Optimizer steps (policy runs: rollout steps) between checkpoints. A killed run loses at most these."""
    processes: int = bounded(1, at_least=1)
    """Processes that share every step, one a GPU; with lora_rank each holds the whole model, else weights, gradients
    and optimizer are cut into shards. The result stays the same but for rounding."""
    lora_rank: int = bounded(0, at_least=0)
    """Rank of the LoRA adapters on all linear layers; 0 trains every weight."""
    lora_alpha: float = bounded(16.0, above=0)
    """The adapters' output is scaled by lora_alpha / lora_rank."""
    lora_dropout: float = 0.0
    """Must be 0: with dropout the scored and the trained distribution differ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_dropout != 0:
            raise SettingError(
                "lora_dropout must be 0, got %(value)s: with dropout on, the probabilities that are compared before "
                "and after an update come from different networks. Set it to 0.",
                value=self.lora_dropout,
            )
