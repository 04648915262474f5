"""Train a reward model on preference pairs (Bradley-Terry; InstructGPT eq. 1, margins of Llama 2 eq. 2).

    python -m training.rlhf reward runs/7

Reads config.json, preferences.jsonl and, where it exists, prompts.jsonl with reference responses; writes events.jsonl,
checkpoints/ and artifact/ (a reward model). Soft targets are used as they are; the pairs of one prompt share a step,
and a response that stands in several of them is read once. At the end the score is normalised and measured on pairs
that were held out: the test split, or the validation split where there is no test split.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.checkpoint import Checkpoints, LoopState, asked, load_weights, note_best
from training.rlhf.config import RewardConfig
from training.rlhf.data import (
    Encoder,
    PreferencePair,
    data_hash,
    micro_batches,
    of_split,
    pad_rows,
    pass_cost,
    plan_batches,
    read_preferences,
    read_prompts,
)
from training.rlhf.losses import centering_penalty, preference_loss
from training.rlhf.measures import ScoredPair, accuracy, held_out_report
from training.rlhf.model import (
    ScalarModel,
    add_lora,
    choose_device,
    is_reward_model,
    load_scalar,
    load_tokenizer,
    new_scalar,
    precision,
    refuse_foreign_tokenizer,
    save_model,
)
from training.rlhf.optimizer import learning_rate_at, make_optimizer, take_step
from training.rlhf.rundir import EventLog, RunDir, StopCheck, new_folder

EVALUATION_PAIRS = 32
SMALLEST_STD = 1e-6


class EncodedPair(NamedTuple):
    """A preference pair as tokens."""

    tokens_a: tuple[int, ...]  # prompt and response
    tokens_b: tuple[int, ...]
    target: float
    margin: float  # how far a should lead; negative where b is better
    weight: float
    prompt_id: str
    strength: float
    length_a: int  # response tokens alone
    length_b: int


class Pairs(NamedTuple):
    """The data of a run."""

    tokenizer: PreTrainedTokenizerBase
    train: list[EncodedPair]
    validation: list[EncodedPair]  # may be empty
    held_out: list[EncodedPair]
    references: list[tuple[int, ...]]  # what a normalised score of 0 is the mean of
    references_are: str
    warnings: list[str]


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
        loss, values = accumulate_gradient(model, batch, config, context=context)
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
    if config.keep_best and "best_step" in state.progress:
        load_weights(run.checkpoint_path(state.progress["best_step"]), "model", model)
    for sentence in normalise(model, pairs.references, context=context):
        events.warning(sentence)
    summary = {"steps": state.step, **state.progress, **measure(model, pairs.held_out, context=context)}
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
        save_model(folder, model, pairs.tokenizer, about=about)
    events.artifact(path=run.artifact.name, model_kind="reward", metrics=summary)
    return summary


def read_pairs(config: RewardConfig, run: RunDir) -> Pairs:
    """Read and encode the run's data; ValueError when there is nothing to train on or nothing held out."""
    lines = read_preferences(run.preferences)
    tokenizer = load_tokenizer(config.model, config.revision)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    of_split(lines, "train")  # refuses an empty one
    by_split: dict[str, list[EncodedPair]] = {"train": [], "validation": [], "test": []}
    for line in lines:
        by_split[line.split].append(encode_pair(encoder, line, margin_per_strength=config.margin_per_strength))
    held_out = by_split["test"] or by_split["validation"]
    if not held_out:
        raise ValueError(
            "preferences.jsonl holds nothing out: without a validation or test split the accuracy would be measured "
            "on what was trained on. Give some prompts the split validation or test."
        )
    # a weight of 0 asks for no influence; in a step alone it would also have no mean
    train = [pair for pair in by_split["train"] if pair.weight > 0]
    if not train:
        raise ValueError("every pair of the train split has weight 0: give those that shall count a weight above 0.")
    references = [
        (*encoder.prompt(prompt.messages), *encoder.response(prompt.reference))
        for prompt in (read_prompts(run.prompts) if run.prompts.is_file() else [])
        if prompt.split == "train" and prompt.reference is not None
    ]
    references_are = "the reference responses of the train split"
    if not references:
        references = list(dict.fromkeys(tokens for pair in train for tokens in (pair.tokens_a, pair.tokens_b)))
        references_are = "all responses of the train split (it has no reference responses)"
    return Pairs(tokenizer, train, by_split["validation"], held_out, references, references_are, encoder.warnings())


def encode_pair(encoder: Encoder, line: PreferencePair, *, margin_per_strength: float) -> EncodedPair:
    """One line as tokens. Its own margin, or the one by strength, is asked of whichever side the target prefers."""
    prompt = encoder.prompt(line.prompt)
    response_a, response_b = encoder.response(line.response_a), encoder.response(line.response_b)
    size = margin_per_strength * abs(line.strength) if line.margin is None else line.margin
    side = (line.target > 0.5) - (line.target < 0.5)
    return EncodedPair(
        tokens_a=(*prompt, *response_a),
        tokens_b=(*prompt, *response_b),
        target=line.target,
        margin=side * size,
        weight=line.weight,
        prompt_id=line.prompt_id,
        strength=line.strength,
        length_a=len(response_a),
        length_b=len(response_b),
    )


