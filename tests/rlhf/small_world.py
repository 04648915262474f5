"""A world small enough to enumerate: every response to one prompt, its reward, and the exact optimum of reward − β·KL.

Vocabulary V with one stop token, at most H tokens a response: the optimum is π_ref(y)·exp(r(y)/β)/Z (Ziegler et al.
2019, eq. 3), and its objective is β·log Z. Nothing here samples: J is a sum over every response there is.
"""

import copy
import itertools
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from training.rlhf.config import PolicyConfig
from training.rlhf.experience import Actors, appraise, seeded
from training.rlhf.heads import ValueHead
from training.rlhf.model import ScalarModel
from training.rlhf.norms import fuse_norms
from training.rlhf.optimizer import learning_rate_at, make_optimizer
from training.rlhf.packing import enable_packing
from training.rlhf.policy_update import UpdateStats, update
from training.rlhf.sampling import Responses, as_grid, response_logprobs, sample
from training.rlhf.train_policy import running_mean

STOP, START = 0, 1


class World(NamedTuple):
    """Every response to the prompt [START]; START may stand in a response too."""

    responses: Responses
    rewards: Tensor
    """(B,) float64."""
    rows: dict[tuple[int, ...], int]

    def score(self, responses: Responses) -> Tensor:
        """(B,) the rewards of sampled responses, looked up."""
        return torch.tensor([float(self.rewards[self.rows[tuple(text)]]) for text in responses.texts()])


def make_world(vocabulary: int, horizon: int, *, seed: int) -> World:
    """Rewards that no token decides alone: a random table over whole responses and one over neighbours."""
    texts = [
        (*body, STOP) for length in range(horizon) for body in itertools.product(range(1, vocabulary), repeat=length)
    ] + list(itertools.product(range(1, vocabulary), repeat=horizon))
    generator = torch.Generator().manual_seed(seed)
    whole = torch.rand(len(texts), generator=generator, dtype=torch.float64)
    pairs = torch.rand(vocabulary, vocabulary, generator=generator, dtype=torch.float64)
    neighbours = torch.tensor([sum(float(pairs[a, b]) for a, b in itertools.pairwise(text)) for text in texts])
    return World(as_responses(texts, horizon), whole + neighbours, {text: row for row, text in enumerate(texts)})


def as_responses(texts: list[tuple[int, ...]], horizon: int) -> Responses:
    mask = torch.arange(horizon) < torch.tensor([[len(text)] for text in texts])
    tokens = torch.tensor([[START, *text] + [START] * (horizon - len(text)) for text in texts])
    return Responses(
        tokens=tokens,
        prompt_lengths=torch.ones(len(texts), dtype=torch.long),
        mask=mask,
        logprobs=torch.zeros(mask.shape),
        ended=torch.tensor([text[-1] == STOP for text in texts]),
    )


