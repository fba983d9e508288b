"""Times calls side by side, and a device's peak: large matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from diamond_engine.runtime import DTYPES, wait_for

LEAST_ROUNDS, MOST_ROUNDS = 3, 200
QUICK_SECONDS = 0.5
CALLS_A_TURN = 3
"""Calls that are quicker than ``QUICK_SECONDS`` are made in a row: a game does not change sides between frames."""
PEAK_SIZES = {"cpu": 2048}
PEAK_SIZE = 8192
"""Rows and columns of the matrices, on any other device."""
PEAK_SECONDS = 0.05
"""A product that takes longer is large enough."""
PEAK_ROUNDS = 5


@dataclass(frozen=True)
class Timing:
    """Durations of calls."""

    seconds: tuple[float, ...]
    """Seconds of each call."""

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)

    def milliseconds(self) -> list[float]:
        """Median, shortest and longest."""
        return [round(1000 * value, 3) for value in (self.median, min(self.seconds), max(self.seconds))]

    def rate(self, count: float = 1) -> float:
        """Items a second by the median, with ``count`` items a call."""
        return round(count / self.median, 4)


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, until the device has finished."""
    wait_for(device)
    started = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - started


def interleaved(
    sides: Mapping[str, Callable[[], object]], device: torch.device, seconds: float, warm: bool = True
) -> dict[str, Timing]:
    """Alternates between the sides for so many seconds, each at least ``LEAST_ROUNDS`` times.

    ``warm``: whether to make one uncounted call of each first.
    """
    warm_up = {name: timed(call, device) if warm else 0.0 for name, call in sides.items()}
    calls = {name: CALLS_A_TURN if warm and first < QUICK_SECONDS else 1 for name, first in warm_up.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    started = time.perf_counter()
    for round_number in range(MOST_ROUNDS):
        if round_number >= LEAST_ROUNDS and time.perf_counter() - started > seconds:
            break
        for name, call in sides.items():
            taken[name].extend(timed(call, device) for _ in range(calls[name]))
    return {name: Timing(tuple(values)) for name, values in taken.items()}


def measured_peaks(device: torch.device, size: int | None = None) -> dict[str, float]:
    """FLOP/s of a large square matrix product, by precision: the best of a few runs.

    The matrices grow up to ``size``, unless a product takes too long: some processors only emulate bfloat16.
    """
    size = size or PEAK_SIZES.get(device.type, PEAK_SIZE)
    return {name: _peak(device, dtype, size) for name, dtype in DTYPES.items()}


def _peak(device: torch.device, dtype: torch.dtype, size: int) -> float:
    best = 0.0
    for side in sorted({max(1, size // 16), max(1, size // 4), size}):
        matrix = torch.randn(side, side, device=device).to(dtype)

        def product(matrix: torch.Tensor = matrix) -> torch.Tensor:
            return matrix @ matrix

        timed(product, device)
        seconds = min(timed(product, device) for _ in range(PEAK_ROUNDS))
        best = max(best, 2 * side**3 / seconds)
        if seconds > PEAK_SECONDS:
            break
    return best
