"""One frozen dataclass a kind of run: every setting explained under its field and checked when built.

    config = from_dict("reward", {"learning_rate": 1e-4, "model": "starter"})
    describe(RewardConfig)      what a form needs to draw itself

Standard library only: a web page checks a config without loading torch. A wrong value raises SettingError, a ValueError
with a sentence that names the field and what to change. Paths that the web app knows itself carry `filled_by: app`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from training.rlhf.fields import ONE_OF, FieldHelp, SettingError, app_filled, bounded, checked, describe, hints, nearest

__all__ = [
    "KINDS",
    "Config",
    "EvaluateConfig",
    "FieldHelp",
    "GenerateConfig",
    "PolicyConfig",
    "RewardConfig",
    "RunConfig",
    "SFTConfig",
    "SettingError",
    "TrainingConfig",
    "describe",
    "from_dict",
    "to_dict",
]


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
    max_grad_norm: float = bounded(1.0, at_least=0)
    """The gradient is scaled down to this norm; 0 leaves it as it is."""
    adam_eps: float = bounded(1e-5, above=0)
    """Added to Adam's denominator."""
    weight_decay: float = bounded(0.0, at_least=0)
    """Decoupled decay (AdamW) of the weight matrices; norms and biases are left alone."""
    checkpoint_every: int = bounded(50, at_least=1)
    """Optimizer steps (policy runs: rollout steps) between checkpoints. A killed run loses at most these."""
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


@dataclass(frozen=True, kw_only=True)
class SFTConfig(TrainingConfig):
    """Imitate demonstrations: the mean negative log-likelihood of response tokens."""

    learning_rate: float = bounded(1e-4, above=0)
    """Peak; reached linearly over `warmup_steps`, then as `lr_schedule` says."""
    batch_size: int = bounded(16, at_least=1)
    """Demonstrations per optimizer step."""
    epochs: int = bounded(1, at_least=1)
    """Passes over the train split."""
    max_steps: int = bounded(0, at_least=0)
    """Stop after so many optimizer steps even if the epochs are not over; 0 sets no limit."""
    evaluate_every: int = bounded(50, at_least=1)
    """Optimizer steps between measurements on the validation split; the last step is always measured."""


