"""Tune a policy against a reward model with PPO (Schulman et al. 2017; Ziegler et al. 2019; Huang et al. 2024) or its
kin: REINFORCE, A2C, RLOO, GRPO.

    python -m training.rlhf policy RUN_DIR

Reads config.json and prompts.jsonl, writes events.jsonl, checkpoints/ and artifact/ (a policy). Reward, value model and
reference are loaded once; the reference is a frozen copy, or the policy with its adapters switched off. What one step
does with its rollouts stands in experience.py and policy_update.py; this file is the run around it.

All randomness of step k is a function of the seed and of k, so a resumed run draws what the killed one would have
drawn. Learning rate, warm-up and checkpoints count rollout steps. Left out: several processes.
"""

import functools
import itertools
import random
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from training.rlhf.activations import make_again
from training.rlhf.adapters import on_trunk_of
from training.rlhf.advantages import KLController, explained_variance, kl_estimate
from training.rlhf.checkpoint import Checkpoints, LoopState, asked
from training.rlhf.config import PolicyConfig
from training.rlhf.data import Encoder, Prompt, data_hash, of_split, read_prompts
from training.rlhf.distributed import block, distributed_over_all, held_whole
from training.rlhf.experience import Actors, Experience, appraise, reference_policy, seeded
from training.rlhf.fused import adapters_added
from training.rlhf.heads import ValueHead, head_of
from training.rlhf.losses import masked_mean
from training.rlhf.model import (
    ScalarModel,
    add_lora,
    choose_device,
    load_policy,
    load_scalar,
    load_tokenizer,
    new_scalar,
    precision,
    refuse_foreign_tokenizer,
    same_tokens,
    save_model,
    with_one_head,
)
from training.rlhf.optimizer import learning_rate_at, make_optimizer
from training.rlhf.packing import packs
from training.rlhf.policy_update import UpdateStats, update
from training.rlhf.rewards import Paid, Reward
from training.rlhf.rundir import EventLog, RunDir, StopCheck, new_folder
from training.rlhf.sampling import Responses, as_grid, gathered, response_logprobs, sample
from training.rlhf.scalar import Scalar
from training.rlhf.scoring import Scorer, refuse_unfit_scores, response_texts
from training.rlhf.spread import spread


