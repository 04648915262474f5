"""A trained reward model against pairs that it has not learned from; and what its scores are then read by: mean,
standard deviation, temperature.

What the numbers are stands in measures.py; this file asks the model for its scores.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from training.rlhf.beside import side_by_side
from training.rlhf.data import pad_rows
from training.rlhf.measures import ScoredPair, accuracy, calibrated, held_out_report
from training.rlhf.model import ScalarModel
from training.rlhf.packing import packs
from training.rlhf.packing import pieces as packed_pieces
from training.rlhf.pairs import EncodedPair, pieces, responses_of

EVALUATION_ROWS = 64
SMALLEST_STD = 1e-6


class HeadScores(NamedTuple):
    """Raw scores of P pairs by K heads."""

    a: Tensor  # (P, K)
    b: Tensor  # (P, K)

    @property
    def difference(self) -> Tensor:
        """(P,) how far the mean of the heads puts a before b."""
        return (self.a - self.b).mean(1)


class Measured(NamedTuple):
    """Held-out pairs with their scores, and their report."""

    scored: list[ScoredPair]
    report: dict[str, Any]


def score_pairs(model: ScalarModel, pairs: Sequence[EncodedPair]) -> HeadScores:
    """Every head's scores of both responses of every pair; equal responses pass through the model once."""
    rows = responses_of(pairs)
    place = {tokens: index for index, tokens in enumerate(rows)}
    scores = score_rows(model, rows)
    return HeadScores(
        scores[[place[pair.tokens_a] for pair in pairs]], scores[[place[pair.tokens_b] for pair in pairs]]
    )


def score_rows(model: ScalarModel, rows: Sequence[Sequence[int]]) -> Tensor:
    """(B, K) raw scores of prompts with their responses."""
    device = next(model.parameters()).device
    return model.head_scores(*pad_rows(rows, side="right").to(device))


def scored_pairs(pairs: Sequence[EncodedPair], differences: Tensor) -> list[ScoredPair]:
    """differences: (P,) of raw scores."""
    return [
        ScoredPair(difference, pair.target, pair.strength, pair.length_a, pair.length_b, pair.prompt_id, pair.votes)
        for pair, difference in zip(pairs, differences.tolist(), strict=True)
    ]


def measure(model: ScalarModel, pairs: Sequence[EncodedPair], *, context: torch.autocast) -> Measured:
    """The report of measures.held_out_report on these pairs; of several heads also how far they disagree."""
    scored: list[ScoredPair] = []
    of_heads: list[Tensor] = []
    for chosen, scores in score_in_passes(model, pairs, context=context):
        scored += scored_pairs(chosen, scores.difference)
        of_heads.append(scores.a - scores.b)
    report = held_out_report(scored)
    if model.num_heads > 1:
        report |= head_report(scored, torch.cat(of_heads) / model.reward_std)
    return Measured(scored, report)


def head_report(scored: Sequence[ScoredPair], differences: Tensor) -> dict[str, Any]:
    """How far the heads disagree, in units of the normalised score, and how right they are where they are all of one
    mind and where they are not. differences: (P, K) of normalised scores.
    """
    unanimous = (differences > 0).all(1) | (differences < 0).all(1)
    groups: dict[str, list[ScoredPair]] = {"unanimous": [], "divided": []}
    for pair, is_unanimous in zip(scored, unanimous.tolist(), strict=True):
        groups["unanimous" if is_unanimous else "divided"].append(pair)
    report: dict[str, Any] = {
        "num_heads": differences.shape[1],
        "head_std": float(differences.std(1, correction=0).mean()),
    }
    for name, members in groups.items():
        share = accuracy(members)
        report |= {f"{name}_pairs": len(members), f"{name}_accuracy": share.value if share else None}
    return report


def normalise(model: ScalarModel, references: Sequence[Sequence[int]], *, context: torch.autocast) -> list[str]:
    """Set the mean and the standard deviation by which scores are read from now on; returns what is doubtful.

    Heads learn on one scale but each from a zero of its own: their means are taken out one by one, and the standard
    deviation, of the mean of the heads, is shared.
    """

    def scores_of(piece: list[int]) -> Tensor:
        return score_rows(model, [references[index] for index in piece]).double()

    with torch.no_grad(), context, side_by_side(model) as workers:
        cut = packed_pieces(
            range(len(references)),
            size=EVALUATION_ROWS,
            length=lambda index: len(references[index]),
            device=model.head.weight.device,
            is_packed=packs(model.trunk),
            at_once=workers.count,
        )
        values = torch.cat(workers.read(scores_of, list(cut)))
    model.reward_mean = values.mean().item()
    model.head_offsets = (values.mean(0) - model.reward_mean).tolist()
    model.reward_std = values.mean(1).std(correction=0).item()
    if model.reward_std >= SMALLEST_STD:
        return []
    model.reward_std = 1.0
    return ["the reward model gives every reference response the same score, so scores are centred but not scaled."]


def calibrate(
    model: ScalarModel, validation: Sequence[EncodedPair], held_out: Measured, *, context: torch.autocast
) -> dict[str, Any]:
    """Set the temperature by the validation pairs, or by the held-out ones where there are no others; returns what it
    does on the held-out ones.
    """
    fitted_on = measure(model, validation, context=context).scored if validation else held_out.scored
    found = calibrated(fitted_on, held_out.scored)
    model.temperature = found.temperature
    return found.report


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


def score_in_passes(
    model: ScalarModel, pairs: Sequence[EncodedPair], *, context: torch.autocast
) -> list[tuple[list[EncodedPair], HeadScores]]:
    """The pairs pass by pass, with their scores."""

    def scored(piece: list[int]) -> tuple[list[EncodedPair], HeadScores]:
        chosen = [pairs[index] for index in piece]
        return chosen, score_pairs(model, chosen)

    with torch.no_grad(), context, side_by_side(model) as workers:
        return workers.read(scored, list(pieces(pairs, size=EVALUATION_ROWS, model=model, at_once=workers.count)))