@dataclass(frozen=True, kw_only=True)
class RewardConfig(TrainingConfig):
    """Learn a score from preference pairs (Bradley-Terry)."""

    learning_rate: float = bounded(1e-4, above=0)
    """Peak; reached linearly over `warmup_steps`, then as `lr_schedule` says."""
    batch_size: int = bounded(32, at_least=1)
    """Preference pairs per optimizer step; both responses of a pair are always in the same step."""
    epochs: int = bounded(1, at_least=1)
    """Passes over the train split. More than one usually overfits."""
    max_steps: int = bounded(0, at_least=0)
    """Stop after so many optimizer steps even if the epochs are not over; 0 sets no limit."""
    evaluate_every: int = bounded(50, at_least=1)
    """Optimizer steps between measurements on the validation split; the last step is always measured."""
    keep_best: bool = True
    """Publish the weights of the lowest validation loss instead of the last ones (needs a validation split)."""
    margin_per_strength: float = bounded(0.0, at_least=0)
    """Margin = this times |strength| for pairs that bring no margin of their own (Llama 2); 0 asks for none."""
    centering: float = bounded(0.0, at_least=0)
    """Weight of mean((r_a + r_b)^2), which pulls scores towards zero (Eisenstein et al. 2023); 0 or 0.01."""
    label_smoothing: float = bounded(0.0, at_least=0, at_most=0.49)
    """Share of labels taken to be wrong: the target p becomes p(1-s) + (1-p)s."""


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(TrainingConfig):
    """Tune a policy against a reward model: sample answers, score them, make the better ones likelier."""

    algorithm: Literal["ppo", "reinforce", "a2c", "rloo", "grpo", "dr_grpo"] = "ppo"
    """How scores become advantages: ppo and a2c from a value model (GAE), reinforce from one baseline, rloo and grpo
    from the other answers to the same prompt. All but reinforce and a2c clip the ratio; dr_grpo is grpo without its two
    divisions."""

    reward_model: str = app_filled()
    """Folder of the reward model, the artifact of a reward run."""
    value_model: str = app_filled()
    """Folder of a scalar model to start the value model from; empty follows `value_init`."""
    learning_rate: float = bounded(1e-5, above=0)
    """Peak; reached linearly over `warmup_steps`, then as `lr_schedule` says."""
    num_steps: int = bounded(0, at_least=0)
    """Rollout steps; 0 derives them from `total_episodes`."""
    total_episodes: int = bounded(4096, at_least=0)
    """Responses sampled over the whole run, used when `num_steps` is 0."""
    rollout_batch_size: int = bounded(64, at_least=1)
    """Responses sampled and scored in each step."""
    samples_per_prompt: int = bounded(0, at_least=0)
    """Answers to each prompt of a step; 0 takes the algorithm's own: 4 for rloo, grpo and dr_grpo, 1 for the others."""
    baseline: Literal["mean", "value"] = "mean"
    """What reinforce subtracts: the running mean of the rewards so far, or a value model. The others have their own."""
    ppo_epochs: int = bounded(0, at_least=0)
    """Passes over each rollout batch; 0 takes the algorithm's own: 4 for ppo, 1 for the others."""
    num_minibatches: int = bounded(1, at_least=1)
    """Optimizer steps per pass; must divide `rollout_batch_size`."""
    temperature: float = bounded(1.0, above=0)
    """Divides the logits when sampling, when scoring the reference and in the update alike."""
    gamma: float = bounded(1.0, at_least=0, at_most=1)
    """Discount of later rewards."""
    gae_lambda: float = bounded(0.95, at_least=0, at_most=1)
    """Bias against variance of the advantage (GAE); 1 ignores the value model's bootstrap."""
    clip_range: float = bounded(0.2, above=0)
    """The probability ratio earns nothing outside 1 ± this; reinforce and a2c do not clip."""
    clip_range_high: float = bounded(0.0, at_least=0)
    """Another bound above 1, for a ratio that rises (DAPO); 0 takes clip_range on both sides."""
    ratio_of: Literal["token", "response"] = "token"
    """The probability ratio of each token, or one of the whole response (RLOO as TRL writes it)."""
    dual_clip: float = bounded(0.0, at_least=0)
    """Above 1: a bad token that grew likely costs at most this times its advantage (Ye et al. 2020); 0 is off."""
    value_clip_range: float = bounded(0.2, above=0)
    """A value may move this far from the sampled one before its loss stops falling."""
    value_coef: float = bounded(0.1, at_least=0)
    """Weight of the value loss."""
    entropy_coef: float = bounded(0.0, at_least=0)
    """Weight of the entropy bonus."""
    kl_coef: float = bounded(0.05, at_least=0)
    """β: reward lost per nat of KL from the reference; the first value when the controller is adaptive."""
    kl_in: Literal["auto", "reward", "loss"] = "auto"
    """Where the KL counts: in the reward, or as a term of the loss (auto: the loss for grpo and dr_grpo, as published).
    Only in the reward does the whole answer's KL reach every token, so only there the optimum is π_ref·exp(r/β)."""
    kl_controller: Literal["fixed", "adaptive"] = "fixed"
    """Fixed keeps β; adaptive moves it until the KL of a response meets `kl_target` (Ziegler et al. 2019)."""
    kl_target: float = bounded(6.0, above=0)
    """Wanted KL in nats per response (summed over its tokens), for the adaptive controller."""
    kl_horizon: int = bounded(10_000, at_least=1)
    """Responses over which the adaptive controller corrects; smaller is faster."""
    kl_in_reward_estimator: Literal["k1"] = "k1"
    """Estimator of the per-token KL inside the reward. Only k1 keeps the optimum that is asked for."""
    kl_in_loss_estimator: Literal["k2", "k3", "k3_weighted"] = "k3"
    """Estimator of the KL as a loss term: k2 has the gradient of the reverse KL, k3 that of the forward KL, and
    k3 weighted by the ratio that of the reverse KL again, token by token."""
    whiten_advantages: bool = True
    """ppo and a2c: bring advantages to mean 0 and variance 1 over the rollout batch. Others have their own scale."""
    advantage_variance: Literal["population", "unbiased"] = "population"
    """Divisor of that variance: n (the papers' code) or n - 1 (TRL, verl)."""
    loss_average: Literal["auto", "token", "sequence", "constant"] = "auto"
    """Each token weighs the same; or each answer does; or tokens are divided by max_response_tokens (auto: sequence for
    grpo, constant for dr_grpo, token for the others)."""
    whiten_rewards: bool = False
    """Bring per-token rewards to variance 1 over the rollout batch; their mean is kept."""
    reward_clip: float = bounded(0.0, at_least=0)
    """Scores are clipped to ± this; 0 leaves them."""
    missing_eos_score: float = -1.0
    """Replaces the score (after normalisation) of a response that did not end by itself."""
    replace_missing_eos: bool = True
    """Off keeps the reward model's score also for responses that did not end by themselves."""
    kl_stop: float = bounded(0.0, at_least=0)
    """An update whose approximate KL from the sampled policy exceeds this ends its step early; 0 never does."""
    score_at: Literal["last", "first_pad"] = "last"
    """Where the score is paid: the last real token, or the first pad behind it (an older code base's habit)."""
    adam_eps_style: Literal["torch", "tf"] = "torch"
    """Where Adam adds its epsilon: torch's formula or TensorFlow's, which the first papers used."""
    value_init: Literal["auto", "reward", "policy"] = "auto"
    """The value model starts from the reward model, from the policy with a zero head, or (auto) the first that fits."""
    sample_every: int = bounded(10, at_least=1)
    """Steps between answers to the same fixed prompts, kept so that a reader sees what the curve stands for."""
    num_sample_prompts: int = bounded(8, at_least=1)
    """How many fixed prompts those are."""

    def __post_init__(self) -> None:
        if self.kl_in_reward_estimator in ("k2", "k3", "abs"):
            raise SettingError(
                "kl_in_reward_estimator must be k1, got '%(value)s': inside the reward any other estimator has another "
                "optimum than π_ref·exp(r/β), as enumeration shows. Set it to k1.",
                value=self.kl_in_reward_estimator,
            )
        super().__post_init__()
        self._check_algorithm()
        if 0 < self.dual_clip <= 1:
            raise SettingError("dual_clip must be 0 (off) or above 1, got %(value)s.", value=self.dual_clip)
        if self.rollout_batch_size % self.num_minibatches:
            raise SettingError(
                "num_minibatches must divide rollout_batch_size, got %(minibatches)s and %(batch)s: choose a divisor, "
                "so that every minibatch weighs the same.",
                minibatches=self.num_minibatches,
                batch=self.rollout_batch_size,
            )
        if self.num_steps == 0 and self.total_episodes < self.rollout_batch_size:
            raise SettingError(
                "total_episodes must be at least rollout_batch_size, got %(episodes)s and %(batch)s: raise it, or set "
                "num_steps.",
                episodes=self.total_episodes,
                batch=self.rollout_batch_size,
            )

    def _check_algorithm(self) -> None:
        if self.algorithm in ("reinforce", "a2c") and self.ppo_epochs > 1:
            raise SettingError(
                "ppo_epochs must be 0 or 1 for %(algorithm)s, got %(value)s: without clipping, a second pass learns "
                "from answers that another policy wrote. Choose ppo, or lower it.",
                algorithm=self.algorithm,
                value=self.ppo_epochs,
            )
        if self.is_grouped and self.group_size < 2:
            raise SettingError(
                "samples_per_prompt must be at least 2 for %(algorithm)s, which compares the answers to one prompt: "
                "raise it, or choose ppo.",
                algorithm=self.algorithm,
            )
        if self.rollout_batch_size % self.group_size:
            raise SettingError(
                "samples_per_prompt must divide rollout_batch_size, got %(group)s and %(batch)s: choose a divisor.",
                group=self.group_size,
                batch=self.rollout_batch_size,
            )
        if self.kl_in_loss and self.kl_controller == "adaptive":
            raise SettingError(
                "kl_controller must be fixed when the KL is a term of the loss: set it to fixed, or kl_in to reward."
            )

    @property
    def is_grouped(self) -> bool:
        """The answers to one prompt are each other's baseline."""
        return self.algorithm in ("rloo", "grpo", "dr_grpo")

    @property
    def has_value_model(self) -> bool:
        return self.algorithm in ("ppo", "a2c") or (self.algorithm == "reinforce" and self.baseline == "value")

    @property
    def clips(self) -> bool:
        return self.algorithm not in ("reinforce", "a2c")

    @property
    def kl_in_loss(self) -> bool:
        own = self.algorithm in ("grpo", "dr_grpo")
        return own if self.kl_in == "auto" else self.kl_in == "loss"

    @property
    def group_size(self) -> int:
        return self.samples_per_prompt or (4 if self.is_grouped else 1)

    @property
    def passes(self) -> int:
        return self.ppo_epochs or (4 if self.algorithm == "ppo" else 1)

    @property
    def averages_by(self) -> str:
        own = {"grpo": "sequence", "dr_grpo": "constant"}.get(self.algorithm, "token")
        return own if self.loss_average == "auto" else self.loss_average

    def total_steps(self) -> int:
        """Rollout steps of the whole run."""
        return self.num_steps or self.total_episodes // self.rollout_batch_size


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(RunConfig):
    """Write answers to prompts: responses.jsonl in the run's folder, no model."""

    reward_model: str = app_filled()
    """Folder of a reward model that scores the answers; empty leaves them without a score."""
    samples_per_prompt: int = bounded(1, at_least=1)
    """Answers to each prompt."""
    batch_size: int = bounded(16, at_least=1)
    """Answers written at once."""
    temperature: float = bounded(1.0, at_least=0)
    """Divides the logits; 0 always takes the likeliest token."""
    split: Literal["all", "train", "validation", "test"] = "all"
    """Which of prompts.jsonl are answered."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(RunConfig):
    """Measure a model on the run's data: a reward model on pairs, a policy on prompts."""

    reward_model: str = app_filled()
    """Folder of the reward model that scores a policy's answers; not used when `model` is a reward model."""
    reference_model: str = app_filled()
    """Folder of the causal model that the policy's KL is measured from; empty leaves the KL out."""
    reference_revision: str = app_filled()
    """Commit of the reference model when it is a hub id."""
    batch_size: int = bounded(16, at_least=1)
    """Pairs or answers at once."""
    temperature: float = bounded(1.0, above=0)
    """Divides the policy's and the reference's logits when answers are written and scored."""
    split: Literal["train", "validation", "test", "all"] = "test"
    """Which lines are measured."""