def start_model(config: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> ScalarModel:
    """A causal model's trunk under a new head, or a reward model that learns on; with adapters where asked for."""
    device = choose_device(config.device)
    if is_reward_model(config.model):
        model = load_scalar(config.model, device=device)
    else:
        model = new_scalar(config.model, config.revision, device=device, head="random")
    refuse_foreign_tokenizer(model.inner, tokenizer)
    if config.lora_rank:
        add_lora(model, rank=config.lora_rank, alpha=config.lora_alpha)
    return model


def accumulate_gradient(
    model: ScalarModel, batch: Sequence[EncodedPair], config: RewardConfig, *, context: torch.autocast
) -> tuple[float, dict[str, float]]:
    """Add the gradient of the step's mean loss to the weights; returns that loss and what to chart.

    Sums are divided by the whole step's weights and pairs, so the gradient does not depend on micro_batch_size.
    """
    total_weight = sum(pair.weight for pair in batch)
    total = 0.0
    scored: list[ScoredPair] = []
    cost = pass_cost(model.head.weight.device)
    length = _pair_length(batch)
    for piece in micro_batches(range(len(batch)), size=config.micro_batch_size, length=length, pass_cost=cost):
        pairs = [batch[index] for index in piece]
        with context:
            scores_a, scores_b = score_pairs(model, pairs)
        target, margin, weight = (
            torch.tensor([getattr(pair, name) for pair in pairs], dtype=scores_a.dtype, device=scores_a.device)
            for name in ("target", "margin", "weight")
        )
        losses = preference_loss(scores_a, scores_b, target, margin=margin, label_smoothing=config.label_smoothing)
        loss = (weight * losses).sum() / total_weight
        if config.centering:
            loss = loss + config.centering * centering_penalty(scores_a, scores_b).sum() / len(batch)
        loss.backward()
        total += loss.item()
        scored += scored_pairs(pairs, scores_a, scores_b)
    right = accuracy(scored)
    return total, {"loss/train": total, **({"train/accuracy": right.value} if right else {})}


def score_pairs(model: ScalarModel, pairs: Sequence[EncodedPair]) -> tuple[Tensor, Tensor]:
    """(P,) raw scores of the first and of the second responses; equal responses pass through the model once."""
    rows = list(dict.fromkeys(tokens for pair in pairs for tokens in (pair.tokens_a, pair.tokens_b)))
    place = {tokens: index for index, tokens in enumerate(rows)}
    scores = score_rows(model, rows)
    return scores[[place[pair.tokens_a] for pair in pairs]], scores[[place[pair.tokens_b] for pair in pairs]]


def score_rows(model: ScalarModel, rows: Sequence[Sequence[int]]) -> Tensor:
    """(B,) raw scores of prompts with their responses."""
    device = next(model.parameters()).device
    return model.score(*pad_rows(rows, side="right").to(device))


def scored_pairs(pairs: Sequence[EncodedPair], scores_a: Tensor, scores_b: Tensor) -> list[ScoredPair]:
    differences = (scores_a - scores_b).tolist()
    return [
        ScoredPair(difference, pair.target, pair.strength, pair.length_a, pair.length_b)
        for pair, difference in zip(pairs, differences, strict=True)
    ]


def measure(model: ScalarModel, pairs: Sequence[EncodedPair], *, context: torch.autocast) -> dict[str, Any]:
    """The report of measures.held_out_report on these pairs."""
    scored: list[ScoredPair] = []
    with torch.no_grad(), context:
        for piece in micro_batches(range(len(pairs)), size=EVALUATION_PAIRS, length=_pair_length(pairs)):
            chosen = [pairs[index] for index in piece]
            scored += scored_pairs(chosen, *score_pairs(model, chosen))
    return held_out_report(scored)


def validation_values(model: ScalarModel, pairs: Sequence[EncodedPair], *, context: torch.autocast) -> dict[str, float]:
    report = measure(model, pairs, context=context)
    names = {"validation/loss": "log_loss", "validation/accuracy": "accuracy", "validation/ece": "ece"}
    return {name: report[key] for name, key in names.items() if report[key] is not None}


def normalise(model: ScalarModel, references: Sequence[Sequence[int]], *, context: torch.autocast) -> list[str]:
    """Set the mean and the standard deviation by which scores are read from now on; returns what is doubtful."""
    scores: list[float] = []
    with torch.no_grad(), context:
        for piece in micro_batches(
            range(len(references)), size=2 * EVALUATION_PAIRS, length=lambda index: len(references[index])
        ):
            scores += score_rows(model, [references[index] for index in piece]).tolist()
    values = torch.tensor(scores, dtype=torch.float64)
    model.reward_mean = values.mean().item()
    model.reward_std = values.std(correction=0).item()
    if model.reward_std >= SMALLEST_STD:
        return []
    model.reward_std = 1.0
    return ["the reward model gives every reference response the same score, so scores are centred but not scaled."]


def doubts(report: dict[str, Any]) -> list[str]:
    """Sentences about what a reader must know before trusting the model."""
    right, longer = report["accuracy"], report["length_baseline_accuracy"]
    if right is None:
        return ["every held-out pair is a tie, so there is no accuracy: hold out pairs with a preference."]
    if right <= longer:
        return [
            f'the reward model does not beat "the longer answer wins" on held-out pairs: {right:.3f} against '
            f"{longer:.3f} ({report['num_decided']} pairs). It may have learned nothing but length."
        ]
    return []


def _pair_length(pairs: Sequence[EncodedPair]) -> Callable[[int], int]:
    return lambda index: max(len(pairs[index].tokens_a), len(pairs[index].tokens_b))