def train_policy(config: PolicyConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Run the whole loop and return the summary; raises Stopped when `stop` asks for it."""
    # 1. The prompts, as tokens.
    lines = read_prompts(run.prompts)
    tokenizer = load_tokenizer(config.model, config.revision)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    prompts = [(line, encoder.prompt(line.messages)) for line in of_split(lines, "train")]
    held_out = [line for line in lines if line.split == "validation"] or [line for line, _ in prompts]
    fixed = [(line, encoder.prompt(line.messages)) for line in held_out[: config.num_sample_prompts]]

    # 2. The models.
    actors, scorer = load_actors(config, tokenizer)
    reward = Reward(scorer, tokenizer, config)
    watcher = load_scorer(config.watcher, tokenizer, config, actors.policy, name="watcher") if config.watcher else None

    # 3. Where an earlier process of this run stopped.
    control = KLController(
        coef=config.kl_coef,
        target=config.kl_target,
        horizon=config.kl_horizon,
        is_adaptive=config.kl_controller == "adaptive",
    )
    state = LoopState(
        modules={"policy": actors.policy} | ({"value": actors.value} if actors.value else {}),
        optimizers=dict(zip(("policy", "value"), actors.optimizers, strict=False)),
        progress={"kl_coef": control.coef, "optimizer_steps": 0},
    )
    question = asked(config, run.prompts)
    checkpoints = Checkpoints(run, events, state, question=question, every=config.checkpoint_every)
    if checkpoints.resume():
        control.coef = float(state.progress["kl_coef"])
    else:
        for sentence in [*encoder.warnings(), *scorer.warnings()]:
            events.warning(sentence)
        events.sample(step=0, items=answer_fixed_prompts(actors, reward, fixed, config, tokenizer))

    # 4. The steps.
    total_steps = config.total_steps()
    started, first_step = time.monotonic(), state.step
    while state.step < total_steps:
        checkpoints.stop_if_asked(stop)
        clock = [time.perf_counter()]

        # 4a. Sample a response to each prompt of the batch; the answers to one prompt are neighbours.
        batch = [prompts[row] for row in prompts_of_step(len(prompts), step=state.step, config=config)]
        responses = sample_responses(actors, batch, config, tokenizer, seeded(config, "rollout", state.step))
        clock.append(time.perf_counter())

        # 4b. Score them; log-probabilities, values, KL, advantages.
        messages = [line.messages for line, _ in batch]
        paid = reward(messages, responses)
        if state.step == 0:
            for sentence in refuse_unfit_scores(scorer, messages, responses, paid.model, config):
                events.warning(sentence)
        experience = appraise(
            actors, responses, paid.total, config,
            kl_coef=control.coef, step=state.step, baseline=state.progress.get("baseline", 0.0),
        )  # fmt: skip
        clock.append(time.perf_counter())

        # 4c. Update policy and value model, then the KL coefficient.
        rate = learning_rate_at(config, step=state.step, total_steps=total_steps)
        stats = update(actors, experience, config, learning_rate=rate, kl_coef=control.coef, step=state.step)
        clock.append(time.perf_counter())
        values = measurements(experience, stats, config, kl_coef=control.coef, learning_rate=rate) | of_parts(paid)
        if watcher:
            values["reward/watched"] = float(watcher(messages, responses).mean())
        control.update(values["kl/sequence"], num_responses=config.rollout_batch_size)
        state.step += 1
        state.progress["kl_coef"] = control.coef
        state.progress["baseline"] = running_mean(state.progress.get("baseline"), values["reward/with_kl"])
        state.progress["optimizer_steps"] += stats.num_optimizer_steps
        state.progress.setdefault("first", {name: values[name] for name in SUMMARISED})
        state.progress["last"] = {name: values[name] for name in SUMMARISED}

        # 4d. Say and keep what happened.
        spreads = {"reward": spread(paid.total.tolist())}
        events.metrics(step=state.step, values=values | speed(clock, responses), spreads=spreads)
        if state.step % config.sample_every == 0 or state.step == total_steps:
            events.sample(step=state.step, items=answer_fixed_prompts(actors, reward, fixed, config, tokenizer))
        seconds_a_step = (time.monotonic() - started) / (state.step - first_step)
        events.progress(
            step=state.step, total_steps=total_steps, seconds_left=round(seconds_a_step * (total_steps - state.step), 1)
        )
        checkpoints.save_if_due(total_steps=total_steps)

    # 5. The artifact.
    summary = {
        "steps": state.step,
        "optimizer_steps": state.progress["optimizer_steps"],
        **{f"{name}/first": value for name, value in state.progress["first"].items()},
        **state.progress["last"],
    }
    about = {
        "parent": config.model,
        "run_kind": "policy",
        "data_hash": data_hash(run.prompts),
        "reward_model": config.reward_model,
    }
    with new_folder(run.artifact) as folder:
        save_model(folder, actors.policy, tokenizer, about=about)
    events.artifact(path=run.artifact.name, model_kind="policy", metrics=summary)
    return summary


BASELINE_MOMENTUM = 0.9
"""Share of the old baseline in the next one."""
SUMMARISED = ("reward/mean", "reward/with_kl", "kl/sequence", "response/length", "response/ended")


def load_actors(config: PolicyConfig, tokenizer: PreTrainedTokenizerBase) -> tuple[Actors, Scorer]:
    """Every model of the run on its device; ValueError with a sentence where they do not belong together."""
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    policy = load_policy(config.model, config.revision, device=device)
    refuse_foreign_tokenizer(policy, tokenizer)
    reference = None if config.lora_rank else load_policy(config.model, config.revision, device=device)
    if reference is not None:
        reference.requires_grad_(False)
    model: nn.Module = policy
    if config.lora_rank:
        model = add_lora(policy, rank=config.lora_rank, alpha=config.lora_alpha)
    scorer = load_scorer(config.reward_model, tokenizer, config, model, name="reward")
    if config.activation_checkpointing:
        make_again(policy)
    distributed_over_all(model, config)
    if config.shares_trunk:
        head = value_head(policy).to(device)
        return Actors(model, reference, head, make_optimizer([model, head], config), None), scorer
    value = starting_value(config, tokenizer, device) if config.has_value_model else None
    if value is None:
        return Actors(model, reference, None, make_optimizer([model], config), None), scorer
    if config.lora_rank:
        add_lora(value, rank=config.lora_rank, alpha=config.lora_alpha)
    if config.activation_checkpointing:
        make_again(value)
    distributed_over_all(value, config)
    of_policy, of_value = (make_optimizer([trained], config) for trained in (model, value))
    return Actors(model, reference, value, of_policy, of_value), scorer


def value_head(policy: nn.Module) -> ValueHead:
    """A head for values on the policy's trunk; ValueError where only the model as a whole can be run."""
    if not packs(policy):
        raise ValueError(
            "value_trunk is shared, but this architecture cannot give its hidden states row by row (a sliding window, "
            "say): set value_trunk to own."
        )
    return ValueHead(head_of(policy).in_features)


def load_scorer(
    folder: str, tokenizer: PreTrainedTokenizerBase, config: PolicyConfig, policy: nn.Module, *, name: str
) -> Scorer:
    """The frozen reward model of a folder, for answers in the policy's tokens: on the policy's trunk if it may stand
    there, else on one of its own. name: what its adapters are called there.
    """
    model: Scalar | None = on_trunk_of(policy, folder, name=name)
    if model is None:
        model = load_scalar(folder, device=choose_device(config.device)).requires_grad_(False)
    return Scorer(model, load_tokenizer(folder), tokenizer, config, batch_size=config.micro_batch_size)


def starting_value(config: PolicyConfig, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> ScalarModel:
    """The value model: `value_model` if named, else the reward model if it fits, else the policy with a zero head."""
    folder = config.value_model or (config.reward_model if config.value_init != "policy" else "")
    if folder:
        fits = same_tokens(load_tokenizer(folder), tokenizer)
        if fits:
            return with_one_head(load_scalar(folder, device=device))
        if config.value_model or config.value_init == "reward":
            raise ValueError(
                f"the value model cannot start from {folder}: it does not read the policy's tokens. "
                "Set value_init to policy, or name a value_model with the policy's tokenizer."
            )
    return new_scalar(config.model, config.revision, device=device, head="zero")


def prompts_of_step(num_prompts: int, *, step: int, config: PolicyConfig) -> list[int]:
    """Which prompts step `step` (from 0) answers: endless shuffled passes over all of them, cut into batches, each
    prompt as often as it gets answers.
    """
    chosen: list[int] = []
    num_chosen = config.rollout_batch_size // config.group_size
    for position in range(step * num_chosen, (step + 1) * num_chosen):
        epoch, place = divmod(position, num_prompts)
        chosen += [_shuffled(num_prompts, config.seed, epoch)[place]] * config.group_size
    return chosen


@functools.lru_cache(maxsize=2)  # many batches lie in one pass
def _shuffled(num_prompts: int, seed: int, epoch: int) -> tuple[int, ...]:
    """The order of one pass over the prompts."""
    order = list(range(num_prompts))
    random.Random(f"{seed}/prompts/{epoch}").shuffle(order)
    return tuple(order)


def running_mean(before: float | None, newest: float) -> float:
    """reinforce's baseline: of steps that are over, so that it does not know the answers it judges."""
    return newest if before is None else BASELINE_MOMENTUM * before + (1 - BASELINE_MOMENTUM) * newest


def sample_responses(
    actors: Actors,
    batch: Sequence[tuple[Prompt, list[int]]],
    config: PolicyConfig,
    tokenizer: PreTrainedTokenizerBase,
    generator: torch.Generator,
) -> Responses:
    """One response to each prompt of the batch, from the distribution that the update will see.

    Of several processes each answers a block of the prompts, with the random numbers that one process would give them.
    """
    mine = block(len(batch))
    torch.rand(mine.start * config.max_response_tokens, generator=generator, dtype=torch.float64)
    device = next(actors.policy.parameters()).device
    answered = None
    with held_whole(actors.policy), precision(device, config.dtype), adapters_added(actors.policy):
        if batch[mine]:
            answered = sample(
                actors.policy,
                [tokens for _, tokens in batch[mine]],
                stop_ids=[tokenizer.eos_token_id],
                pad_id=tokenizer.eos_token_id,
                max_tokens=config.max_response_tokens,
                temperature=config.temperature,
                generator=generator,
            )
    return gathered(answered, pad_id=tokenizer.eos_token_id, device=device)


@torch.no_grad()
def answer_fixed_prompts(
    actors: Actors,
    reward: Reward,
    fixed: Sequence[tuple[Prompt, list[int]]],
    config: PolicyConfig,
    tokenizer: PreTrainedTokenizerBase,
) -> list[dict[str, Any]]:
    """The same prompts with the same random numbers every time, so that only the policy differs between two steps."""
    responses = sample_responses(actors, fixed, config, tokenizer, seeded(config, "fixed prompts", 0))
    scores = reward([line.messages for line, _ in fixed], responses).total
    with precision(scores.device, config.dtype):
        logprobs = response_logprobs(actors.policy, responses, temperature=config.temperature)
        with reference_policy(actors) as reference:
            ref_logprobs = response_logprobs(reference, responses, temperature=config.temperature)
    kl = as_grid(kl_estimate(logprobs, ref_logprobs), responses.mask).sum(1)
    texts = response_texts(tokenizer, responses)
    return [
        {
            "prompt_id": line.id,
            "prompt": line.messages,
            "text": texts[row],
            "reward": float(scores[row]),
            "kl": float(kl[row]),
            "num_tokens": int(responses.mask[row].sum()),
            "ended": bool(responses.ended[row]),
        }
        for row, (line, _) in enumerate(fixed)
    ]


def measurements(
    experience: Experience, stats: UpdateStats, config: PolicyConfig, *, kl_coef: float, learning_rate: float
) -> dict[str, float]:
    """Everything about a step that does not depend on the clock. KL in nats a response, entropy in nats a token."""
    responses, mask = experience.responses, experience.responses.mask
    k1 = kl_estimate(experience.logprobs, experience.ref_logprobs).sum(1)
    k3 = kl_estimate(experience.logprobs, experience.ref_logprobs, "k3").sum(1)
    raw = experience.raw_scores.double()
    low, middle, high = torch.quantile(raw, torch.tensor([0.1, 0.5, 0.9], dtype=raw.dtype, device=raw.device)).tolist()
    lengths = mask.sum(1).double()
    gap = (experience.logprobs - responses.logprobs).abs()
    of_value = {}
    if config.has_value_model:
        of_value = {
            "loss/value": stats.value_loss,
            "value/explained_variance": explained_variance(
                experience.values, experience.returns, experience.value_mask
            ),
        } | ({} if config.shares_trunk else {"optim/value_grad_norm": stats.value_grad_norm})
    return of_value | {
        "reward/mean": float(raw.mean()),
        "reward/std": float(raw.std(correction=0)),
        "reward/p10": low,
        "reward/p50": middle,
        "reward/p90": high,
        "reward/paid": float(experience.scores.mean()),
        "reward/with_kl": float((experience.scores - kl_coef * k1).mean()),
        "kl/sequence": float(k1.mean()),
        "kl/k3": float(k3.mean()),
        "kl/coef": kl_coef,
        "policy/entropy": float(masked_mean(experience.entropy, mask)),
        "loss/policy": stats.policy_loss,
        "policy/clip_fraction": stats.clip_fraction,
        "policy/approx_kl": stats.approx_kl,
        "policy/ratio_mean": stats.ratio_mean,
        "policy/ratio_max": stats.ratio_max,
        "policy/first_ratio_error": stats.first_ratio_error,
        "policy/sampler_gap": float(masked_mean(gap, mask)),
        "response/length": float(lengths.mean()),
        "response/ended": float(responses.ended.double().mean()),
        "optim/grad_norm": stats.grad_norm,
        "optim/learning_rate": learning_rate,
        "optim/steps": float(stats.num_optimizer_steps),
    }


def of_parts(paid: Paid) -> dict[str, float]:
    """The mean of each part of the reward, where there are several; how far the reward model's heads disagree."""
    parts = {f"reward_part/{name}": float(part.mean()) for name, part in paid.parts.items() if len(paid.parts) > 1}
    return parts if paid.model_std is None else parts | {"reward/head_std": float(paid.model_std.mean())}


def speed(clock: Sequence[float], responses: Responses) -> dict[str, float]:
    """What depends on the machine: seconds of each part, rollouts and response tokens a second, peak memory."""
    sampled, scored, updated = (later - earlier for earlier, later in itertools.pairwise(clock))
    seconds = clock[-1] - clock[0]
    if responses.tokens.is_cuda:
        peak_mb = torch.cuda.max_memory_allocated() / 2**20
    else:
        # the kernel counts in KiB, macOS in bytes
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "time/sample": sampled,
        "time/score": scored,
        "time/update": updated,
        "speed/rollouts_per_second": len(responses.ended) / seconds,
        "speed/tokens_per_second": int(responses.mask.sum()) / seconds,
        "memory/peak_mb": peak_mb,
    }
