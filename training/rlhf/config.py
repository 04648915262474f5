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
from urllib.parse import urlsplit

from training.rlhf.fields import ONE_OF, FieldHelp, SettingError, app_filled, bounded, describe, nearest
from training.rlhf.policy_config import PolicyConfig
from training.rlhf.run_config import RunConfig, ScoredConfig, TrainingConfig

__all__ = [
    "KINDS",
    "Config",
    "DPOConfig",
    "EvaluateConfig",
    "FieldHelp",
    "GenerateConfig",
    "ILQLConfig",
    "PolicyConfig",
    "RewardConfig",
    "RunConfig",
    "SFTConfig",
    "ScoredConfig",
    "SettingError",
    "TrainingConfig",
    "describe",
    "from_dict",
    "to_dict",
]


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
    weigh_by: Literal["pair", "prompt"] = "pair"
    """pair: every pair counts by its own weight (those of a ranking share one). prompt: all pairs of a prompt together
    count one."""
    heads: int = bounded(1, at_least=1, at_most=64)
    """Scores learned side by side on one trunk: where they disagree, the model is unsure. Their mean is the score."""
    bootstrap: bool = True
    """With several heads: each learns from a resample of the prompts of its own. Off, they differ by their start
    alone."""


@dataclass(frozen=True, kw_only=True)
class DPOConfig(TrainingConfig):
    """Tune a policy on preference pairs directly, without a reward model or sampling (Rafailov et al. 2023)."""

    learning_rate: float = bounded(1e-5, above=0)
    """Peak; reached linearly over `warmup_steps`, then as `lr_schedule` says."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid: Bradley-Terry, as a reward model learns. ipo: a squared distance, which does not run away where people
    always agree (Azar et al. 2023)."""
    beta: float = bounded(0.1, above=0)
    """Nats of distance from the starting model that a unit of reward is worth: larger stays nearer."""
    label_smoothing: float = bounded(0.0, at_least=0, at_most=0.49)
    """Share of labels taken to be wrong: the target p becomes p(1-s) + (1-p)s."""
    per_token: bool = False
    """Compare mean log-probabilities instead of sums, so that length does not count (as TRL's ipo does)."""
    batch_size: int = bounded(32, at_least=1)
    """Preference pairs per optimizer step."""
    epochs: int = bounded(1, at_least=1)
    """Passes over the train split."""
    max_steps: int = bounded(0, at_least=0)
    """Stop after so many optimizer steps even if the epochs are not over; 0 sets no limit."""
    evaluate_every: int = bounded(50, at_least=1)
    """Optimizer steps between measurements on the validation split; the last step is always measured."""
    keep_best: bool = True
    """Publish the weights of the lowest validation loss instead of the last ones (needs a validation split)."""


@dataclass(frozen=True, kw_only=True)
class ILQLConfig(TrainingConfig):
    """Learn from preference pairs what each token is worth, and steer the model by it (ILQL, Snell et al. 2023)."""

    learning_rate: float = bounded(1e-4, above=0)
    """Peak; reached linearly over `warmup_steps`, then as `lr_schedule` says."""
    beta: float = bounded(4.0, at_least=0)
    """How far answers follow the values: tokens are drawn from π_ref·exp(β(Q − V)); 0 leaves the starting model."""
    expectile: float = bounded(0.7, at_least=0.5, at_most=0.999)
    """Which of the labelled continuations a state is valued by: 0.5 their mean, towards 1 the best of them."""
    gamma: float = bounded(1.0, above=0, at_most=1)
    """Discount a token; below 1 a good answer is worth less the longer it is."""
    cql_coef: float = bounded(0.1, at_least=0)
    """Weight of the term that keeps tokens nobody wrote from being overrated (CQL)."""
    polyak: float = bounded(0.05, above=0, at_most=1)
    """Share by which the target of the values moves to what was learned, at each step."""
    batch_size: int = bounded(32, at_least=1)
    """Labelled responses per optimizer step."""
    epochs: int = bounded(1, at_least=1)
    """Passes over the train split."""
    max_steps: int = bounded(0, at_least=0)
    """Stop after so many optimizer steps even if the epochs are not over; 0 sets no limit."""
    evaluate_every: int = bounded(50, at_least=1)
    """Optimizer steps between measurements on the validation split; the last step is always measured."""


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(ScoredConfig):
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
    backend: Literal["model", "openai"] = "model"
    """Who writes: the model itself, or a server that speaks OpenAI's protocol (vLLM, llama.cpp, Ollama) and serves
    it."""
    server: str = ""
    """Base address of that server, as http://127.0.0.1:8000/v1."""
    server_model: str = ""
    """What the model is called there; empty takes `model`, the folder that vLLM serves or a served model's name."""
    server_concurrency: int = bounded(8, at_least=1, at_most=256)
    """Answers asked of the server at once."""
    server_timeout: int = bounded(120, at_least=1)
    """Seconds to wait for one answer before it is asked for again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend == "model":
            return
        try:
            address = urlsplit(self.server)
            is_address = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        except ValueError:
            is_address = False
        if not is_address or address.username or address.password or address.query or address.fragment:
            raise SettingError(
                "server must be the address of an OpenAI-compatible server, as http://127.0.0.1:8000/v1, without a "
                "password in it, got '%(value)s'.",
                value=self.server,
            )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ScoredConfig):
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


@dataclass(frozen=True, kw_only=True)
class CompareConfig(RunConfig):
    """Read given answers with two models: which tokens `model` finds likelier than `reference_model` does."""

    reference_model: str = app_filled()
    """Folder of the causal model that `model` is compared with."""
    reference_revision: str = app_filled()
    """Commit of the reference model when it is a hub id."""
    batch_size: int = bounded(16, at_least=1)
    """Answers read at once."""


Config = (
    SFTConfig | RewardConfig | DPOConfig | ILQLConfig | PolicyConfig | GenerateConfig | EvaluateConfig | CompareConfig
)
KINDS: dict[str, type[Config]] = {
    "sft": SFTConfig,
    "reward": RewardConfig,
    "dpo": DPOConfig,
    "ilql": ILQLConfig,
    "policy": PolicyConfig,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
    "compare": CompareConfig,
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
