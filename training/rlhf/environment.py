"""Writing an answer as a Gymnasium environment, so that any library's agent can be trained or checked on it.

    from training.rlhf.environment import load_environment
    env = load_environment(prompts=Path("runs/7/prompts.jsonl"), model="starter", reward_model="runs/7/artifact")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

An action is a token, the state the text so far, an episode one answer. The reward comes with its last token: the stop
token, which ends the episode, or the last that fits, which cuts it off. Nothing here is used by the trainer itself,
whose loops know the model and sample a batch at once; an agent that only sees an environment does neither.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete, MultiDiscrete
from numpy.typing import NDArray

from training.rlhf.config import GenerateConfig
from training.rlhf.data import Encoded, Encoder, of_split, read_prompts
from training.rlhf.model import choose_device, load_scalar, load_tokenizer
from training.rlhf.sampling import given_responses
from training.rlhf.scoring import Scorer

Observation = NDArray[np.int64]
Reward = Callable[[int, list[int]], float]
"""(number of the prompt, tokens of the answer) → what the whole answer is worth."""
Decode = Callable[[list[int]], str]


class AnswerEnv(gymnasium.Env[Observation, np.int64]):
    """One answer an episode.

    An observation has a place for every token of the longest prompt and answer: (L,) int64, the prompt, then the answer
    so far, then `num_tokens`, which is no token, where there is nothing yet. As many options a place as that make it a
    MultiDiscrete space, which agents with small networks read one-hot.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        reward: Reward,
        *,
        num_tokens: int,
        stop_id: int,
        max_response_tokens: int,
        missing_eos_score: float | None = None,
        decode: Decode | None = None,
        render_mode: Literal["ansi"] | None = None,
    ) -> None:
        """missing_eos_score: the reward of an answer that was cut off; None asks `reward` all the same.

        decode: how tokens become the text that render() shows; None shows their ids.
        """
        if not prompts or not all(prompts):
            raise ValueError("every prompt needs at least one token to answer to.")
        if not 0 <= stop_id < num_tokens:
            raise ValueError(f"stop_id must be one of the {num_tokens} tokens, got {stop_id}.")
        self.render_mode = render_mode
        self._prompts = [list(prompt) for prompt in prompts]
        self._reward, self._decode = reward, decode
        self._num_tokens, self._stop_id = num_tokens, stop_id
        self._max_response_tokens, self._missing_eos_score = max_response_tokens, missing_eos_score
        self._width = max(map(len, self._prompts)) + max_response_tokens
        self.observation_space = MultiDiscrete(np.full(self._width, num_tokens + 1))
        self.action_space = Discrete(num_tokens)
        self._number = 0
        self._response: list[int] | None = None  # None: over, or not begun

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """A prompt drawn at random, or the one that options["prompt"] numbers."""
        super().reset(seed=seed)
        chosen = (options or {}).get("prompt")
        if chosen is not None and not 0 <= chosen < len(self._prompts):
            raise ValueError(f"there is no prompt {chosen}: give a number from 0 to {len(self._prompts) - 1}.")
        self._number = int(self.np_random.integers(len(self._prompts))) if chosen is None else int(chosen)
        self._response = []
        return self._observation(), {"prompt": self._number}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Write one token. The episode ends with the stop token (terminated) or the last that fits (truncated)."""
        if self._response is None:
            raise ValueError("the answer is over: call reset() before the next step().")
        if not self.action_space.contains(action):
            raise ValueError(f"an action is a token from 0 to {self._num_tokens - 1}, got {action}.")
        self._response.append(int(action))
        terminated = self._response[-1] == self._stop_id
        truncated = not terminated and len(self._response) == self._max_response_tokens
        observation, reward = self._observation(), 0.0
        if terminated or truncated:
            reward = self._paid(has_ended=terminated)
            self._response = None
        return observation, reward, terminated, truncated, {"prompt": self._number}

    def render(self) -> str | None:
        """With render_mode "ansi": prompt and answer so far."""
        if self.render_mode is None:
            return None
        tokens = [*self._prompts[self._number], *(self._response or [])]
        return self._decode(tokens) if self._decode else " ".join(map(str, tokens))

    def _paid(self, *, has_ended: bool) -> float:
        assert self._response is not None
        if not has_ended and self._missing_eos_score is not None:
            return self._missing_eos_score
        return float(self._reward(self._number, self._response))

    def _observation(self) -> Observation:
        written = [*self._prompts[self._number], *(self._response or [])]
        found = np.full(self._width, self._num_tokens, dtype=np.int64)
        found[: len(written)] = written
        return found


def load_environment(
    *,
    prompts: Path,
    model: str,
    reward_model: str,
    split: Literal["all", "train", "validation", "test"] = "train",
    max_prompt_tokens: int = 512,
    max_response_tokens: int = 256,
    missing_eos_score: float | None = -1.0,
    render_mode: Literal["ansi"] | None = None,
) -> AnswerEnv:
    """The environment of a prompts.jsonl, the tokens of a model's tokenizer, and a reward model's normalised score.

    ValueError with a sentence where a file or a model cannot be read.
    """
    tokenizer = load_tokenizer(model)
    config = GenerateConfig(max_prompt_tokens=max_prompt_tokens, max_response_tokens=max_response_tokens)
    encoder = Encoder(tokenizer, max_prompt_tokens=max_prompt_tokens, max_response_tokens=max_response_tokens)
    lines = of_split(read_prompts(prompts), split)
    encoded = [encoder.prompt(line.messages) for line in lines]
    device = choose_device("auto")
    scorer = Scorer(load_scalar(reward_model, device=device), load_tokenizer(reward_model), tokenizer, config)
    stop_id = int(tokenizer.eos_token_id)

    def score(number: int, response: list[int]) -> float:
        row = given_responses([Encoded(encoded[number], response)], stop_id=stop_id, device=device)
        with torch.no_grad():
            return float(scorer([lines[number].messages], row))

    return AnswerEnv(
        encoded,
        score,
        num_tokens=len(tokenizer),
        stop_id=stop_id,
        max_response_tokens=max_response_tokens,
        missing_eos_score=missing_eos_score,
        decode=tokenizer.decode,
        render_mode=render_mode,
    )
