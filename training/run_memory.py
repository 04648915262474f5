"""What a run may need of memory, before it starts, and what it took, once it is over."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from training.actions import trainer_config
from training.models import Run
from training.rlhf.memory import estimate

NEAR = 0.2
"""How far what a run takes may be from what was estimated without a word about it, as a share of the estimate."""


@dataclass(frozen=True)
class RunMemory:
    """Bytes of each process of a run."""

    parts: list[tuple[str, int]]
    """What for, and how many at most, by its settings; nothing where its models are not here."""
    taken: int = 0
    """At its peak, beside its libraries; 0 of a run that is not over."""
    estimated: int = 0
    """Before it loaded a model, with the lengths of its own data."""

    @property
    def apart(self) -> int:
        """Per cent of the estimate that it took more (or less, below 0); 0 where the two are near each other."""
        if not self.taken or not self.estimated:
            return 0
        share = self.taken / self.estimated - 1
        return round(100 * share) if abs(share) > NEAR else 0

    @property
    def apart_by(self) -> int:
        return abs(self.apart)


def memory_of(run: Run) -> RunMemory:
    taken = run.memory
    return RunMemory(parts_of(run), taken=taken.get("peak", 0), estimated=taken.get("estimated", 0))


def parts_of(run: Run) -> list[tuple[str, int]]:
    try:
        needed = estimate(trainer_config(run))
    except ValueError:  # a setting of an older version; the run itself says so
        return []
    if needed is None:
        return []
    parts = [
        (_("weights"), needed.weights),
        (_("optimizer"), needed.optimizer),
        (_("gradients"), needed.gradients),
        (_("activations"), needed.activations),
        (_("sampling"), needed.sampling),
        (_("kept by libraries and allocator"), needed.held),
    ]
    return [(_("all, at its peak"), needed.total), *(part for part in parts if part[1])]
