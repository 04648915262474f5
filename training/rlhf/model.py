"""Models as the loops use them: causal policies, scalar heads (reward and value), LoRA adapters; load, run and save.

    tokenizer = load_tokenizer(config.model, config.revision)
    policy = load_policy(config.model, config.revision, device=device)
    add_lora(policy, rank=8, alpha=16)                      optional; `adapters_off(policy)` is then the reference
    result = next_token_logprobs(policy, tokens, mask, keep=num_response_tokens, temperature=1.0)
    reward = load_scalar("runs/7/artifact", device=device)
    scores = reward.normalised(reward.score(tokens, mask))

Weights are safetensors, code of a model's folder is never run. Dropout stays off (models are in eval mode, also while
they learn): the scored and the trained distribution must be one. Positions come from the mask, so padding on either
side changes nothing.
"""

import contextlib
import json
import math
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import peft
import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.rlhf.distributed import full_state, rank
from training.rlhf.fused import fuse, fuse_adapters
from training.rlhf.inputs import forward_names, model_inputs
from training.rlhf.packing import enable_packing
from training.rlhf.rundir import write_text
from training.rlhf.scalar import Scalar
from training.rlhf.token_steps import enable_steps

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PROBE = "Grüße, it's 3.14 %\n\n  two  spaces — «quotes» 你好 don't CamelCase\tend."
"""Text in which pre-tokenizers differ: letters, digits, blanks, punctuation, several scripts."""


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device that a config names; ValueError when there is no GPU to take."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but torch sees no GPU here: set device to cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def precision(device: torch.device, dtype: Literal["float32", "bfloat16"]) -> torch.autocast:
    """The context for a forward pass: float32 weights, computed in `dtype`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16")


def load_tokenizer(model: str, revision: str = "") -> PreTrainedTokenizerBase:
    """The model's tokenizer, checked to give the ids that its own tokenizer.json gives."""
    tokenizer: PreTrainedTokenizerBase = _load(AutoTokenizer, model, revision)
    definition = Path(model) / "tokenizer.json"
    if definition.is_file():
        expected = Tokenizer.from_file(str(definition)).encode(PROBE, add_special_tokens=False).ids
        if list(tokenizer(PROBE, add_special_tokens=False)["input_ids"]) != expected:
            raise ValueError(
                f"the tokenizer of {model} gives other ids than its tokenizer.json: the library replaces a part of it "
                f"({type(tokenizer).__name__}). Save it again with the class that wrote it."
            )
    return tokenizer


def same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers give the same ids, so that tokens may pass from one model to the other."""
    return bool(
        one.get_vocab() == other.get_vocab()
        and one.eos_token_id == other.eos_token_id
        and one.chat_template == other.chat_template
        and one(PROBE, add_special_tokens=False)["input_ids"] == other(PROBE, add_special_tokens=False)["input_ids"]
    )


class Embedding(Protocol):
    """Whatever has an embedding a token: a model of transformers, or one steered by values."""

    def get_input_embeddings(self) -> nn.Module: ...


def num_embeddings_of(model: Embedding) -> int:
    """How many tokens the model can read and write."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight.shape[0]


def refuse_foreign_tokenizer(model: Embedding, tokenizer: PreTrainedTokenizerBase) -> None:
    """ValueError when the tokenizer can name tokens that the model has no embedding for."""
    num_embeddings = num_embeddings_of(model)
    if len(tokenizer) > num_embeddings:
        raise ValueError(
            f"the tokenizer knows {len(tokenizer)} tokens, the model only {num_embeddings}: they do not belong "
            "together. Use the tokenizer that the model was trained with."
        )


def load_policy(model: str, revision: str = "", *, device: torch.device, is_steered: bool = False) -> PreTrainedModel:
    """A causal language model in float32 and eval mode; ValueError with a sentence when it cannot be loaded.

    is_steered: take the model under a policy steered by values, too (steering.py); else that is refused, because what
    would be trained on or loaded here is not what the policy does.
    """
    about = read_about(model)
    if "steering" in about and not is_steered:
        raise ValueError(
            f"{model} is steered by token values (an ilql run): it can write answers and be measured, but not be "
            f"trained on. Start from the model it came from, {about.get('parent')}."
        )
    policy: PreTrainedModel = _load(AutoModelForCausalLM, model, revision, use_safetensors=True, dtype=torch.float32)
    if enable_packing(policy.to(device).eval()) and fuse(policy):
        enable_steps(policy)
    return policy


