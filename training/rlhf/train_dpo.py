"""Tune a policy on preference pairs directly (DPO, Rafailov et al. 2023; IPO, Azar et al. 2023).

    python -m training.rlhf dpo runs/9

Reads config.json and preferences.jsonl; writes events.jsonl, checkpoints/ and artifact/ (a policy). The reference is
the model the run starts from. Its log-probabilities of all pairs are read once, before the first step, so no second
model lies in memory and none is asked again. Soft targets are used as they are: with p = σ(r_a − r_b) the minimum is
π_ref·exp(r/β)/Z, as an enumerable world shows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.rlhf.activations import make_again
from training.rlhf.checkpoint import Checkpoints, LoopState, asked, load_best, note_best
from training.rlhf.config import DPOConfig
from training.rlhf.data import (
    Encoded,
    Encoder,
    PreferencePair,
    data_hash,
    of_split,
    plan_batches,
    read_preferences,
)
from training.rlhf.distributed import distributed_over_all, every, share, total_of_all
from training.rlhf.losses import dpo_loss, ipo_loss
from training.rlhf.measures import ScoredPair, accuracy, held_out_report
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

EVALUATION_PAIRS = 32


class DPOPair(NamedTuple):
    """A preference pair as tokens."""

    a: Encoded
    b: Encoded
    target: float
    weight: float
    strength: float
    prompt_id: str


class Pairs(NamedTuple):
    """The data of a run."""

    train: list[DPOPair]
    validation: list[DPOPair]  # may be empty
    held_out: list[DPOPair]  # may be empty
    warnings: list[str]


class Logratios(NamedTuple):
    """(P,) log π(y_a|x) − log π(y_b|x) of some pairs, and its two halves (P,), in nats (a token: with per_token)."""

    logratio: Tensor
    of_a: Tensor
    of_b: Tensor


def train_dpo(config: DPOConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Run the whole loop and return the summary; raises Stopped when `stop` asks for it."""
    # 1. The data, and the rows of every step.
    tokenizer = load_tokenizer(config.model, config.revision)
    pairs = read_pairs(config, run, tokenizer)
    groups = [pair.prompt_id for pair in pairs.train]
    plan = plan_batches(
        groups, batch_size=config.batch_size, epochs=config.epochs, seed=config.seed, max_steps=config.max_steps
    )

    # 2. The model, what it says of every pair before it learns, and its optimizer.
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    policy = load_policy(config.model, config.revision, device=device)
    refuse_foreign_tokenizer(policy, tokenizer)
    references = {
        id(part): reference_logratios(policy, part, config) for part in (pairs.train, pairs.validation, pairs.held_out)
    }
    model: nn.Module = policy
    if config.lora_rank:
        model = add_lora(policy, rank=config.lora_rank, alpha=config.lora_alpha)
    if config.activation_checkpointing:
        make_again(model)
    distributed_over_all(model, config)
    optimizer = make_optimizer([model], config)

    # 3. Where an earlier process of this run stopped.
    state = LoopState(modules={"policy": model}, optimizers={"policy": optimizer})
    checkpoints = Checkpoints(
        run, events, state, question=asked(config, run.preferences), every=config.checkpoint_every
    )
    if not checkpoints.resume():
        for sentence in pairs.warnings:
            events.warning(sentence)

    # 4. The steps.
    reference = references[id(pairs.train)]
    while state.step < len(plan):
        checkpoints.stop_if_asked(stop)
        rows = plan[state.step]
        loss, values = accumulate_gradient(model, [pairs.train[row] for row in rows], reference[rows], config)
        rate = learning_rate_at(config, step=state.step, total_steps=len(plan))
        report = take_step(optimizer, config, learning_rate=rate, step=state.step + 1, loss=loss)
        state.step += 1
        values |= {"optim/grad_norm": report.grad_norm, "optim/learning_rate": rate}
        if pairs.validation and (state.step % config.evaluate_every == 0 or state.step == len(plan)):
            found = measure(model, pairs.validation, references[id(pairs.validation)], config)
            values |= {"validation/loss": found["loss"]}
            if found["accuracy"] is not None:
                values["validation/accuracy"] = found["accuracy"]
            note_best(state, found["loss"])
        events.metrics(step=state.step, values=values)
        events.progress(step=state.step, total_steps=len(plan))
        if config.keep_best and state.progress.get("best_step") == state.step:
            checkpoints.save()
        checkpoints.save_if_due(total_steps=len(plan))

    # 5. The best weights, measured; the artifact.
    if config.keep_best:
        load_best(run, events, state, "policy")
    summary: dict[str, Any] = {"steps": state.step, **state.progress}
    if pairs.held_out:
        summary |= measure(model, pairs.held_out, references[id(pairs.held_out)], config)
    about = {"parent": config.model, "run_kind": "dpo", "data_hash": data_hash(run.preferences)}
    with new_folder(run.artifact) as folder:
        save_model(folder, model, tokenizer, about=about)
    events.artifact(path=run.artifact.name, model_kind="policy", metrics=summary)
    return summary


def read_pairs(config: DPOConfig, run: RunDir, tokenizer: PreTrainedTokenizerBase) -> Pairs:
    """Read and encode the run's data; ValueError when there is nothing to train on."""
    lines = read_preferences(run.preferences)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    of_split(lines, "train")  # refuses an empty one
    by_split: dict[str, list[DPOPair]] = {"train": [], "validation": [], "test": []}
    for line in lines:
        by_split[line.split].append(encode_pair(encoder, line))
    train = [pair for pair in by_split["train"] if pair.weight > 0]
    if not train:
        raise ValueError("every pair of the train split has weight 0: give those that shall count a weight above 0.")
    held_out = by_split["test"] or by_split["validation"]
    warnings = encoder.warnings()
    if not held_out:
        warnings.append("no pair is held out, so nothing says whether the policy learned more than its pairs.")
    return Pairs(train, by_split["validation"], held_out, warnings)


