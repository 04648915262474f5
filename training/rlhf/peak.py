"""How much memory this process takes at most, beside what it has taken when the watch begins.

    peak = Peak("cpu")                       once libraries are loaded, before a model is
    peak.num_bytes()                         so far; None where the kernel does not tell (not Linux)

On a CPU resident memory, as other programs show it; on a GPU the tensors of this process. Kept apart from any loop, so
that the run's own process can say it of every kind.
"""

import contextlib
from pathlib import Path

import torch


class Peak:
    """The watch of one device, "cpu" or "cuda"."""

    def __init__(self, device: str) -> None:
        self._device = device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return
        torch.ones(8, 8) @ torch.ones(8, 8)  # what the library takes for itself
        with contextlib.suppress(OSError):  # the peak begins anew; where it may not, it is at least that of the start
            Path("/proc/self/clear_refs").write_text("5")
        self._before = _of_process("VmRSS")

    def num_bytes(self) -> int | None:
        if self._device == "cuda":
            return int(torch.cuda.max_memory_allocated())
        highest = _of_process("VmHWM")
        return None if highest is None or self._before is None else highest - self._before


def _of_process(name: str) -> int | None:
    """A line of /proc/self/status in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