def load_trunk(model: str, revision: str = "", *, device: torch.device) -> PreTrainedModel:
    """The model without any head: tokens in, its last layer out; float32, eval mode."""
    trunk: PreTrainedModel = _load(AutoModel, model, revision, use_safetensors=True, dtype=torch.float32)
    if enable_packing(trunk.to(device).eval()):
        fuse(trunk)
    return trunk


class TokenLogprobs(NamedTuple):
    """What a policy says about given tokens."""

    logprobs: Tensor  # (B, K) log-probability of each of the last K tokens
    entropy: Tensor | None  # (B, K) entropy in nats of the distribution it was drawn from


def next_token_logprobs(
    policy: nn.Module, tokens: Tensor, mask: Tensor, *, keep: int, temperature: float = 1.0, with_entropy: bool = False
) -> TokenLogprobs:
    """Log-probabilities of the last `keep` columns of `tokens`, each given all real tokens before it.

    tokens, mask: (B, L), padded on either side; keep < L. Values where the mask is false mean nothing: leave them out.
    The logits are divided by `temperature` and leave mixed precision before the softmax.
    """
    inputs = model_inputs(policy, tokens, mask)
    if "logits_to_keep" in forward_names(policy):
        inputs["logits_to_keep"] = keep + 1  # prompts' logits are the largest tensor and nobody reads them
    logits = policy(**inputs).logits[:, -keep - 1 : -1]
    logits = (logits if logits.dtype == torch.float64 else logits.float()) / temperature
    normaliser = logits.logsumexp(-1)
    logprobs = logits.gather(-1, tokens[:, -keep:, None]).squeeze(-1) - normaliser
    entropy = normaliser - ((logits - normaliser[..., None]).exp() * logits).sum(-1) if with_entropy else None
    return TokenLogprobs(logprobs, entropy)


class ScalarModel(Scalar):
    """A trunk of its own under linear heads: a reward model or a value model.

    `inner` is a sequence classifier of transformers with a label a head, so that any tool can load what is saved; its
    own forward, which finds the last token by the pad id, is never called.
    """

    def __init__(self, inner: PreTrainedModel) -> None:
        super().__init__(num_heads=inner.score.out_features)
        self.inner = inner

    @property
    def trunk(self) -> nn.Module:
        trunk: nn.Module = getattr(self.inner, self.inner.base_model_prefix)
        return trunk

    def replace_trunk(self, module: nn.Module) -> None:
        # not a property setter: nn.Module would register the module beside it instead of calling it
        setattr(self.inner, self.inner.base_model_prefix, module)

    @property
    def head(self) -> nn.Linear:
        head = self.inner.score
        assert isinstance(head, nn.Linear)
        return head


def new_scalar(
    model: str, revision: str = "", *, device: torch.device, head: Literal["random", "zero"], num_heads: int = 1
) -> ScalarModel:
    """The model's trunk under new heads: N(0, 1/sqrt(d+1)) from torch's global generator, or zeros."""
    scalar = ScalarModel(_load_classifier(model, revision, num_heads=num_heads))
    width = scalar.head.in_features
    with torch.no_grad():
        if head == "zero":
            scalar.head.weight.zero_()
        else:
            scalar.head.weight.normal_(std=1 / math.sqrt(width + 1))
    return scalar.to(device).eval()


def load_scalar(model: str, *, device: torch.device) -> ScalarModel:
    """A saved reward model with its normalisation; ValueError when the folder holds no scalar head."""
    if not is_reward_model(model):
        raise ValueError(f"{model!r} holds no reward model: name the artifact of a reward run.")
    about = read_about(model)
    scalar = ScalarModel(_load_classifier(model, "", num_heads=len(about.get("head_offsets", [0.0]))))
    scalar.read_normalisation(about)
    return scalar.to(device).eval()


def with_one_head(model: ScalarModel) -> ScalarModel:
    """The same score from a single head: what a value model starts from, which has to be right and not unsure."""
    if model.num_heads > 1:
        mean = nn.Linear(model.head.in_features, 1, bias=False).to(model.head.weight)
        with torch.no_grad():
            mean.weight.copy_(model.head.weight.mean(0, keepdim=True))
        model.inner.score = mean
        model.inner.config.num_labels = 1
        model.head_offsets = [0.0]
    return model


