"""Which precision and which kernels are the fastest on this CPU: a convolution of the U-Net, timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from diamond_engine.runtime.kernels import Kernels
from diamond_engine.runtime.program import ProgramWriter

CHANNELS = 64
SIZE = 32
RUNS = 7
TORCH_HANDICAP = 1.5
"""How much faster torch's convolution must be to make up for what it costs to get from one to the next."""
WORTHWHILE = 1.2
"""How much faster bfloat16 must be to be worth its rounding."""


def torch_seconds(dtype: torch.dtype) -> float:
    """Time of one convolution by torch."""
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, dtype=dtype)
    conv.weight.data = conv.weight.data.to(memory_format=torch.channels_last)
    x = torch.ones(1, CHANNELS, SIZE, SIZE, dtype=dtype).to(memory_format=torch.channels_last)
    return _seconds(lambda: conv(x))


def kernels_seconds(kernels: Kernels, dtype: torch.dtype) -> float:
    """Time of the same convolution by the kernels."""
    writer = ProgramWriter(kernels, dtype)
    x, y = writer.given(CHANNELS, SIZE, SIZE), writer.given(CHANNELS, SIZE, SIZE)
    writer.convolve(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), writer.copy(x), y)
    program = writer.finish()
    images = [torch.ones(1, SIZE, SIZE, CHANNELS, dtype=dtype) for _ in range(2)]
    return _seconds(lambda: program.run(images))


@cache
def suits(kernels: Kernels, dtype: torch.dtype) -> bool:
    """Whether the kernels serve better than torch: not where torch uses matrix units that they do not know."""
    if dtype == torch.bfloat16 and not kernels.native_bfloat16:
        return False
    return kernels_seconds(kernels, dtype) < TORCH_HANDICAP * torch_seconds(dtype)


@cache
def bfloat16_speedup(kernels: Kernels | None) -> float:
    """How many times as fast as float32 a convolution is in bfloat16, each by what runs it; some 10 ms, once a process.

    Below 1 where the processor emulates it.
    """

    def seconds(dtype: torch.dtype) -> float:
        if kernels is not None and suits(kernels, dtype):
            return kernels_seconds(kernels, dtype)
        return torch_seconds(dtype)

    return seconds(torch.float32) / seconds(torch.bfloat16)


@torch.no_grad()
def _seconds(run: Callable[[], object]) -> float:
    run()
    seconds: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
