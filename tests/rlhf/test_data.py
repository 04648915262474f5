"""Data lines become typed records, tokens and batches; bad ones a sentence with their number."""

import json
import random

import pytest

from tests.rlhf.nano import demonstration_lines, nano_tokenizer, preference_lines, user
from training.rlhf.data import (
    Encoder,
    micro_batches,
    of_split,
    pad_rows,
    plan_batches,
    read_demonstrations,
    read_preferences,
    read_prompts,
)


def written(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_lines_become_records(tmp_path):
    pairs = read_preferences(written(tmp_path / "preferences.jsonl", preference_lines(6)))
    assert [pair.split for pair in pairs].count("train") == 4
    assert pairs[1].target == 0.0 and pairs[1].strength == -2 and pairs[1].weight == 1.0 and pairs[1].margin is None
    prompts = read_prompts(
        written(tmp_path / "prompts.jsonl", [{"id": 7, "messages": user("a\u2028b"), "split": "train"}])
    )
    assert prompts[0].id == "7" and prompts[0].reference is None and prompts[0].messages == user("a\u2028b")
    assert len(read_demonstrations(written(tmp_path / "d.jsonl", demonstration_lines(3)))) == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"target": 1.2}, "line 2: target must be between 0 and 1, got 1.2"),
        ({"target": None}, "line 2: target must be a finite number"),
        ({"strength": 4}, "line 2: strength must be between -3 and 3"),
        ({"split": "dev"}, "line 2: split must be one of train, validation, test"),
        ({"prompt": []}, "line 2: a prompt must be a list"),
        ({"prompt": [{"role": "user"}]}, "line 2: every message"),
        ({"response_a": 3}, "line 2: response_a must be text"),
        ({"id": "c0"}, "line 2: id 'c0' stands in line 1 already"),
        ({"prompt_id": "p0", "split": "test"}, "prompt 'p0' stands in the train and in the test split"),
        ({"prompt": user("question 0"), "split": "test"}, "prompt 'p1' stands in the train and in the test split"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path, change, sentence):
    lines = preference_lines(3)
    lines[1] |= change
    with pytest.raises(ValueError, match=sentence):
        read_preferences(written(tmp_path / "preferences.jsonl", lines))


