"""Seconds and processor seconds of each step, and the memory of the process. Imports nothing of either side."""

import json
import resource
import sys
import time
from pathlib import Path

PREFIX = "measured: "


class Clock:
    """Marks where steps end; the first one, which warms everything up, is left out by whoever reads the marks."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []
        self.phases: dict[str, list[float]] = {}
        self._memory: list[float] = []
        self._before = memory_mb()

    def mark(self) -> None:
        self.marks.append((time.perf_counter(), time.process_time()))
        self._memory.append(memory_mb())

    def phase(self, name: str, seconds: float) -> None:
        self.phases.setdefault(name, []).append(seconds)

    def report(self, **more: object) -> None:
        """One line on standard output for the process that started this one."""
        steps = list(zip(self.marks, self.marks[1:], strict=False))
        line = {
            "seconds": [after[0] - before[0] for before, after in steps],
            "cpu_seconds": [after[1] - before[1] for before, after in steps],
            "phases": self.phases,
            "memory_mb": self._memory,
            "before_mb": self._before,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **more,
        }
        sys.stdout.write(f"\n{PREFIX}{json.dumps(line)}\n")


def memory_mb() -> float:
    """Resident memory now. Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
