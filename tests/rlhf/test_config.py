"""Settings are checked when built, in sentences, and described for the form."""

import dataclasses
import json

import pytest

from training.rlhf.config import KINDS, PolicyConfig, RewardConfig, describe, from_dict, to_dict


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_survive_json(kind):
    config = from_dict(kind, {})
    assert from_dict(kind, json.loads(json.dumps(to_dict(config)))) == config
    assert to_dict(config)["kind"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained(kind):
    fields = describe(KINDS[kind])
    assert [field.name for field in fields] == [field.name for field in dataclasses.fields(KINDS[kind])]
    assert len(fields) > 8
    assert all(len(field.help) > 15 for field in fields)


def test_describe_gives_what_a_form_needs():
    fields = {field.name: field for field in describe(RewardConfig)}
    assert fields["learning_rate"].kind == "float" and fields["learning_rate"].above == 0
    assert fields["batch_size"].kind == "int" and fields["batch_size"].at_least == 1
    assert fields["batch_size"].help.startswith("Preference pairs")
    assert fields["keep_best"].kind == "bool" and fields["keep_best"].default is True
    assert fields["lr_schedule"].choices == ("linear", "cosine", "constant")
    assert fields["model"].filled_by_app and not fields["seed"].filled_by_app
    assert {field.name for field in describe(PolicyConfig) if field.filled_by_app} == {
        "model",
        "revision",
        "reward_model",
        "value_model",
        "watcher",
    }


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        ("reward", {"learning_rate": "abc"}, "learning_rate must be a number, got 'abc'"),
        ("reward", {"learning_rate": float("nan")}, "learning_rate must be a number"),
        ("reward", {"batch_size": 2.5}, "batch_size must be a whole number"),
        ("reward", {"batch_size": True}, "batch_size must be a whole number"),
        ("reward", {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ("reward", {"keep_best": 1}, "keep_best must be true or false"),
        ("reward", {"model": 3}, "model must be text"),
        ("reward", {"learning_rte": 1}, "Did you mean 'learning_rate'"),
        ("sft", {"lr_schedule": "linaer"}, "Did you mean 'linear'"),
        ("sft", {"lora_dropout": 0.1}, "lora_dropout must be 0"),
        ("sft", {"kind": "reward"}, "its config says kind 'reward'"),
        ("rewrad", {}, "Did you mean 'reward'"),
        ("policy", {"kl_in_reward_estimator": "k3"}, "another optimum"),
        ("policy", {"algorithm": "a2c", "ppo_epochs": 2}, "another policy wrote"),
        ("policy", {"algorithm": "grpo", "samples_per_prompt": 1}, "must be at least 2 for grpo"),
        ("policy", {"algorithm": "rloo", "samples_per_prompt": 5}, "must divide rollout_batch_size, got 5"),
        ("policy", {"algorithm": "grpo", "kl_controller": "adaptive"}, "set it to fixed, or kl_in to reward"),
        ("policy", {"num_minibatches": 3}, "must divide rollout_batch_size"),
        ("policy", {"total_episodes": 1}, "raise it, or set num_steps"),
        ("policy", {"gamma": 1.5}, "gamma must be at most 1"),
    ],
)
def test_wrong_values_are_refused_in_a_sentence(kind, values, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        from_dict(kind, values)


def test_whole_numbers_become_the_type_of_their_field():
    config = from_dict("policy", {"learning_rate": 1, "num_steps": 3.0})
    assert isinstance(config.learning_rate, float)
    assert isinstance(config.num_steps, int) and config.total_steps() == 3
    assert PolicyConfig(total_episodes=130, rollout_batch_size=64).total_steps() == 2