Config = SFTConfig | RewardConfig | PolicyConfig | GenerateConfig | EvaluateConfig
KINDS: dict[str, type[Config]] = {
    "sft": SFTConfig,
    "reward": RewardConfig,
    "policy": PolicyConfig,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
}


def from_dict(kind: str, values: Mapping[str, Any]) -> Config:
    """The config of `kind` from JSON-like values; raises ValueError with a sentence on an unknown kind or key."""
    if kind not in KINDS:
        raise SettingError(ONE_OF, name="kind", choices=", ".join(KINDS), value=kind, nearest=nearest(kind, KINDS))
    names = [field.name for field in dataclasses.fields(KINDS[kind])]
    settings = {key: value for key, value in values.items() if key != "kind"}
    if values.get("kind", kind) != kind:
        raise SettingError(
            "this is a %(kind)s run, but its config says kind '%(said)s': correct one of the two.",
            kind=kind,
            said=values["kind"],
        )
    for key in settings:
        if key not in names:
            raise SettingError(
                "'%(name)s' is not a setting of a %(kind)s run.", name=key, kind=kind, nearest=nearest(key, names)
            )
    return KINDS[kind](**settings)


def to_dict(config: Config) -> dict[str, Any]:
    """Every setting and the kind, ready for JSON; `from_dict` takes it back."""
    kind = next(name for name, config_class in KINDS.items() if config_class is type(config))
    return {"kind": kind, **dataclasses.asdict(config)}