def encode_pair(encoder: Encoder, line: PreferencePair) -> DPOPair:
    prompt = encoder.prompt(line.prompt)
    return DPOPair(
        a=Encoded(prompt, encoder.response(line.response_a)),
        b=Encoded(prompt, encoder.response(line.response_b)),
        target=line.target,
        weight=line.weight,
        strength=line.strength,
        prompt_id=line.prompt_id,
    )


def accumulate_gradient(
    model: nn.Module, batch: Sequence[DPOPair], reference: Tensor, config: DPOConfig
) -> tuple[float, dict[str, float]]:
    """Add the gradient of the step's mean loss to the weights; returns that loss and what to chart.

    reference: (P,) the reference's log-ratios. Sums are divided by the whole step's weights, so the gradient does not
    depend on micro_batch_size.
    """
    total_weight = sum(pair.weight for pair in batch)
    total = 0.0
    scored: list[ScoredPair] = []
    for piece in pair_pieces(model, batch, size=config.micro_batch_size):
        mine = share(piece)
        pairs = [batch[index] for index in mine.rows]
        ratios = logratios(model, pairs, config)
        losses = pair_losses(ratios.logratio, reference[mine.rows], pairs, config)
        weight = torch.tensor([pair.weight for pair in pairs], dtype=losses.dtype, device=losses.device)
        loss = mine.weight * (weight * losses).sum() / total_weight
        loss.backward()
        total += loss.item()
        if mine.weight:
            scored += scored_pairs(pairs, config.beta * (ratios.logratio.detach() - reference[mine.rows]))
    total, scored = total_of_all(total), [pair for part in every(scored) for pair in part]
    right = accuracy(scored)
    margin = sum(abs(pair.difference) for pair in scored) / len(scored)
    return total, {"loss/train": total, "dpo/margin": margin, **({"train/accuracy": right.value} if right else {})}


def pair_losses(logratio: Tensor, reference: Tensor, pairs: Sequence[DPOPair], config: DPOConfig) -> Tensor:
    """(P,) the loss of each pair."""
    target = torch.tensor([pair.target for pair in pairs], dtype=logratio.dtype, device=logratio.device)
    loss = dpo_loss if config.loss == "sigmoid" else ipo_loss
    return loss(logratio, reference, target, beta=config.beta, label_smoothing=config.label_smoothing)


def logratios(model: nn.Module, pairs: Sequence[DPOPair], config: DPOConfig) -> Logratios:
    """What a model says of the pairs, with gradient where enabled; both responses of a pair in one pass."""
    device = next(model.parameters()).device
    rows = [pair.a for pair in pairs] + [pair.b for pair in pairs]
    responses = given_responses(rows, stop_id=-1, device=device)
    with precision(device, config.dtype):
        of_tokens = response_logprobs(model, responses, temperature=1.0)
    owners = responses.mask.nonzero(as_tuple=True)[0]
    sums = of_tokens.new_zeros(len(rows)).index_add(0, owners, of_tokens)
    if config.per_token:
        sums = sums / responses.mask.sum(1)
    of_a, of_b = sums.chunk(2)
    return Logratios(of_a - of_b, of_a, of_b)


@torch.no_grad()
def reference_logratios(model: nn.Module, pairs: Sequence[DPOPair], config: DPOConfig) -> Tensor:
    """(P,) of the model as it is now, for every pair."""
    found = torch.zeros(len(pairs), device=next(model.parameters()).device)
    for piece in pair_pieces(model, pairs, size=EVALUATION_PAIRS):
        of_piece = logratios(model, [pairs[index] for index in piece], config).logratio
        found = found.to(of_piece.dtype)
        found[piece] = of_piece
    return found


@torch.no_grad()
def measure(model: nn.Module, pairs: Sequence[DPOPair], reference: Tensor, config: DPOConfig) -> dict[str, Any]:
    """The mean loss, and the report of measures.held_out_report, in which the implicit reward β·(log π − log π_ref)
    stands for a reward model's score.
    """
    total, total_weight = 0.0, sum(pair.weight for pair in pairs) or 1.0
    scored: list[ScoredPair] = []
    for piece in pair_pieces(model, pairs, size=EVALUATION_PAIRS):
        chosen = [pairs[index] for index in piece]
        of_piece = logratios(model, chosen, config).logratio
        losses = pair_losses(of_piece, reference[piece], chosen, config).tolist()
        total += sum(pair.weight * loss for pair, loss in zip(chosen, losses, strict=True))
        scored += scored_pairs(chosen, config.beta * (of_piece - reference[piece]))
    return {"loss": total / total_weight, **held_out_report(scored)}


def scored_pairs(pairs: Sequence[DPOPair], differences: Tensor) -> list[ScoredPair]:
    return [
        ScoredPair(difference, pair.target, pair.strength, len(pair.a.response), len(pair.b.response))
        for pair, difference in zip(pairs, differences.tolist(), strict=True)
    ]


def pair_pieces(model: nn.Module, pairs: Sequence[DPOPair], *, size: int) -> Iterator[list[int]]:
    """The pairs' numbers, up to `size` of them in a pass. The prompt of a pair is read once."""
    return pieces(
        range(len(pairs)),
        size=size,
        length=lambda index: len(pairs[index].a.prompt) + max(map(len, _responses(pairs[index]))),
        device=next(model.parameters()).device,
        is_packed=packs(model),
        num_tokens=lambda index: len(pairs[index].a.prompt) + sum(map(len, _responses(pairs[index]))),
    )


def _responses(pair: DPOPair) -> tuple[list[int], list[int]]:
    return pair.a.response, pair.b.response