def test_missing_keys_torn_json_and_empty_files_are_refused(tmp_path):
    path = tmp_path / "preferences.jsonl"
    with pytest.raises(ValueError, match="is missing: this kind of run reads its data there"):
        read_preferences(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        read_preferences(path)
    path.write_text('{"id": 1}\n')
    with pytest.raises(ValueError, match="line 1: 'prompt_id' is missing"):
        read_preferences(path)
    path.write_text("[1]\n")
    with pytest.raises(ValueError, match="line 1: it is not an object"):
        read_preferences(path)
    path.write_text('{"id": 1')
    with pytest.raises(ValueError, match=r"preferences\.jsonl line 1:"):
        read_preferences(path)


def test_an_empty_split_is_refused(tmp_path):
    pairs = read_preferences(written(tmp_path / "preferences.jsonl", preference_lines(4)))
    with pytest.raises(ValueError, match=r"the test split is empty \(4 train, 0 validation, 0 test\)"):
        of_split(pairs, "test")


def test_a_prompt_ends_where_the_answer_begins():
    tokenizer = nano_tokenizer()
    encoded = Encoder(tokenizer, max_prompt_tokens=99, max_response_tokens=99).encode(user("hi"), "oh")
    assert tokenizer.decode(encoded.prompt) == "<bos>user: hi\nassistant: "
    assert tokenizer.decode(encoded.response) == "oh<eos>"
    plain = Encoder(nano_tokenizer(with_template=False), max_prompt_tokens=99, max_response_tokens=99)
    assert tokenizer.decode(plain.prompt(user("hi"))) == "<bos>### User\nhi\n\n### Assistant\n"


def test_a_special_token_that_somebody_typed_is_text():
    tokenizer = nano_tokenizer(with_template=False)
    encoder = Encoder(tokenizer, max_prompt_tokens=99, max_response_tokens=99)
    assert encoder.response("a<eos>b").count(tokenizer.eos_token_id) == 1
    assert tokenizer.eos_token_id not in encoder.prompt(user("a<eos>b"))
    assert tokenizer.decode(encoder.response("a<eos>b")) == "a<eos>b<eos>"


def test_a_template_that_refuses_a_conversation_is_a_sentence():
    tokenizer = nano_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    encoder = Encoder(tokenizer, max_prompt_tokens=99, max_response_tokens=99)
    with pytest.raises(ValueError, match="chat template refuses a conversation: roles must alternate"):
        encoder.prompt(user("hi"))


def test_what_is_too_long_is_cut_aloud():
    tokenizer = nano_tokenizer()
    encoder = Encoder(tokenizer, max_prompt_tokens=12, max_response_tokens=3)
    assert encoder.warnings() == []
    encoded = encoder.encode(user("a long question"), "abcdef")
    assert tokenizer.decode(encoded.prompt) == "<bos>assistant: "
    assert tokenizer.decode(encoded.response) == "abc"
    assert [sentence[:9] for sentence in encoder.warnings()] == ["1 prompts", "1 respons"]


def test_a_tokenizer_without_a_stop_token_is_refused():
    tokenizer = nano_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no EOS token"):
        Encoder(tokenizer, max_prompt_tokens=1, max_response_tokens=1)


def test_padding_stands_on_the_side_asked_for():
    left = pad_rows([[5], [6, 7]], side="left")
    assert left.tokens.tolist() == [[0, 5], [6, 7]] and left.mask.tolist() == [[False, True], [True, True]]
    right = pad_rows([[5], [6, 7]], side="right")
    assert right.tokens.tolist() == [[5, 0], [6, 7]] and right.mask.tolist() == [[True, False], [True, True]]


def test_the_plan_shows_every_row_once_an_epoch_and_keeps_groups_together():
    groups = ["p", "p", "q", "r", "r", "r", "s"]
    plan = plan_batches(groups, batch_size=3, epochs=2, seed=1)
    assert sorted(row for batch in plan for row in batch) == sorted([*range(7), *range(7)])
    for batch in plan:
        for group in {groups[row] for row in batch}:
            assert [row for row in batch if groups[row] == group] == [i for i, g in enumerate(groups) if g == group]
    assert plan == plan_batches(groups, batch_size=3, epochs=2, seed=1)
    assert plan != plan_batches(groups, batch_size=3, epochs=2, seed=2)
    assert plan_batches(groups, batch_size=3, epochs=2, seed=1, max_steps=2) == plan[:2]
    assert plan_batches(["p"] * 5, batch_size=2, epochs=1, seed=0) == [[0, 1, 2, 3, 4]]


def test_micro_batches_hold_every_row_once_by_length():
    lengths = [5, 1, 4, 2, 3]
    assert list(micro_batches(range(5), size=2, length=lengths.__getitem__)) == [[1, 3], [4, 2], [0]]
    assert list(micro_batches(range(5), size=0, length=lengths.__getitem__)) == [[1, 3, 4, 2, 0]]


def test_micro_batches_weigh_padding_against_passes():
    """Lengths 100, 10, 10: one pass holds 300 tokens, two hold 120; the second pays at 64 tokens a pass, not at 500."""
    lengths = [100, 10, 10]
    cut = {
        cost: list(micro_batches(range(3), size=0, length=lengths.__getitem__, pass_cost=cost)) for cost in (64, 500)
    }
    assert cut == {64: [[1, 2], [0]], 500: [[1, 2, 0]]}
    many = random.Random(0).choices(range(1, 200), k=40)
    by_cost = list(micro_batches(range(40), size=7, length=many.__getitem__, pass_cost=64))
    by_size = list(micro_batches(range(40), size=7, length=many.__getitem__))
    assert sorted(row for piece in by_cost for row in piece) == list(range(40))
    assert max(len(piece) for piece in by_cost) <= 7
    costs = [sum(len(piece) * max(many[row] for row in piece) + 64 for piece in plan) for plan in (by_cost, by_size)]
    assert costs[0] < costs[1]
