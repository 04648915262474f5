"""Learn what each token is worth from labelled answers, and steer the model by it (ILQL, Snell et al. 2023).

    python -m training.rlhf ilql runs/11

Reads config.json and preferences.jsonl; writes events.jsonl, checkpoints/ and artifact/ (a policy, steering.py).
Nothing is sampled: answers that people have compared are replayed as episodes whose actions are tokens. The reward
comes with the last token: the answer's mean net vote, 2p − 1 where it is the first of a pair and 1 − 2p where it is the
second, over all its pairs by their weights. So 1 is an answer that everybody preferred, −1 one that nobody did.

At a state h (prompt and tokens so far) with the token a that was written and the state h' behind it:

    Q(h, a)  towards  r + γ·V(h')        both of two heads; V behind the last token is 0
    V(h)     towards  the τ-expectile over the written tokens of min(Q̂₁, Q̂₂)(h, a), Q̂ the Polyak average of Q
    plus     cql_coef·(logsumexp Q(h, ·) − Q(h, a))          keeps tokens that nobody wrote from looking better than
                                                    those that somebody did (Kumar et al. 2020, eq. 4)

and the policy draws from π_ref·exp(β(Q − V)). The model the run starts from is π_ref and keeps its weights; the values
learn on a copy of its trunk.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.activations import make_again
from training.rlhf.checkpoint import Checkpoints, LoopState, asked
from training.rlhf.config import ILQLConfig
from training.rlhf.data import (
    Encoded,
    Encoder,
    PreferencePair,
    data_hash,
    of_split,
    plan_batches,
    read_preferences,
)
from training.rlhf.distributed import distributed_over_all, share, summed
from training.rlhf.losses import expectile_loss
from training.rlhf.measures import held_out_report
from training.rlhf.model import (
    Embedding,
    add_lora,
    choose_device,
    load_policy,
    load_tokenizer,
    num_embeddings_of,
    precision,
    refuse_foreign_tokenizer,
)
from training.rlhf.optimizer import learning_rate_at, make_optimizer, take_step
from training.rlhf.packing import packs, pieces
from training.rlhf.rundir import EventLog, RunDir, StopCheck, new_folder
from training.rlhf.sampling import as_grid, given_responses, response_tokens
from training.rlhf.steering import SteeredPolicy, new_tower, save_steered
from training.rlhf.train_dpo import DPOPair, encode_pair, pair_pieces, scored_pairs
from training.rlhf.values import QHeads, ValueTower

EVALUATION_ROWS = 64


class Episode(NamedTuple):
    """A labelled answer to replay."""

    row: Encoded
    reward: float  # its mean net vote, -1..1, paid with the last token
    weight: float  # of all its labels
    prompt_id: str


class Data(NamedTuple):
    """The data of a run."""

    train: list[Episode]
    validation: list[Episode]  # may be empty
    held_out: list[DPOPair]  # may be empty
    warnings: list[str]


class TokenLosses(NamedTuple):
    """A value a response token (N,), of both Q heads together, and what was learned there."""

    td: Tensor
    expectile: Tensor
    conservative: Tensor
    q: Tensor
    v: Tensor


def train_ilql(config: ILQLConfig, run: RunDir, events: EventLog, stop: StopCheck) -> dict[str, Any]:
    """Run the whole loop and return the summary; raises Stopped when `stop` asks for it."""
    # 1. The data, and the rows of every step.
    tokenizer = load_tokenizer(config.model, config.revision)
    data = read_episodes(config, run, tokenizer)
    plan = plan_batches(
        range(len(data.train)),
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=config.seed,
        max_steps=config.max_steps,
    )

    # 2. The model that stays, the values that learn, the target that follows them.
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    reference = load_policy(config.model, config.revision, device=device).requires_grad_(False)
    refuse_foreign_tokenizer(reference, tokenizer)
    tower = start_tower(config, reference, device)
    target = tower.q.copied()
    optimizer = make_optimizer([tower], config)

    # 3. Where an earlier process of this run stopped.
    state = LoopState(modules={"values": tower, "target": target}, optimizers={"values": optimizer})
    question = asked(config, run.preferences)
    checkpoints = Checkpoints(run, events, state, question=question, every=config.checkpoint_every)
    if not checkpoints.resume():
        for sentence in data.warnings:
            events.warning(sentence)

    # 4. The steps.
    while state.step < len(plan):
        checkpoints.stop_if_asked(stop)
        batch = [data.train[row] for row in plan[state.step]]
        loss, values = accumulate_gradient(tower, target, batch, config)
        rate = learning_rate_at(config, step=state.step, total_steps=len(plan))
        report = take_step(optimizer, config, learning_rate=rate, step=state.step + 1, loss=loss)
        target.follow(tower.q, share=config.polyak)
        state.step += 1
        values |= {"optim/grad_norm": report.grad_norm, "optim/learning_rate": rate}
        if data.validation and (state.step % config.evaluate_every == 0 or state.step == len(plan)):
            values["validation/loss"] = mean_loss(tower, target, data.validation, config)
        events.metrics(step=state.step, values=values)
        events.progress(step=state.step, total_steps=len(plan))
        checkpoints.save_if_due(total_steps=len(plan))

    # 5. The steered policy, measured; the artifact.
    policy = SteeredPolicy(reference, tower, beta=config.beta)
    summary: dict[str, Any] = {"steps": state.step}
    if data.validation:
        summary["loss"] = mean_loss(tower, target, data.validation, config)
    if data.held_out:
        summary |= measure(policy, data.held_out, config)
    about = {"parent": config.model, "run_kind": "ilql", "data_hash": data_hash(run.preferences)}
    with new_folder(run.artifact) as folder:
        save_steered(folder, policy, tokenizer, about=about)
    events.artifact(path=run.artifact.name, model_kind="policy", metrics=summary)
    return summary


def read_episodes(config: ILQLConfig, run: RunDir, tokenizer: PreTrainedTokenizerBase) -> Data:
    """Read and encode the run's data; ValueError when there is nothing to train on."""
    lines = read_preferences(run.preferences)
    encoder = Encoder(
        tokenizer, max_prompt_tokens=config.max_prompt_tokens, max_response_tokens=config.max_response_tokens
    )
    train = episodes(encoder, of_split(lines, "train"))  # refuses an empty one
    if not train:
        raise ValueError("every pair of the train split has weight 0: give those that shall count a weight above 0.")
    validation = [line for line in lines if line.split == "validation"]
    held_out = [line for line in lines if line.split == "test"] or validation
    pairs = [encode_pair(encoder, line) for line in held_out]
    warnings = encoder.warnings()
    if not held_out:
        warnings.append("no pair is held out, so nothing says whether the values learned more than their answers.")
    return Data(train, episodes(encoder, validation), pairs, warnings)


