"""What two versions say of the answers of both: which are still unread, the run that reads them, what it found.

A pair of versions reads an answer once, in whatever order the two are looked at: Likelihood keeps the older one as a.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from django.db import transaction
from django.utils.translation import gettext as _

from annotation.models import Response, User
from training import actions, answers, diffs
from training.models import Likelihood, ModelVersion, Run
from training.rlhf.rundir import RunDir, write_jsonl

KEPT_AT_ONCE = 1000
LEVELS = (0.1, 0.5, 1.5, 3.0)
"""Nats from which a token's change is shown one level stronger."""
NUM_NAMED = 6
"""Tokens that the text alternative names in each direction."""


def runs_of(a: ModelVersion, b: ModelVersion) -> Any:
    """The runs in which the two read answers together."""
    return Run.objects.filter(kind=Run.Kind.COMPARE, model__in=[a, b], reference__in=[a, b])


def settings(a: ModelVersion, b: ModelVersion) -> dict[str, Any]:
    """The lengths of the run that wrote the answers; a text may take more tokens than it was written in."""
    taken = answers.settings(a, b)
    longest = {"max_response_tokens": 2 * taken["max_response_tokens"]} if "max_response_tokens" in taken else {}
    return {key: taken[key] for key in ("max_prompt_tokens",) if key in taken} | longest


@transaction.atomic
def start_reading(a: ModelVersion, b: ModelVersion, *, by: User) -> Run:
    """Queue a run in which both read the answers they have not read; ValueError with a sentence when none is left."""
    # In one order, so that of two people who ask at once the second finds the first one's run.
    list(ModelVersion.objects.select_for_update().filter(pk__in=[a.pk, b.pk]).order_by("pk"))
    if runs_of(a, b).unfinished().exists() or not diffs.diff_versions(a, b, with_texts=False).num_unread:
        raise ValueError(_("Both versions have read all answers, or a run is at it: nothing was started."))
    return actions.start_run(b.project, kind=Run.Kind.COMPARE, config=settings(a, b), by=by, model=b, reference=a)


def fill_run_folder(run: Run) -> None:
    """The unread answers of both, as responses.jsonl. A run that is resumed goes on with those it began with."""
    assert run.model and run.reference, "a compare run has two models"
    folder = RunDir(run.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    if folder.responses.exists():
        return
    pairs = diffs.diff_versions(run.reference, run.model).pairs
    lines = [
        {
            "id": str(answer.response_id),
            "prompt_id": str(pair.prompt_id),
            "prompt": pair.messages,
            "text": answer.text,
            "ended": answer.has_ended,
        }
        for pair in pairs
        for answer in (pair.a, pair.b)
        if answer.likelihood is None
    ]
    if not lines:
        raise ValueError(_("Both versions have read all their answers: there is nothing to compute."))
    write_jsonl(folder.responses, lines)


def keep(run: Run) -> None:
    """What a compare run found becomes rows; a second call adds nothing. Answers that are gone by now are left out."""
    assert run.model and run.reference, "a compare run has two models"
    with RunDir(run.folder).likelihoods.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    there = set(Response.objects.filter(prompt__project=run.project).values_list("pk", flat=True))
    rows = [_row(run, line) for line in lines if int(line["id"]) in there]
    Likelihood.objects.bulk_create(rows, batch_size=KEPT_AT_ONCE, ignore_conflicts=True)


def _row(run: Run, line: dict[str, Any]) -> Likelihood:
    """The trainer calls the reference a; here the older version is."""
    assert run.model and run.reference
    tokens = [[text.replace("\0", "\ufffd"), *two] for text, *two in line["tokens"]]
    of_a = (run.reference, line["logprob_a"], line["kl_a"])
    of_b = (run.model, line["logprob_b"], line["kl_b"])
    if run.model.pk < run.reference.pk:
        of_a, of_b = of_b, of_a
        tokens = [[text, second, first] for text, first, second in tokens]
    return Likelihood(
        run=run, response_id=int(line["id"]), tokens=tokens,
        a=of_a[0], logprob_a=of_a[1], kl_a=of_a[2], b=of_b[0], logprob_b=of_b[1], kl_b=of_b[2],
    )  # fmt: skip


@dataclass(frozen=True)
class Token:
    """One token of an answer and by how much b finds it likelier than a does (nats); None where nobody read it."""

    text: str
    change: float | None

    @property
    def level(self) -> int:
        """0 (no change to speak of) to len(LEVELS)."""
        return sum(abs(self.change or 0.0) >= bound for bound in LEVELS)

    @property
    def direction(self) -> Literal["likelier", "rarer"]:
        return "likelier" if (self.change or 0.0) > 0 else "rarer"

    @property
    def is_end(self) -> bool:
        return self.text == ""

    @property
    def named(self) -> str:
        """Blanks made visible, for a list in which the token stands alone."""
        return self.text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")


@dataclass(frozen=True)
class HeatMap:
    """The tokens of one answer."""

    tokens: list[Token]

    @cached_property
    def _changed(self) -> list[Token]:
        found = [token for token in self.tokens if token.level]
        return sorted(found, key=lambda token: token.change or 0.0)

    @property
    def likelier(self) -> list[Token]:
        """Those that gained most, the first the most."""
        return [token for token in reversed(self._changed) if token.direction == "likelier"][:NUM_NAMED]

    @property
    def rarer(self) -> list[Token]:
        return [token for token in self._changed if token.direction == "rarer"][:NUM_NAMED]


def heat_maps(a: ModelVersion, b: ModelVersion, pairs: Iterable[diffs.PairDiff]) -> dict[int, HeatMap]:
    """By response, of these pairs only: tokens are many."""
    ids = [answer.response_id for pair in pairs for answer in (pair.a, pair.b)]
    rows = Likelihood.objects.of_pair(a, b).filter(response__in=ids).values_list("response", "tokens")
    sign = 1 if a.pk < b.pk else -1
    return {pk: HeatMap([_token(token, sign) for token in tokens]) for pk, tokens in rows}


def _token(token: Sequence[Any], sign: int) -> Token:
    text, logprob_a, logprob_b = token
    return Token(text, None if logprob_a is None else sign * (logprob_b - logprob_a))


@dataclass(frozen=True)
class WeightChange:
    layer: str
    share: float | None
    """Norm of the difference over the norm of the reference's weights."""
    num_weights: int


@dataclass(frozen=True)
class WeightChanges:
    """How far the weights of two versions lie apart, by layer, as the newest run measured it."""

    reference: ModelVersion
    layers: list[WeightChange]

    @property
    def widest(self) -> float:
        return max((layer.share or 0.0 for layer in self.layers), default=0.0) or 1.0


def weight_changes(a: ModelVersion, b: ModelVersion) -> WeightChanges | None:
    run = runs_of(a, b).filter(status=Run.Status.SUCCEEDED).order_by("-id").first()
    if run is None or not run.summary.get("layers"):
        return None
    layers = [
        WeightChange(layer["layer"], layer["relative_change"], layer["num_weights"]) for layer in run.summary["layers"]
    ]
    return WeightChanges(a if run.reference_id == a.pk else b, layers)
