"""What a file says, line by line, before anything of it is in the database."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Iterator, Sequence

from annotation.intake.annotators import AnnotatorName
from annotation.intake.content import NewPrompt, NewResponse
from annotation.intake.golds import GoldSaid
from annotation.intake.rankings import FEWEST, MOST
from annotation.models import Judgment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """A judgment in a file. Responses are named by their place in the entry's list."""

    annotator: str = ""
    """Empty: the import itself."""
    is_simulated: bool = False
    preferred: int | None = None
    strength: int | None = None
    both_bad: bool = False
    ratings: dict[str, int] = dataclasses.field(default_factory=dict)
    """Criterion key to value."""
    scales: dict[str, int] = dataclasses.field(default_factory=dict)
    """Criterion key to the last step of the file's scale, where it tells: the project's must have as many."""
    ranks: list[int] = dataclasses.field(default_factory=list)
    """Of a ranking: the place of each response, 1 the best."""
    flags: list[str] = dataclasses.field(default_factory=list)
    rationale: str = ""
    reasons: list[str] = dataclasses.field(default_factory=list)
    corrections: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    shown_first: int | None = None
    shown: list[int] | None = None
    """Of a ranking: the responses in the order of the page."""
    is_repeat: bool = False
    """Said of a task that the annotator had judged before."""
    active_seconds: float | None = None
    judged_at: datetime.datetime | None = None

    @property
    def name(self) -> AnnotatorName:
        return self.annotator, self.is_simulated


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One line: a prompt, its responses, and what somebody said of them."""

    prompt: NewPrompt
    responses: list[NewResponse]
    said: Said | None = None
    gold: GoldSaid | None = None
    """The right answer, which makes it a gold task."""


def ranked(
    prompt: NewPrompt, responses: Sequence[NewResponse], ranks: Sequence[int], *, said: Said | None = None
) -> Iterator[Entry]:
    """What a ranking of any length says: a comparison of two, a ranking of 3 to 6; of more, every pair compared.

    ranks: a place each, the lower the better; equal places are ties. said: who said it, and why.
    """
    said = said or Said()
    if FEWEST <= len(responses) <= MOST:
        places = {rank: place for place, rank in enumerate(sorted(set(ranks)), start=1)}
        told = dataclasses.replace(said, ranks=[places[rank] for rank in ranks])
        yield Entry(prompt=prompt, responses=list(responses), said=told)
        return
    for (one, rank), (other, other_rank) in itertools.combinations(zip(responses, ranks, strict=True), 2):
        preferred = None if rank == other_rank else int(rank > other_rank)
        told = dataclasses.replace(
            said, preferred=preferred, strength=0 if preferred is None else Judgment.PLAIN_STRENGTH
        )
        yield Entry(prompt=prompt, responses=[one, other], said=told)
