"""The starter: its text is deterministic and as uneven as the demo needs it, and the model in the repository works."""

import json
import random
import re
import statistics
from pathlib import Path

from annotation.simulation import score
from training.starter import corpus
from training.starter.demo import answer

MODEL = Path(corpus.__file__).with_name("model")


def test_the_corpus_is_deterministic() -> None:
    def write(seed: int) -> list[tuple[str, str]]:
        rng = random.Random(seed)
        return [(ask.text, corpus.reply(ask, rng)) for ask in corpus.asks(seed, 200)]

    assert write(1) == write(1) != write(2)


def test_asks_differ_and_avoid_what_they_should() -> None:
    first = {ask.text for ask in corpus.asks(1, 500)}
    assert len(first) == 500
    assert not first & {ask.text for ask in corpus.asks(1, 500, avoid=frozenset(first))}


def test_no_slot_is_left_unfilled() -> None:
    rng = random.Random(4)
    for ask in corpus.asks(4, 2000):
        text = ask.text + corpus.reply(ask, rng)
        assert "{" not in text and "  " not in text, text


def test_replies_are_good_middling_and_poor() -> None:
    rng = random.Random(5)
    scores = [score(ask.text, corpus.reply(ask, rng)) for ask in corpus.asks(5, 1000)]
    assert 3 < statistics.mean(scores) < 7
    assert sum(value > 8 for value in scores) > 150
    assert sum(value < 2 for value in scores) > 150


def test_the_model_is_small_and_says_how_it_was_made() -> None:
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= 6_000_000
    assert {file.suffix for file in MODEL.iterdir()} <= {".safetensors", ".json", ".jinja", ".md"}
    card = (MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "python -m training.starter.build" in card and "seed" in card
    assert json.loads((MODEL / "plumbline.json").read_text(encoding="utf-8"))["parent"] == ""


def test_auto_tokenizer_gives_the_ids_of_tokenizer_json() -> None:
    from tokenizers import Tokenizer  # noqa: PLC0415 - these two load slowly and most tests here do without
    from transformers import AutoTokenizer  # noqa: PLC0415

    loaded, own = AutoTokenizer.from_pretrained(MODEL), Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert loaded.pad_token_id != loaded.eos_token_id and loaded.chat_template
    for text in ["Hello! My kettle, order 48213, is late.", "naïve 日本 🙂\n\ttabs", "<|user|>Hi<|end|>"]:
        ids = loaded(text, add_special_tokens=False)["input_ids"]
        assert ids == own.encode(text, add_special_tokens=False).ids
        assert loaded.decode(ids) == text


def test_samples_end_by_themselves_and_are_about_as_good_as_the_text(tmp_path: Path) -> None:
    """The product's own generate run on 60 messages: readable, uneven, and mostly about the right thing."""
    texts = [ask.text for ask in corpus.asks(77, 60)]
    answers = answer(tmp_path / "run", model=MODEL, texts=texts, samples=1, seed=1)
    rows = [row for rows in answers.values() for row in rows]
    assert statistics.fmean(row["ended"] for row in rows) > 0.95
    scores = [score(text, row["text"]) for text, [row] in answers.items()]
    assert 3 < statistics.mean(scores) < 7 and statistics.pstdev(scores) > 2
    known = set(re.findall(r"[a-z]+", (MODEL.parent / "phrases.toml").read_text(encoding="utf-8").lower()))
    words = [word for row in rows for word in re.findall(r"[a-z]+", row["text"].lower())]
    assert sum(word in known for word in words) > 0.98 * len(words), "it writes words that it has never read"