def episodes(encoder: Encoder, lines: Sequence[PreferencePair]) -> list[Episode]:
    """Every answer of the pairs once, with the mean of what all its pairs say of it."""
    rows: dict[tuple[str, str], tuple[PreferencePair, list[tuple[float, float]]]] = {}
    for line in lines:
        for text, reward in ((line.response_a, 2 * line.target - 1), (line.response_b, 1 - 2 * line.target)):
            if line.weight > 0:
                rows.setdefault((line.prompt_id, text), (line, []))[1].append((line.weight, reward))
    found = []
    for (prompt_id, text), (line, labels) in rows.items():
        weight = sum(weight for weight, _ in labels)
        reward = sum(weight * reward for weight, reward in labels) / weight
        found.append(Episode(encoder.encode(line.prompt, text), reward, weight, prompt_id))
    return found


def start_tower(config: ILQLConfig, reference: Embedding, device: torch.device) -> ValueTower:
    """Values that are 0 everywhere, on a copy of the model's trunk; with adapters where asked for."""
    tower = new_tower(config.model, config.revision, num_tokens=num_embeddings_of(reference), device=device)
    if config.lora_rank:
        tower.trunk = add_lora(tower.trunk, rank=config.lora_rank, alpha=config.lora_alpha)
    if config.activation_checkpointing:
        make_again(tower.trunk)
    distributed_over_all(tower, config)
    return tower


