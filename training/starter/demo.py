"""Write the demo's pairs: customers' messages, each with two replies that the starter model wrote.

    python -m training.starter.demo

Writes `annotation/demo/support_replies.jsonl`, which is in the repository and which `manage.py load_demo` loads: one
message a line with its responses. The replies come from the product's own `generate` run at temperature 1, as they
fall; drawn again is only what people could not judge: a reply with broken characters (one in 150, from the tail of a
byte-level vocabulary), or one that is the same word for word as the other of its pair.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from training.starter import corpus

MODEL = Path(__file__).with_name("model")
OUT = Path(__file__).parents[2] / "annotation" / "demo" / "support_replies.jsonl"
SEED = 7
NUM_PAIRS = 500
SAMPLES = 4
SOURCE = "starter"


def answer(
    run: Path, *, model: Path, texts: list[str], samples: int, seed: int, reward_model: Path | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Lines of responses.jsonl by the message's text: what a `generate` run in a fresh folder answers."""
    if run.exists():
        raise SystemExit(f"{run} exists already: remove it, or name another folder.")
    run.mkdir(parents=True)
    with (run / "prompts.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            messages = [{"role": "user", "content": text}]
            file.write(json.dumps({"id": str(number), "messages": messages, "split": "test"}) + "\n")
    config = {
        "kind": "generate",
        "model": str(model.resolve()),
        "reward_model": str(reward_model.resolve()) if reward_model else "",
        "samples_per_prompt": samples,
        "batch_size": 100,
        "max_prompt_tokens": 96,
        "max_response_tokens": 128,
        "seed": seed,
    }
    (run / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "training.rlhf", "generate", str(run)], check=True)
    replies: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in (run / "responses.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        replies[row["prompt"][-1]["content"]].append(row)
    return replies


def is_readable(text: str) -> bool:
    return bool(text.strip()) and all(
        character.isprintable() and character != "\N{REPLACEMENT CHARACTER}" for character in text
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("var/starter/demo"), help="run folder to generate in")
    arguments = parser.parse_args()
    texts = [ask.text for ask in corpus.asks(SEED, NUM_PAIRS)]
    replies = answer(arguments.run, model=MODEL, texts=texts, samples=SAMPLES, seed=SEED)
    with OUT.open("w", encoding="utf-8") as file:
        for text in texts:
            pair = list(dict.fromkeys(row["text"] for row in replies[text] if is_readable(row["text"])))[:2]
            if len(pair) < 2:
                raise SystemExit(f"The model says too little that differs to {text!r}: raise SAMPLES.")
            responses = [{"text": reply, "source": SOURCE} for reply in pair]
            file.write(json.dumps({"prompt": text, "responses": responses}) + "\n")


if __name__ == "__main__":
    main()
