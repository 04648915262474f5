"""The compare command: both models' log-probabilities of each token, the KL along an answer, the weights by layer."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.rlhf.nano import events_of, make_run, nano_tokenizer, save_nano_gpt2, save_nano_policy, train, user
from training.rlhf.compare import compare, token_texts, weight_changes
from training.rlhf.data import Encoder
from training.rlhf.model import load_policy, load_tokenizer
from training.rlhf.rundir import RunDir, Stopped

CPU = torch.device("cpu")
SETTINGS = {"device": "cpu", "num_threads": 1, "batch_size": 2, "max_response_tokens": 12}
ANSWERS = [
    {"id": "7", "prompt_id": "p0", "prompt": user("say a"), "text": "abc", "ended": True},
    {"id": "8", "prompt_id": "p1", "prompt": user("say something longer"), "text": "好 é!", "ended": False},
    {"id": "9", "prompt_id": "p2", "prompt": user("be quiet"), "text": "", "ended": True},
    {"id": "10", "prompt_id": "p2", "prompt": user("be quiet"), "text": "longer than twelve tokens", "ended": True},
    {"id": "11", "prompt_id": "p3", "prompt": user("cut at once"), "text": "", "ended": False},
]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_nano_policy(tmp_path_factory.mktemp("other"), seed=5)


def compared(path: Path, a: Path, b: Path, answers: list = ANSWERS, **changes: object) -> list[dict]:
    run = make_run(
        path, "compare", {"model": str(b), "reference_model": str(a), **SETTINGS, **changes}, responses=answers
    )
    train("compare", run)
    return lines_of(run)


def lines_of(run: RunDir) -> list[dict]:
    return [json.loads(line) for line in run.likelihoods.read_text().splitlines()]


def test_each_line_is_an_answer_whose_tokens_are_its_text(tmp_path, nano_policy, other):
    lines = compared(tmp_path / "run", nano_policy, other)
    assert [line["id"] for line in lines] == ["7", "8", "9", "10", "11"]
    assert ["".join(token[0] for token in line["tokens"]) for line in lines] == [each["text"] for each in ANSWERS]
    assert [token[0] for token in lines[0]["tokens"]] == ["a", "b", "c", ""]
    assert [token[0] for token in lines[1]["tokens"]] == ["好", " ", "é", "!"], "bytes of one character are one token"
    assert [token[0] for token in lines[2]["tokens"]] == [""], "the token that ends it"
    assert lines[3]["tokens"][-1] == [ANSWERS[3]["text"][12:], None, None], "what was cut has not been read"
    assert (lines[4]["tokens"], lines[4]["logprob_a"], lines[4]["kl_b"]) == ([], 0, 0)
    for line in lines:
        for column, total in ((1, "logprob_a"), (2, "logprob_b")):
            told = sum(token[column] for token in line["tokens"] if token[column] is not None)
            assert told == pytest.approx(line[total], abs=1e-3)
    warning = events_of(RunDir(tmp_path / "run"), "warning")[0]["message"]
    assert "1 responses are longer" in warning


def test_the_numbers_are_those_of_a_plain_pass_of_each_model(tmp_path, nano_policy, other):
    line = compared(tmp_path / "run", nano_policy, other)[0]
    encoder = Encoder(load_tokenizer(str(nano_policy)), max_prompt_tokens=512, max_response_tokens=12)
    encoded = encoder.encode(user("say a"), "abc")
    ids = torch.tensor([encoded.prompt + encoded.response])
    first = len(encoded.prompt)
    log = []
    for folder in (nano_policy, other):
        with torch.no_grad():
            log.append(AutoModelForCausalLM.from_pretrained(folder)(ids).logits[0, first - 1 : -1].log_softmax(-1))
    for name, of_model, column in (("logprob_a", log[0], 1), ("logprob_b", log[1], 2)):
        tokens = of_model.gather(1, ids[:, first:].T).squeeze(1)
        assert [token[column] for token in line["tokens"]] == pytest.approx(tokens.tolist(), abs=2e-4)
        assert line[name] == pytest.approx(float(tokens.sum()), abs=1e-4)
    kl_b = torch.nn.functional.kl_div(log[0], log[1], log_target=True, reduction="sum")
    kl_a = torch.nn.functional.kl_div(log[1], log[0], log_target=True, reduction="sum")
    assert (line["kl_a"], line["kl_b"]) == pytest.approx((float(kl_a), float(kl_b)), rel=1e-4)
    assert line["kl_a"] > 0 < line["kl_b"] != line["kl_a"]


def test_a_line_does_not_depend_on_its_batch(tmp_path, nano_policy, other):
    lines = compared(tmp_path / "two", nano_policy, other)
    for line, alone in zip(lines, compared(tmp_path / "one", nano_policy, other, batch_size=1), strict=True):
        for name in ("logprob_a", "logprob_b", "kl_a", "kl_b"):
            assert line[name] == pytest.approx(alone[name], abs=1e-4)


def test_a_model_is_not_apart_from_itself(tmp_path, nano_policy):
    for line in compared(tmp_path / "run", nano_policy, nano_policy):
        assert line["logprob_a"] == line["logprob_b"] and line["kl_a"] == line["kl_b"] == 0
    layers = events_of(RunDir(tmp_path / "run"), "done")[0]["summary"]["layers"]
    assert {layer["relative_change"] for layer in layers} == {0.0}


def test_weights_by_layer(nano_policy):
    """One layer moved by a tenth of each weight; of the embeddings one entry by 3."""
    a, b = (load_policy(str(nano_policy), device=CPU) for _ in range(2))
    with torch.no_grad():
        for weights in b.model.layers[1].parameters():
            weights.mul_(1.1)
        b.model.embed_tokens.weight[5, 5] += 3.0
    changes = {change["layer"]: change for change in weight_changes(a, b)}
    assert list(changes)[:3] == ["model.embed_tokens", "model.layers.0", "model.layers.1"]
    assert changes["model.layers.1"]["relative_change"] == pytest.approx(0.1, rel=1e-4)
    embedding = float(a.model.embed_tokens.weight.double().norm())
    assert changes["model.embed_tokens"]["relative_change"] == pytest.approx(3.0 / embedding, rel=1e-4)
    assert changes["model.layers.0"]["relative_change"] == 0.0
    assert sum(change["num_weights"] for change in changes.values()) == sum(w.numel() for w in a.parameters())


def test_models_of_two_families_share_no_weights(tmp_path, nano_policy):
    gpt2 = load_policy(str(save_nano_gpt2(tmp_path / "gpt2")), device=CPU)
    assert weight_changes(load_policy(str(nano_policy), device=CPU), gpt2) == []


def test_two_tokenizers_are_refused(tmp_path, nano_policy):
    foreign = save_nano_policy(tmp_path / "foreign", seed=5)
    nano_tokenizer(with_template=False).save_pretrained(foreign)
    (foreign / "chat_template.jinja").unlink(missing_ok=True)
    config = {"model": str(foreign), "reference_model": str(nano_policy), **SETTINGS}
    run = make_run(tmp_path / "run", "compare", config, responses=ANSWERS)
    error = train("compare", run, expect=2)[-1]
    assert "compare two models of the same family" in error["message"]


def test_it_stops_between_batches_and_leaves_nothing_half(tmp_path, nano_policy, other):
    config = {"model": str(other), "reference_model": str(nano_policy), **SETTINGS}
    run = make_run(tmp_path / "run", "compare", config, responses=ANSWERS)
    asked = iter([None, "cancelled"])
    with run.open_events() as events, pytest.raises(Stopped):
        compare(run.read_config("compare"), run, events, lambda: next(asked))
    assert not run.likelihoods.exists()
    train("compare", run)
    assert len(lines_of(run)) == len(ANSWERS)


def test_token_texts_keep_blanks_and_share_characters():
    text = "two  spaces\n — 你好 🙂"
    pieces = token_texts(nano_tokenizer(), text)
    assert "".join(pieces) == text and len(pieces) == len(text.encode())
    assert token_texts(nano_tokenizer(), "") == []


def test_the_kl_at_a_position_does_not_depend_on_the_token_drawn_there(tmp_path, nano_policy, other):
    """Log-ratios of one-token answers differ from token to token; their expectation under b is the KL of each."""
    answers = [
        {"id": letter, "prompt_id": "p0", "prompt": user("say a"), "text": letter, "ended": False}
        for letter in "abcdef"
    ]
    lines = compared(tmp_path / "run", nano_policy, other, answers, batch_size=6)
    ratios = {round(line["logprob_b"] - line["logprob_a"], 4) for line in lines}
    assert len(ratios) == 6
    assert [line["kl_b"] for line in lines] == pytest.approx([lines[0]["kl_b"]] * 6, rel=1e-4)
