"""Runs on one machine: one process in each slot, which is a GPU or a share of the CPU."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from diamond_engine.errors import UsageError
from diamond_engine.runtime.devices import gpus, only_gpu
from training.suite.jobs import Job, Order, Outcome

POLL_SECONDS = 0.2
THREADS = "OMP_NUM_THREADS"


class Place(Protocol):
    """A place that makes several runs at once."""

    @property
    def slots(self) -> int:
        """Number of runs at once."""
        ...

    def describe(self) -> str:
        """Its description for a person."""
        ...

    def submit(self, order: Order) -> None:
        """Starts a run as soon as a slot is free."""
        ...

    def ended(self) -> list[tuple[Order, Outcome]]:
        """Waits briefly; returns the runs that have ended since the last call."""
        ...

    @property
    def busy(self) -> bool:
        """Whether there are runs that have not ended."""
        ...

    def stop(self) -> None:
        """Asks all runs to save and end, and starts no more."""
        ...

    def close(self) -> None:
        """Kills all remaining runs."""
        ...


@dataclass(frozen=True)
class Slot:
    """A slot for one run."""

    name: str
    """Such as ``GPU 0``."""
    environment: Mapping[str, str]
    """Environment of its process."""


def slots_of_this_machine(device: str, gpu_names: str | None, per_device: int) -> list[Slot]:
    """``per_device`` slots on each GPU, or on the CPU without GPUs or if ``device`` says so.

    ``gpu_names``: only these GPUs, such as ``0,1``. Raises ``UsageError`` for a missing one.
    """
    there = gpus() if device.partition(":")[0] != "cpu" else []
    chosen = there if gpu_names is None else [name.strip() for name in gpu_names.split(",")]
    missing = [name for name in chosen if name not in there]
    if missing:
        found = f"there are {', '.join(there)}" if there else "there is none to use"
        raise UsageError(f"no GPU {missing[0]!r} for --gpus: {found}")
    if chosen:
        return [Slot(f"GPU {name}", only_gpu(name)) for name in chosen for _ in range(per_device)]
    threads = os.environ.get(THREADS, str(max(1, (os.cpu_count() or 1) // per_device)))
    return [Slot("CPU", {THREADS: threads})] * per_device


class Machine:
    """A ``Place``: this machine."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = len(slots)
        self._free = list(slots)
        self._waiting: deque[Order] = deque()
        self._jobs: dict[Job, Slot] = {}
        self._counts = Counter(slot.name for slot in slots)

    def describe(self) -> str:
        """See ``Place.describe``."""
        return ", ".join(f"{count} x {name}" for name, count in self._counts.items())

    def submit(self, order: Order) -> None:
        """See ``Place.submit``."""
        self._waiting.append(order)

    def ended(self) -> list[tuple[Order, Outcome]]:
        """See ``Place.ended``."""
        while self._waiting and self._free:
            slot = self._free.pop(0)
            self._jobs[Job(self._waiting.popleft(), slot.environment)] = slot
        time.sleep(POLL_SECONDS)
        outcomes = [(job, job.poll()) for job in self._jobs]
        over = [(job, outcome) for job, outcome in outcomes if outcome is not None]
        self._free += [self._jobs.pop(job) for job, _ in over]
        return [(job.order, outcome) for job, outcome in over]

    @property
    def busy(self) -> bool:
        """See ``Place.busy``."""
        return bool(self._waiting or self._jobs)

    def stop(self) -> None:
        """See ``Place.stop``."""
        self._waiting.clear()
        for job in self._jobs:
            job.stop()

    def close(self) -> None:
        """See ``Place.close``."""
        for job in self._jobs:
            job.kill()