def accumulate_gradient(
    tower: ValueTower, target: QHeads, batch: Sequence[Episode], config: ILQLConfig
) -> tuple[float, dict[str, float]]:
    """Add the gradient of the step's mean loss a token to the weights; returns that loss and what to chart.

    A token counts by its answer's weight. Sums are divided by those of the whole step, so the gradient does not depend
    on micro_batch_size.
    """
    divisor = sum(episode.weight * len(episode.row.response) for episode in batch)
    totals = torch.zeros(len(TokenLosses._fields), dtype=torch.float64)
    for piece in _pieces(tower, batch, size=config.micro_batch_size):
        mine = share(piece)
        losses, weight = token_losses(tower, target, [batch[index] for index in mine.rows], config)
        sums = mine.weight * torch.stack([(weight * each).sum() / divisor for each in losses])
        whole_loss(sums, config).backward()
        totals += sums.detach().double().cpu()
    summed(totals)
    return float(whole_loss(totals, config)), {
        "loss/train": float(whole_loss(totals, config)),
        **{f"ilql/{name}": value for name, value in zip(TokenLosses._fields, totals.tolist(), strict=True)},
    }


def whole_loss(sums: Tensor, config: ILQLConfig) -> Tensor:
    """The loss, of the sums of TokenLosses' fields in their order."""
    of = TokenLosses(*sums.unbind())
    return of.td + of.expectile + config.cql_coef * of.conservative


def token_losses(
    tower: ValueTower, target: QHeads, batch: Sequence[Episode], config: ILQLConfig
) -> tuple[TokenLosses, Tensor]:
    """The losses of every response token, and its weight (N,)."""
    device = next(tower.parameters()).device
    responses = given_responses([episode.row for episode in batch], stop_id=-1, device=device)
    tokens, rows = response_tokens(responses), responses.mask.nonzero(as_tuple=True)[0]
    with precision(device, config.dtype):
        features = tower.features(responses)
    first, second = tower.q.of(features, tokens, with_logprobs=True)
    v = tower.v(features).squeeze(-1)
    with torch.no_grad():
        followed = torch.minimum(*(head.value for head in target.of(features, tokens)))
        # Tokens stand row after row: what is behind one is the next, but for the last of a row.
        is_last = torch.cat([rows[1:] != rows[:-1], rows.new_ones(1, dtype=torch.bool)])
        reward = v.new_tensor([episode.reward for episode in batch])[rows]
        wanted = torch.where(is_last, reward, config.gamma * v.roll(-1))
    losses = TokenLosses(
        td=(first.value - wanted) ** 2 + (second.value - wanted) ** 2,
        expectile=expectile_loss(followed - v, expectile=config.expectile),
        conservative=-(first.logprob + second.logprob),
        q=torch.minimum(first.value, second.value).detach(),
        v=v.detach(),
    )
    return losses, v.new_tensor([episode.weight for episode in batch])[rows]


@torch.no_grad()
def mean_loss(tower: ValueTower, target: QHeads, data: Sequence[Episode], config: ILQLConfig) -> float:
    """The loss a token of these answers."""
    total, divisor = 0.0, sum(episode.weight * len(episode.row.response) for episode in data)
    for piece in _pieces(tower, data, size=EVALUATION_ROWS):
        losses, weight = token_losses(tower, target, [data[index] for index in piece], config)
        total += float(whole_loss(torch.stack([(weight * each).sum() for each in losses]), config))
    return total / divisor


@torch.no_grad()
def measure(policy: SteeredPolicy, pairs: Sequence[DPOPair], config: ILQLConfig) -> dict[str, Any]:
    """The report of measures.held_out_report, in which what steering adds to an answer's log-probability stands for a
    reward model's score.
    """
    scored = []
    for piece in pair_pieces(policy.reference, pairs, size=EVALUATION_ROWS // 2):
        chosen = [pairs[index] for index in piece]
        of_a, of_b = gained(policy, [*(pair.a for pair in chosen), *(pair.b for pair in chosen)], config).chunk(2)
        scored += scored_pairs(chosen, of_a - of_b)
    return held_out_report(scored)


def gained(policy: SteeredPolicy, rows: Sequence[Encoded], config: ILQLConfig) -> Tensor:
    """(B,) log π(y|x) − log π_ref(y|x), in nats."""
    responses = given_responses(rows, stop_id=-1, device=next(policy.parameters()).device)
    with precision(responses.tokens.device, config.dtype):
        return as_grid(policy.gained(responses), responses.mask).sum(1)


def _pieces(tower: ValueTower, batch: Sequence[Episode], *, size: int) -> Iterator[list[int]]:
    """The answers as they pass through the tower."""
    return pieces(
        range(len(batch)),
        size=size,
        length=lambda index: _length(batch[index].row),
        device=next(tower.parameters()).device,
        is_packed=packs(tower.trunk),
    )


def _length(row: Encoded) -> int:
    return len(row.prompt) + len(row.response)
