"""Processor time that other programs take."""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
IDLE = slice(3, 5)
COUNTED = slice(0, 8)
"""Of the columns of ``/proc/stat``: user, nice, system, idle, waiting for a disk, interrupts (2), stolen."""


def own_cores() -> set[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


class OtherPrograms:
    """Measures how much of this process's cores other programs take, from its creation on."""

    def __init__(self, stat: Path = STAT) -> None:
        self._stat = stat
        self._began = time.monotonic()
        self._before = self._seconds()

    def cores(self) -> float | None:
        """Average number of cores they take; None if the system does not tell (not Linux)."""
        now = self._seconds()
        if now is None or self._before is None:
            return None
        return max(0.0, (now - self._before) / (time.monotonic() - self._began))

    def _seconds(self) -> float | None:
        """Seconds that all other programs have run on these cores."""
        if not self._stat.is_file():
            return None
        ticks = 0
        for line in self._stat.read_text(encoding="ascii").splitlines():
            name, *columns = line.split()
            if name in {f"cpu{core}" for core in own_cores()}:
                counts = [int(column) for column in columns]
                ticks += sum(counts[COUNTED]) - sum(counts[IDLE])
        return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()