def add_lora(model: PreTrainedModel | ScalarModel, *, rank: int, alpha: float) -> nn.Module:
    """Freeze the weights and put adapters on every linear layer of the trunk; a scalar head goes on learning."""
    settings = peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear")
    if isinstance(model, ScalarModel):
        model.replace_trunk(peft.get_peft_model(model.trunk, settings).eval())
        fuse_adapters(model.trunk)
        return model
    adapted: nn.Module = peft.get_peft_model(model, settings).eval()
    fuse_adapters(adapted)
    return adapted


@contextlib.contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Inside, the model is what it was before add_lora: the reference of a LoRA policy."""
    adapted = [module for module in model.modules() if isinstance(module, peft.PeftModel)]
    assert adapted, "the model has no adapters to switch off"
    with contextlib.ExitStack() as stack:
        for module in adapted:
            stack.enter_context(module.disable_adapter())
        yield


def merged(model: nn.Module) -> nn.Module:
    """The model with its adapters added into its weights (which uses them up); without adapters, the same model."""
    if isinstance(model, ScalarModel):
        if isinstance(model.trunk, peft.PeftModel):
            model.replace_trunk(model.trunk.merge_and_unload())
        return model
    return model.merge_and_unload() if isinstance(model, peft.PeftModel) else model


def save_model(folder: Path, model: nn.Module, tokenizer: PreTrainedTokenizerBase, *, about: Mapping[str, Any]) -> None:
    """Write weights (adapters merged), tokenizer, config and plumbline.json into an empty folder.

    about: parent, data_hash and what else the reader of the artifact should know. Kind, normalisation and the versions
    of the libraries are added here.
    """
    whole = merged(model)
    inner = whole.inner if isinstance(whole, ScalarModel) else whole
    assert isinstance(inner, PreTrainedModel)
    save_weights(folder, inner)
    if rank():
        return
    tokenizer.save_pretrained(folder)
    record: dict[str, Any] = {"kind": "reward" if isinstance(whole, ScalarModel) else "policy", **about}
    if isinstance(whole, ScalarModel):
        record |= {"reward_mean": whole.reward_mean, "reward_std": whole.reward_std}
        record |= {"head_offsets": whole.head_offsets, "temperature": whole.temperature}
    record["versions"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }
    write_text(folder / "plumbline.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def save_weights(folder: Path, model: PreTrainedModel) -> None:
    """Weights and config as transformers loads them. Of several processes all ask for the shards, the first writes."""
    state = full_state(model)
    if rank() == 0:
        model.save_pretrained(folder, **({} if state is None else {"state_dict": state}))


def read_about(model: str) -> dict[str, Any]:
    """plumbline.json of a model's folder; empty for a model that was not made here."""
    return _read_json(Path(model) / "plumbline.json")


def is_reward_model(model: str) -> bool:
    """Whether the folder holds a scalar head rather than a causal model."""
    architectures = _read_json(Path(model) / "config.json").get("architectures") or []
    return any(name.endswith("ForSequenceClassification") for name in architectures)


def _load_classifier(model: str, revision: str, *, num_heads: int) -> PreTrainedModel:
    settings = {"use_safetensors": True, "dtype": torch.float32, "num_labels": num_heads}
    inner: PreTrainedModel = _load(AutoModelForSequenceClassification, model, revision, **settings)
    head = getattr(inner, "score", None)
    if not isinstance(head, nn.Linear) or head.out_features != num_heads or head.bias is not None:
        raise ValueError(f"{model}: {type(inner).__name__} has no plain linear score head; use another architecture.")
    if enable_packing(inner.eval()):
        fuse(inner)
    return inner


def _load(loader: Any, model: str, revision: str, **arguments: Any) -> Any:
    """from_pretrained of a folder, or of a hub id with its commit; library errors become one sentence."""
    is_folder = Path(model).is_dir()
    if not model:
        raise ValueError("model is empty: name the folder of a transformers model.")
    if not is_folder and not revision:
        raise ValueError(
            f"model {model!r} is not a folder here. Name a folder, or a hub id together with `revision`, its commit."
        )
    where = {"local_files_only": True} if is_folder else {"revision": revision}
    try:
        return loader.from_pretrained(model, trust_remote_code=False, **where, **arguments)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"model {model!r} could not be loaded as {loader.__name__}: {reason}") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}