class Table(nn.Module):
    """A free number, or row of numbers, for every prefix: what any network could learn, and nothing in its way.

    As a policy it answers as a causal model of transformers does, key-value cache included (the keys are the tokens).
    As a value model it is called with a mask and has no normalisation to undo.
    """

    def __init__(self, vocabulary: int, horizon: int, width: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = LlamaConfig(num_hidden_layers=1)
        self.vocabulary = vocabulary
        # A prefix is a number in base `vocabulary`; it begins with START, which is not 0, so no two share a number.
        self.rows = nn.Parameter(torch.zeros((START + 1) * vocabulary**horizon, width, dtype=dtype))

    def forward(self, input_ids, mask=None, *, past_key_values=None, logits_to_keep=0, use_cache=False, **_):
        known = input_ids
        if past_key_values is not None:
            keys = input_ids[:, None, :, None].double()
            known = past_key_values.update(keys, keys, 0)[0][:, 0, :, 0].long()
        prefix, numbers = torch.zeros_like(known[:, 0]), []
        for column in known.unbind(1):
            prefix = (prefix * self.vocabulary + column) % len(self.rows)
            numbers.append(prefix)
        rows = self.rows[torch.stack(numbers[-input_ids.shape[1] :], 1)]
        return rows.squeeze(-1) if mask is not None else SimpleNamespace(logits=rows[:, -logits_to_keep:])

    def normalised(self, values: Tensor) -> Tensor:
        return values


def table_actors(vocabulary: int, horizon: int, config: PolicyConfig) -> Actors:
    """A policy that can be anything, a frozen copy of it, a value model that starts at 0."""
    generator = torch.Generator().manual_seed(config.seed)
    policy = Table(vocabulary, horizon, vocabulary)
    with torch.no_grad():
        policy.rows.normal_(generator=generator)
    value = Table(vocabulary, horizon, 1) if config.has_value_model else None
    reference = copy.deepcopy(policy).requires_grad_(False)
    of_value = make_optimizer([value], config) if value is not None else None
    return Actors(policy, reference, value, make_optimizer([policy], config), of_value)


def tiny_actors(
    vocabulary: int, config: PolicyConfig, *, dtype: torch.dtype = torch.float32, is_packed: bool = False
) -> Actors:
    """A one-layer Llama, a frozen copy of it, and a value model with a head of its own, or a head on the policy."""
    shape = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=None,
        initializer_range=0.1,
        num_labels=1,
    )
    torch.manual_seed(config.seed)
    policy = LlamaForCausalLM(shape).to(dtype).eval()
    value = ScalarModel(LlamaForSequenceClassification(shape).to(dtype).eval())
    for model in (policy, value.inner):
        if is_packed:
            assert enable_packing(model)
        fuse_norms(model)  # as loaded models have them, packed or not: the library's go through float32
    reference = copy.deepcopy(policy).requires_grad_(False)
    if config.shares_trunk:
        head = ValueHead(shape.hidden_size).to(dtype)
        head.head.weight.data.copy_(value.head.weight)  # away from 0, where it would pull on nothing
        return Actors(policy, reference, head, make_optimizer([policy, head], config), None)
    return Actors(policy, reference, value, make_optimizer([policy], config), make_optimizer([value], config))


@torch.no_grad()
def sequence_logprobs(model: nn.Module, world: World, temperature: float = 1.0) -> Tensor:
    """(B,) float64: log π(y) of every response there is."""
    logprobs = response_logprobs(model, world.responses, temperature=temperature)
    return as_grid(logprobs, world.responses.mask).double().sum(1)


def objective(actors: Actors, world: World, config: PolicyConfig) -> float:
    """J(π) = E_π[r] − β·KL(π‖π_ref), summed over every response."""
    own = sequence_logprobs(actors.policy, world, config.temperature)
    ref = sequence_logprobs(actors.reference, world, config.temperature)
    return float((own.exp() * (world.rewards - config.kl_coef * (own - ref))).sum())


def best_objective(actors: Actors, world: World, config: PolicyConfig) -> float:
    """J of the optimum, β·log Σ_y π_ref(y)·exp(r(y)/β)."""
    ref = sequence_logprobs(actors.reference, world, config.temperature)
    return config.kl_coef * float(torch.logsumexp(ref + world.rewards / config.kl_coef, 0))


def policy_steps(actors: Actors, world: World, config: PolicyConfig, *, num_steps: int) -> list[UpdateStats]:
    """The real sampler, appraisal and update, with the world's own rewards in place of a reward model."""
    done: list[UpdateStats] = []
    baseline: float | None = None
    for step in range(num_steps):
        responses = sample(
            actors.policy,
            [[START]] * config.rollout_batch_size,
            stop_ids=[STOP],
            pad_id=START,
            max_tokens=world.responses.mask.shape[1],
            temperature=config.temperature,
            generator=seeded(config, "rollout", step),
        )
        coef = config.kl_coef
        experience = appraise(
            actors, responses, world.score(responses), config, kl_coef=coef, step=step, baseline=baseline or 0.0
        )
        paid = experience.scores - coef * (experience.logprobs - experience.ref_logprobs).sum(1)
        baseline = running_mean(baseline, float(paid.mean()))
        rate = learning_rate_at(config, step=step, total_steps=num_steps)
        done.append(update(actors, experience, config, learning_rate=rate, kl_coef=coef, step=step))
    return done
