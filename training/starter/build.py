"""Make the starter model from nothing: text, tokenizer, random weights, two lessons, model card.

    python -m training.starter.build            (or: make starter-model)

Writes `training/starter/model/`, which is in the repository; run it again only to change the model. Seeded: the same
libraries on the same kind of processor give the same weights. Both lessons are the product's own `sft` runs, so their
folders (below `var/starter/`) can be looked at like any other.

Two lessons, because one does not do: in whole replies the thing that the customer wrote about is one word in forty, and
a model of this size went a thousand steps without learning to copy it. In the first lesson a reply is a single sentence
that names it, and copying is learned within three hundred.

Left out: nothing is downloaded and no outside text is read. The model knows this one shop and nothing else.
"""

import argparse
import json
import platform
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.starter import corpus

MODEL = Path(__file__).with_name("model")
SEED = 20
NUM_VALIDATION = 400
VOCABULARY = 1536
PAD, BEGIN, END, USER, ASSISTANT, SYSTEM = SPECIAL = [
    "<|pad|>", "<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>",
]  # fmt: skip
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SFT = {
    "epochs": 1,
    "batch_size": 32,
    "evaluate_every": 100,
    "checkpoint_every": 200,
    "max_prompt_tokens": 96,
    "max_response_tokens": 128,
    "seed": SEED,
}
LESSONS: dict[str, dict[str, Any]] = {
    "names": {"num_train": 11_200, "learning_rate": 1e-3, "lr_schedule": "constant", "warmup_steps": 50},
    "replies": {"num_train": 28_800, "learning_rate": 1.5e-3, "lr_schedule": "linear", "warmup_steps": 50},
}


def demonstrations(lesson: str, *, num_train: int, num_validation: int = NUM_VALIDATION) -> list[dict[str, Any]]:
    """Messages with a reply each, as lines of demonstrations.jsonl. No message of one split stands in the other."""
    rng = random.Random(f"{lesson} {SEED}")
    held_out = corpus.asks(SEED, num_validation)
    texts = {ask.text for ask in held_out}
    drawn: list[corpus.Ask] = []
    while len(drawn) < num_train:
        ask = corpus.ask(rng)
        if ask.text not in texts:
            drawn.append(ask)
    splits = ["train"] * num_train + ["validation"] * num_validation
    return [
        {
            "id": f"{lesson}-{number}",
            "prompt_id": ask.text,
            "prompt": [{"role": "user", "content": ask.text}],
            "response": corpus.reply(ask, rng) if lesson == "replies" else corpus.acknowledgement(ask, rng, ask.item),
            "split": split,
        }
        for number, (ask, split) in enumerate(zip(drawn + held_out, splits, strict=True))
    ]


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be written, and the shop's own words are mostly one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT, SYSTEM],
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
    )


def untrained_model(tokenizer: PreTrainedTokenizerFast, *, seed: int = SEED) -> LlamaForCausalLM:
    """A Llama of about a million random weights: with this architecture AutoTokenizer leaves the tokenizer alone."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def teach(run: Path, *, lesson: str, model: Path) -> Path:
    """One `sft` run in a fresh folder; the finished model's folder."""
    if run.exists():
        raise SystemExit(f"{run} exists already: remove it, or name another folder with --runs.")
    run.mkdir(parents=True)
    settings = dict(LESSONS[lesson])
    rows = demonstrations(lesson, num_train=settings.pop("num_train"))
    with (run / "demonstrations.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    config = {"kind": "sft", "model": str(model.resolve()), **SFT, **settings}
    (run / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "training.rlhf", "sft", str(run)], check=True)
    return run / "artifact"


def publish(artifact: Path, *, model: Path) -> None:
    """Put the finished model where the demo finds it, beside its presets.json; with a card of how it came to be."""
    shutil.copytree(artifact, model, dirs_exist_ok=True)
    about = json.loads((model / "plumbline.json").read_text(encoding="utf-8"))
    about["parent"] = ""  # the folder of the lesson before, which nobody else has
    (model / "plumbline.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (model / "MODEL_CARD.md").write_text(card(artifact.parent), encoding="utf-8")


def card(run: Path) -> str:
    """The model card's text, with the figures of the last run's last event."""
    done = json.loads((run / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    figures = "\n".join(
        f"| {name} | {value:.4g} |" for name, value in sorted(done["summary"].items()) if isinstance(value, int | float)
    )
    lessons = "\n".join(f"  * `{name}`: {_list(SFT | settings)}" for name, settings in LESSONS.items())
    return f"""# Starter model

A Llama of about one million weights (4 layers, 128 wide, byte-level BPE) that answers customer-support messages of an
invented shop in one to five short sentences. It is the first policy of Plumbline's demo: readable, uneven on purpose,
with room to improve. It knows nothing else and must not be used for anything else.

* Made by `python -m training.starter.build`, seed {SEED}, from message and reply pairs that
  `training/starter/corpus.py` writes from `training/starter/phrases.toml`. No outside text, no personal data.
* Trained by the product's own `sft` runs, one after the other:
{lessons}
* Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}.
* Licence: Apache-2.0, as the rest of the repository.

| figure | value |
| --- | --- |
{figures}
"""


def _list(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("var/starter"), help="folder for the two run folders")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder the finished model is written to")
    arguments = parser.parse_args()
    texts = [row[field] for row in demonstrations("replies", num_train=6_000) for field in ("prompt_id", "response")]
    tokenizer = train_tokenizer(texts)
    untrained = arguments.runs / "untrained"
    untrained_model(tokenizer).save_pretrained(untrained)
    tokenizer.save_pretrained(untrained)
    names = teach(arguments.runs / "names", lesson="names", model=untrained)
    replies = teach(arguments.runs / "replies", lesson="replies", model=names)
    publish(replies, model=arguments.out)


if __name__ == "__main__":
    main()
