"""Train a reward model on preference pairs (Bradley-Terry; InstructGPT eq. 1, margins of Llama 2 eq. 2).

    python -m training.rlhf reward runs/7

Reads config.json, preferences.jsonl and, where it exists, prompts.jsonl with reference responses; writes events.jsonl,
checkpoints/ and artifact/ (a reward model). Soft targets are used as they are; the pairs of one prompt share a step,
and a response that stands in several of them is read once. Several heads on the one trunk learn from a resample of the
prompts each. At the end the score is normalised, given a temperature, and measured on pairs that were held out: the
test split, or the validation split where there is no test split.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from training.rlhf.activations import make_again
from training.rlhf.adapters import save_adapters
from training.rlhf.beside import ALONE, Backward, Workers, side_by_side
from training.rlhf.checkpoint import Checkpoints, LoopState, asked, load_best, note_best
from training.rlhf.config import RewardConfig
from training.rlhf.data import data_hash, plan_batches
from training.rlhf.distributed import Share, distributed_over_all, every, share, total_of_all
from training.rlhf.held_out import calibrate, doubts, measure, normalise, score_pairs, scored_pairs
from training.rlhf.losses import centering_penalty, preference_loss
from training.rlhf.measures import ScoredPair, accuracy
from training.rlhf.model import (
    ScalarModel,
    add_lora,
    choose_device,
    is_reward_model,
    load_scalar,
    new_scalar,
    precision,
    refuse_foreign_tokenizer,
    save_model,
)
from training.rlhf.optimizer import learning_rate_at, make_optimizer, take_step
from training.rlhf.pairs import EncodedPair, Pairs, pieces, read_pairs, resample_counts
from training.rlhf.rundir import EventLog, RunDir, StopCheck, new_folder


def train_reward(config: RewardConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Run the whole loop and return the summary; raises Stopped when `stop` asks for it."""
    # 1. The data, and the rows of every step.
    pairs = read_pairs(config, run)
    groups = [pair.prompt_id for pair in pairs.train]
    plan = plan_batches(
        groups, batch_size=config.batch_size, epochs=config.epochs, seed=config.seed, max_steps=config.max_steps
    )

    # 2. The model and its optimizer.
    context = precision(choose_device(config.device), config.dtype)
    torch.manual_seed(config.seed)
    model = start_model(config, pairs.tokenizer)
    optimizer = make_optimizer([model], config)

    # 3. Where an earlier process of this run stopped.
    state = LoopState(modules={"model": model}, optimizers={"model": optimizer})
    question = asked(config, run.preferences, run.prompts)
    checkpoints = Checkpoints(run, events, state, question=question, every=config.checkpoint_every)
    if not checkpoints.resume():
        for sentence in pairs.warnings:
            events.warning(sentence)

    # 4. The steps.
    while state.step < len(plan):
        checkpoints.stop_if_asked(stop)
        batch = [pairs.train[row] for row in plan[state.step]]
        with side_by_side(model, most=config.micro_batch_size and max(1, config.micro_batch_size // 2)) as workers:
            loss, values = accumulate_gradient(model, batch, config, workers=workers)
        rate = learning_rate_at(config, step=state.step, total_steps=len(plan))
        report = take_step(optimizer, config, learning_rate=rate, step=state.step + 1, loss=loss)
        state.step += 1
        values |= {"optim/grad_norm": report.grad_norm, "optim/learning_rate": rate}
        if pairs.validation and (state.step % config.evaluate_every == 0 or state.step == len(plan)):
            values |= validation_values(model, pairs.validation, context=context)
            note_best(state, values["validation/loss"])
        events.metrics(step=state.step, values=values)
        events.progress(step=state.step, total_steps=len(plan))
        if config.keep_best and state.progress.get("best_step") == state.step:
            checkpoints.save()
        checkpoints.save_if_due(total_steps=len(plan))

    # 5. The best weights, normalised and measured; the artifact.
    return finish(config, run, events, state=state, model=model, pairs=pairs, context=context)


def finish(
    config: RewardConfig,
    run: RunDir,
    events: EventLog,
    *,
    state: LoopState,
    model: ScalarModel,
    pairs: Pairs,
    context: torch.autocast,
) -> dict[str, Any]:
    """Normalise and measure the weights that are kept, and publish them; returns the summary."""
    if config.keep_best:
        load_best(run, events, state, "model")
    for sentence in normalise(model, pairs.references, context=context):
        events.warning(sentence)
    found = measure(model, pairs.held_out, context=context)
    others = pairs.validation if pairs.validation != pairs.held_out else []
    summary = {"steps": state.step, **state.progress, **found.report}
    summary |= calibrate(model, others, found, context=context)
    for sentence in doubts(summary):
        events.warning(sentence)
    about = {
        "parent": config.model,
        "run_kind": "reward",
        "data_hash": data_hash(run.preferences),
        "normalised_over": pairs.references_are,
        "held_out": {name: summary[name] for name in ("accuracy", "num_pairs", "log_loss", "length_baseline_accuracy")},
    }
    with new_folder(run.artifact) as folder:
        save_adapters(folder, model)
        save_model(folder, model, pairs.tokenizer, about=about)
    events.artifact(path=run.artifact.name, model_kind="reward", metrics=summary)
    return summary


def start_model(config: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> ScalarModel:
    """A causal model's trunk under a new head, or a reward model that learns on; with adapters where asked for."""
    device = choose_device(config.device)
    if is_reward_model(config.model):
        model = load_scalar(config.model, device=device)
        if model.num_heads != config.heads:
            raise ValueError(
                f"the reward model to go on from has {model.num_heads} heads, the run asks for {config.heads}: set "
                f"heads to {model.num_heads}, or start from a base model."
            )
    else:
        model = new_scalar(config.model, config.revision, device=device, head="random", num_heads=config.heads)
    refuse_foreign_tokenizer(model.inner, tokenizer)
    if config.lora_rank:
        add_lora(model, rank=config.lora_rank, alpha=config.lora_alpha)
    if config.activation_checkpointing:
        make_again(model)
    distributed_over_all(model, config)
    return model


def accumulate_gradient(
    model: ScalarModel, batch: Sequence[EncodedPair], config: RewardConfig, *, workers: Workers = ALONE
) -> tuple[float, dict[str, float]]:
    """Add the gradient of the step's mean loss to the weights; returns that loss and what to chart.

    Sums are divided by the whole step's weights and pairs, so the gradient does not depend on micro_batch_size. Of
    several heads it is the mean; what a head has drawn twice counts twice, and on average everything counts once.
    """
    total_weight = sum(pair.weight for pair in batch)
    num_heads = config.heads if config.bootstrap else 1
    counts = resample_counts([pair.prompt_id for pair in batch], num_heads=num_heads, seed=config.seed)

    def learn(mine: Share, backward: Backward) -> tuple[float, list[ScoredPair]]:
        pairs = [batch[index] for index in mine.rows]
        with precision(model.head.weight.device, config.dtype):
            scores = score_pairs(model, pairs)
        target, margin, weight = (
            scores.a.new_tensor([getattr(pair, name) for pair in pairs])[:, None]
            for name in ("target", "margin", "weight")
        )
        seen = weight * weight.new_tensor([counts[index] for index in mine.rows])
        losses = preference_loss(scores.a, scores.b, target, margin=margin, label_smoothing=config.label_smoothing)
        loss = (seen * losses).mean(1).sum() / total_weight
        if config.centering:
            loss = loss + config.centering * centering_penalty(scores.a, scores.b).mean(1).sum() / len(batch)
        loss = mine.weight * loss
        backward(loss)
        return loss.item(), scored_pairs(pairs, scores.difference.detach()) if mine.weight else []

    cut = pieces(batch, size=config.micro_batch_size, model=model, at_once=workers.count)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = workers.learn(learn, [share(piece) for piece in cut], weights)
    scored = [pair for _, of_piece in found for pair in of_piece]
    right = accuracy([pair for part in every(scored) for pair in part])
    total = total_of_all(sum(loss for loss, _ in found))
    return total, {"loss/train": total, **({"train/accuracy": right.value} if right else {})}


def validation_values(model: ScalarModel, pairs: Sequence[EncodedPair], *, context: torch.autocast) -> dict[str, float]:
    report = measure(model, pairs, context=context).report
    names = {"validation/loss": "log_loss", "validation/accuracy": "accuracy", "validation/ece": "ece"}
    return {name: report[key] for name, key in names.items() if report[key] is not None}
