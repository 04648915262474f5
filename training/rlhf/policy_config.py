"""The settings of a policy run: PPO, REINFORCE, A2C, RLOO, GRPO. Standard library only."""

import re
from dataclasses import dataclass
from typing import Literal

from training.rlhf.fields import SettingError, app_filled, bounded
from training.rlhf.run_config import ScoredConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(TrainingConfig, ScoredConfig):
    """Tune a policy against a reward model: sample answers, score them, make the better ones likelier."""

    algorithm: Literal["ppo", "reinforce", "a2c", "rloo", "grpo", "dr_grpo"] = "ppo"
    """How scores become advantages: ppo and a2c from a value model (GAE), reinforce from one baseline, rloo and grpo
    from the other answers to the same prompt. All but reinforce and a2c clip the ratio; dr_grpo is grpo without its two
    divisions."""

    reward_model: str = app_filled()
    """Folder of the reward model, the artifact of a reward run."""
    watcher: str = app_filled()
    """Folder of another reward model, which scores every answer and pays for none: where its curve falls while the
    reward rises, the policy exploits the reward model. Empty: none."""
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
    reward_weight: float = 1.0
    """What the reward model's score counts for, beside the parts below."""
    length_penalty: float = bounded(0.0, at_least=0)
    """Reward lost by an answer of twice `length_target` tokens, and in proportion beyond; 0 is off."""
    length_target: int = bounded(100, at_least=1)
    """Tokens up to which length costs nothing."""
    repetition_penalty: float = bounded(0.0, at_least=0)
    """Reward lost by an answer that only repeats itself, times the share that does; 0 is off."""
    repetition_ngram: int = bounded(4, at_least=1)
    """Tokens in a row that must come again to count as repeated."""
    forbidden_pattern: str = ""
    """Regular expression of Python; an answer in which it is found loses `forbidden_penalty`. Empty is off."""
    forbidden_penalty: float = bounded(5.0, at_least=0)
    """Reward lost by an answer with the forbidden pattern."""
    own_reward: str = ""
    """Name of an installed entry point (group plumbline.rewards): a function of prompts and answers; empty: off."""
    own_reward_weight: float = 1.0
    """What that function's numbers count for."""
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
    value_trunk: Literal["own", "shared"] = "own"
    """The value model's network: its own, or the policy's under another head, which saves most of its time and memory
    and lets both losses pull on the same weights."""
    sample_every: int = bounded(10, at_least=1)
    """Steps between answers to the same fixed prompts, kept so that a reader sees what the curve stands for."""
    num_sample_prompts: int = bounded(8, at_least=1)
    """How many fixed prompts those are."""

    def __post_init__(self) -> None:
        if self.kl_in_reward_estimator in ("k2", "k3", "abs", "clamped"):
            raise SettingError(
                "kl_in_reward_estimator must be k1, got '%(value)s': inside the reward any other estimator has another "
                "optimum than π_ref·exp(r/β), as enumeration shows. Set it to k1.",
                value=self.kl_in_reward_estimator,
            )
        super().__post_init__()
        self._check_algorithm()
        self._check_rewards()
        self._check_value()
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

    def _check_value(self) -> None:
        if self.value_trunk == "shared" and (self.value_model or self.value_init == "reward"):
            raise SettingError(
                "value_trunk is shared, so the value model is a new head on the policy and starts from no other model: "
                "leave value_model empty and value_init auto or policy, or set value_trunk to own."
            )

    def _check_rewards(self) -> None:
        try:
            re.compile(self.forbidden_pattern)
        except re.error as error:
            raise SettingError(
                "forbidden_pattern is no regular expression (%(error)s): correct it.", error=str(error)
            ) from None

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
    def shares_trunk(self) -> bool:
        """Value and policy are two heads on one trunk."""
        return self.has_value_model and self.value_trunk == "shared"

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
