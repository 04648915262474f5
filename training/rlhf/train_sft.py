"""Teach a causal model to imitate demonstrations.

    python -m training.rlhf sft runs/7

Reads config.json and demonstrations.jsonl, writes events.jsonl, checkpoints/ and artifact/ (a policy). The loss is the
mean negative log-likelihood of response tokens, EOS included; prompts are read, not imitated. The mean is over all
response tokens of a step, so neither micro-batches nor padding change the gradient.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.rlhf.activations import make_again
from training.rlhf.checkpoint import Checkpoints, LoopState, asked
from training.rlhf.config import SFTConfig
from training.rlhf.data import (
    Encoded,
    Encoder,
    data_hash,
    of_split,
    plan_batches,
    read_demonstrations,
)
from training.rlhf.distributed import distributed_over_all, share, total_of_all
from training.rlhf.model import (
    add_lora,
    choose_device,
    load_policy,
    load_tokenizer,
    precision,
    refuse_foreign_tokenizer,
    save_model,
)
from training.rlhf.optimizer import learning_rate_at, make_optimizer, take_step
from training.rlhf.packing import packs, pieces
from training.rlhf.rundir import EventLog, RunDir, StopCheck, new_folder
from training.rlhf.sampling import given_responses, response_logprobs

EVALUATION_ROWS = 32


class Examples(NamedTuple):
    """The demonstrations as tokens."""

    tokenizer: PreTrainedTokenizerBase
    train: list[Encoded]
    validation: list[Encoded]  # may be empty
    warnings: list[str]


def train_sft(config: SFTConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Run the whole loop and return the summary; raises Stopped when `stop` asks for it."""
    # 1. The data, and the rows of every step.
    examples = read_examples(config, run)
    rows = range(len(examples.train))
    plan = plan_batches(
        rows, batch_size=config.batch_size, epochs=config.epochs, seed=config.seed, max_steps=config.max_steps
    )

    # 2. The model and its optimizer.
    context = precision(choose_device(config.device), config.dtype)
    torch.manual_seed(config.seed)
    model = start_model(config, examples.tokenizer)
    optimizer = make_optimizer([model], config)

    # 3. Where an earlier process of this run stopped.
    state = LoopState(modules={"model": model}, optimizers={"model": optimizer})
    question = asked(config, run.demonstrations)
    checkpoints = Checkpoints(run, events, state, question=question, every=config.checkpoint_every)
    if not checkpoints.resume():
        for sentence in examples.warnings:
            events.warning(sentence)

    # 4. The steps.
    while state.step < len(plan):
        checkpoints.stop_if_asked(stop)
        batch = [examples.train[row] for row in plan[state.step]]
        loss = accumulate_gradient(model, batch, micro_batch_size=config.micro_batch_size, context=context)
        rate = learning_rate_at(config, step=state.step, total_steps=len(plan))
        report = take_step(optimizer, config, learning_rate=rate, step=state.step + 1, loss=loss)
        state.step += 1
        values = {"loss/train": loss, "optim/grad_norm": report.grad_norm, "optim/learning_rate": rate}
        if examples.validation and (state.step % config.evaluate_every == 0 or state.step == len(plan)):
            values |= validation_values(model, examples.validation, context=context)
        events.metrics(step=state.step, values=values)
        events.progress(step=state.step, total_steps=len(plan))
        state.progress |= {name: values[name] for name in values if name.startswith(("loss/", "validation/"))}
        checkpoints.save_if_due(total_steps=len(plan))

    # 5. The artifact.
    summary = {"steps": state.step, **state.progress}
    about = {"parent": config.model, "run_kind": "sft", "data_hash": data_hash(run.demonstrations)}
    with new_folder(run.artifact) as folder:
        save_model(folder, model, examples.tokenizer, about=about)
    events.artifact(path=run.artifact.name, model_kind="policy", metrics=summary)
    return summary


def read_examples(config: SFTConfig, run: RunDir) -> Examples:
    """Read demonstrations.jsonl and turn it into tokens; ValueError when there is nothing to train on."""
    demonstrations = read_demonstrations(run.demonstrations)
    tokenizer = load_tokenizer(config.model, config.revision)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    train = [encoder.encode(line.prompt, line.response) for line in of_split(demonstrations, "train")]
    held_out = [line for line in demonstrations if line.split == "validation"]
    validation = [encoder.encode(line.prompt, line.response) for line in held_out]
    return Examples(tokenizer, train, validation, encoder.warnings())


def start_model(config: SFTConfig, tokenizer: PreTrainedTokenizerBase) -> nn.Module:
    """The causal model to start from, with adapters where they are asked for."""
    policy = load_policy(config.model, config.revision, device=choose_device(config.device))
    refuse_foreign_tokenizer(policy, tokenizer)
    if config.activation_checkpointing:
        make_again(policy)
    model: nn.Module = policy
    if config.lora_rank:
        model = add_lora(policy, rank=config.lora_rank, alpha=config.lora_alpha)
    distributed_over_all(model, config)
    return model


def accumulate_gradient(
    model: nn.Module, rows: Sequence[Encoded], *, micro_batch_size: int, context: torch.autocast
) -> float:
    """Add the gradient of the rows' mean negative log-likelihood a response token to the weights; returns that mean."""
    num_tokens = sum(len(row.response) for row in rows)
    total = 0.0
    for piece in _pieces(model, rows, size=micro_batch_size):
        mine = share(piece)
        with context:
            loss = mine.weight * response_loss_sum(model, [rows[index] for index in mine.rows]) / num_tokens
        loss.backward()
        total += loss.item()
    return total_of_all(total)


def response_loss_sum(model: nn.Module, rows: Sequence[Encoded]) -> Tensor:
    """Negative log-likelihood summed over all response tokens of the rows, in nats; scalar."""
    device = next(model.parameters()).device
    return -response_logprobs(model, given_responses(rows, stop_id=-1, device=device), temperature=1.0).sum()


def validation_values(model: nn.Module, rows: Sequence[Encoded], *, context: torch.autocast) -> dict[str, float]:
    """Mean negative log-likelihood a response token on held-out rows, and its perplexity."""
    total = 0.0
    with torch.no_grad(), context:
        for piece in _pieces(model, rows, size=EVALUATION_ROWS):
            total += response_loss_sum(model, [rows[index] for index in piece]).item()
    loss = total / sum(len(row.response) for row in rows)
    # past e^50 a perplexity says nothing, and further on it is no longer a finite number
    return {"validation/loss": loss, "validation/perplexity": math.exp(min(loss, 50.0))}


def _pieces(model: nn.Module, rows: Sequence[Encoded], *, size: int) -> Iterator[list[int]]:
    return pieces(
        range(len(rows)),
        size=size,
        length=lambda index: len(rows[index].prompt) + len(rows[index].response),
        device=next(model.parameters()).device,
        is_packed=packs(model),
    )
