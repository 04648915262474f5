"""Seconds and processor seconds of each step, and the memory of the process. Imports nothing of either side."""

import itertools
import json
import os
import resource
import sys
import time
from array import array
from pathlib import Path

PREFIX = "measured: "


COUNT_FIRST = "PLUMBLINE_COUNT_FIRST"
"""Set in the environment, the first step is measured as well."""


class Clock:
    """Marks where steps end, so that the first step, which warms everything up, is not measured; unless its beginning
    is marked, too, for models whose steps take so long that this does not show.
    """

    def __init__(self) -> None:
        # plain numbers side by side: a list of objects would grow by as much as it looks for
        self._wall, self._cpu, self._memory = array("d"), array("d"), array("d")
        self._phases: dict[str, array[float]] = {}
        self._before = memory_mb()

    def begin(self) -> None:
        """The first step begins here."""
        if os.environ.get(COUNT_FIRST) and not self._wall:
            self.mark()

    def mark(self) -> None:
        self._wall.append(time.perf_counter())
        self._cpu.append(time.process_time())
        self._memory.append(memory_mb())

    def phase(self, name: str, seconds: float) -> None:
        self._phases.setdefault(name, array("d")).append(seconds)

    def report(self, **more: object) -> None:
        """One line on standard output for the process that started this one."""
        line = {
            "seconds": [after - before for before, after in itertools.pairwise(self._wall)],
            "cpu_seconds": [after - before for before, after in itertools.pairwise(self._cpu)],
            "phases": {name: list(seconds) for name, seconds in self._phases.items()},
            "memory_mb": list(self._memory),
            "before_mb": self._before,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **more,
        }
        sys.stdout.write(f"\n{PREFIX}{json.dumps(line)}\n")


def memory_mb() -> float:
    """Resident memory now. Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
