"""What the processes cost: seconds of CPU by process tree, and how busy the machine was with anything else. Linux."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> set[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))):
            children.setdefault(int(stat[1]), []).append(int(folder.name))
    found, waiting = set(), [root]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """Of the tree, with what its ended processes had used."""
    stats = [stat for pid in tree(root) if (stat := _stat(pid))]
    return sum(int(tick) for stat in stats for tick in stat[11:15]) / TICKS


def busy_seconds() -> float:
    """Of all cores together since the machine started: everything but idling and waiting for the disk."""
    user, nice, system, _idle, _wait, irq, soft_irq, *_rest = (
        int(tick) for tick in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + soft_irq) / TICKS


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


@dataclass(frozen=True)
class Usage:
    """Seconds of CPU within a span of time."""

    web: float
    database: float
    generator: float
    others: float
    """What the machine did besides."""
    seconds: float

    @property
    def others_cores(self) -> float:
        return max(0.0, self.others) / self.seconds
