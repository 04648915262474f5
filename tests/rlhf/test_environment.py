"""The Gymnasium environment: what its own checker asks, the trainer's own scores, and another library's PPO on it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_for_agents

from tests.rlhf.nano import nano_tokenizer, save_nano_policy, user
from tests.rlhf.small_world import START, STOP, World, make_world, policy_steps, sequence_logprobs, table_actors
from training.rlhf.config import PolicyConfig
from training.rlhf.data import Encoder
from training.rlhf.environment import AnswerEnv, load_environment
from training.rlhf.model import load_scalar, new_scalar, save_model
from training.rlhf.rundir import new_folder, write_jsonl

CPU = torch.device("cpu")
VOCABULARY, HORIZON = 3, 3


def world_env(world: World, **changes: object) -> AnswerEnv:
    settings = {"num_tokens": VOCABULARY, "stop_id": STOP, "max_response_tokens": HORIZON} | changes
    return AnswerEnv([[START]], lambda _, text: float(world.rewards[world.rows[tuple(text)]]), **settings)


@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_wrong():
    """Spaces, seeds, the five values of a step, rendering: with more than one prompt of more than one length."""
    env = AnswerEnv(
        [[1, 2], [3], [2, 2, 2]], lambda number, text: number + len(text) / 10,
        num_tokens=5, stop_id=0, max_response_tokens=4, render_mode="ansi",
    )  # fmt: skip
    check_env(env, skip_render_check=True)  # it would make the environment again by a registered name
    check_for_agents(env)


def test_an_answer_step_by_step():
    env = AnswerEnv(
        [[1, 2], [3]], lambda number, text: 10.0 * number + len(text), num_tokens=5, stop_id=0,
        max_response_tokens=3, render_mode="ansi",
    )  # fmt: skip
    observation, info = env.reset(options={"prompt": 1})
    assert observation.tolist() == [3, 5, 5, 5, 5] and info == {"prompt": 1}
    observation, reward, *over, _ = env.step(np.int64(4))
    assert observation.tolist() == [3, 4, 5, 5, 5] and reward == 0.0 and over == [False, False]
    assert env.render() == "3 4"
    observation, reward, *over, _ = env.step(np.int64(0))
    assert observation.tolist() == [3, 4, 0, 5, 5] and reward == 12.0 and over == [True, False]
    with pytest.raises(ValueError, match=r"call reset\(\) before the next step"):
        env.step(np.int64(1))
    env.reset(options={"prompt": 0})
    ends = [env.step(np.int64(1))[1:4] for _ in range(3)]
    assert ends == [(0.0, False, False), (0.0, False, False), (3.0, False, True)]
    env.reset(options={"prompt": 0})
    last = [env.step(np.int64(token))[1:4] for token in (1, 1, 0)][-1]
    assert last == (3.0, True, False), "an answer that ends with the last token that fits was not cut off"
    with pytest.raises(ValueError, match="a token from 0 to 4, got 7"):
        env.reset() and env.step(np.int64(7))
    with pytest.raises(ValueError, match="no prompt 2: give a number from 0 to 1"):
        env.reset(options={"prompt": 2})


def test_what_was_cut_off_gets_its_own_score():
    env = AnswerEnv(
        [[1]], lambda *_: 9.0, num_tokens=3, stop_id=0, max_response_tokens=2, missing_eos_score=-1.0
    )  # fmt: skip
    for actions, expected in ([(1, 0), 9.0], [(1, 1), -1.0]):
        env.reset()
        assert [env.step(np.int64(action))[1] for action in actions][-1] == expected


@pytest.mark.parametrize(
    ("changes", "sentence"), [({"stop_id": 3}, "one of the 3 tokens, got 3"), ({"num_tokens": 0}, "got 0")]
)
def test_what_cannot_be_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        world_env(make_world(VOCABULARY, HORIZON, seed=1), **changes)
    with pytest.raises(ValueError, match="at least one token"):
        AnswerEnv([[]], lambda *_: 0.0, num_tokens=3, stop_id=0, max_response_tokens=2)


def test_it_pays_what_the_reward_model_says(tmp_path: Path):
    """Of a prompts.jsonl and two folders; checked against the model itself on the same tokens."""
    policy = save_nano_policy(tmp_path / "policy")
    torch.manual_seed(0)
    model = new_scalar(str(policy), device=CPU, head="random")
    model.reward_mean, model.reward_std = 0.3, 2.0
    with new_folder(tmp_path / "reward") as folder:
        save_model(folder, model, nano_tokenizer(), about={})
    write_jsonl(
        tmp_path / "prompts.jsonl",
        [{"id": str(i), "messages": user("a" * (i + 1)), "split": "train"} for i in range(3)],
    )
    env = load_environment(
        prompts=tmp_path / "prompts.jsonl", model=str(policy), reward_model=str(tmp_path / "reward"),
        max_response_tokens=5, render_mode="ansi",
    )  # fmt: skip
    encoder = Encoder(nano_tokenizer(), max_prompt_tokens=99, max_response_tokens=5)
    answer = encoder.response("77")
    env.reset(options={"prompt": 2})
    paid = [env.step(np.int64(token))[1] for token in answer]
    row = torch.tensor([[*encoder.prompt(user("aaa")), *answer]])
    loaded = load_scalar(str(tmp_path / "reward"), device=CPU)
    with torch.no_grad():
        expected = float(loaded.normalised(loaded.score(row, torch.ones_like(row, dtype=torch.bool))))
    assert paid == [0.0, 0.0, pytest.approx(expected, abs=1e-5)]
    env.reset(options={"prompt": 0})
    assert [env.step(np.int64(answer[0]))[1] for _ in range(5)][-1] == -1.0
    env.reset(options={"prompt": 0})
    env.step(np.int64(answer[0]))
    assert "a\nassistant: 7" in env.render()


def test_another_librarys_ppo_learns_the_world_that_ours_learns():
    """Stable-Baselines3 sees nothing but the environment; what both policies earn is summed over all answers."""
    world = additive_world()
    agent = PPO(
        "MlpPolicy", world_env(world), seed=1, device="cpu", n_steps=256, batch_size=256, n_epochs=5,
        learning_rate=1e-2, gamma=1.0, gae_lambda=1.0, policy_kwargs={"net_arch": [32]},
    )  # fmt: skip
    best = float(world.rewards.max())
    assert expected_reward(agent, world) < 0.6 * best
    agent.learn(256 * 8)
    assert expected_reward(agent, world) >= 0.97 * best

    config = PolicyConfig(
        rollout_batch_size=128, num_minibatches=2, learning_rate=0.1, kl_coef=0.0, replace_missing_eos=False,
        gae_lambda=1.0, value_clip_range=100.0,
    )  # fmt: skip
    actors = table_actors(VOCABULARY, HORIZON, config)
    policy_steps(actors, world, config, num_steps=30)
    ours = float((sequence_logprobs(actors.policy, world).exp() * world.rewards).sum())
    assert ours >= 0.97 * best


def additive_world() -> World:
    """Every token earns by its place: no answer is a trap, so every right learner comes to the same best one."""
    world = make_world(VOCABULARY, HORIZON, seed=1)
    worth = torch.rand(HORIZON, VOCABULARY, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    earned = [sum(float(worth[place, token]) for place, token in enumerate(text)) for text in world.rows]
    return world._replace(rewards=torch.tensor(earned, dtype=torch.float64))


def expected_reward(agent: PPO, world: World) -> float:
    """E_π[r] of the agent's policy, by the probability of every token at every prefix."""
    env = world_env(world)
    observation, _ = env.reset()
    prefixes = sorted({text[:end] for text in world.rows for end in range(len(text))})
    rows = np.tile(observation, (len(prefixes), 1))
    for row, prefix in enumerate(prefixes):
        rows[row, 1 : 1 + len(prefix)] = prefix
    with torch.no_grad():
        found = agent.policy.get_distribution(torch.tensor(rows)).distribution.probs.double()
    at = dict(zip(prefixes, found, strict=True))
    total = 0.0
    for text, row in world.rows.items():
        steps = [float(at[text[:end]][text[end]]) for end in range(len(text))]
        total += float(np.prod(steps)) * float(world.rewards[row])
    sums = [float(sum(at[prefix])) for prefix in itertools.islice(at, 3)]
    assert sums == pytest.approx([1.0] * len(sums))
    return total
