"""Chooses the fastest precision and kernels on this CPU by timing one convolution of the U-Net, once a machine.

Other programs can only make a run slower, never faster. So the fastest of many runs counts, and both candidates run
in turns and on one thread (two would wait for each other). An answer that contradicts the processor's instructions
needs more runs. One that agrees with them is kept in the cache for the next start.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from diamond_engine.cache import cache_folder
from diamond_engine.files import write_text
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.runtime.cpu.processor import processor_field
from diamond_engine.runtime.cpu.program import ProgramWriter

CHANNELS = 64
SIZE = 32
LEAST_RUNS = 10
MOST_SECONDS = 0.3
TORCH_HANDICAP = 1.5
"""How many times as fast torch's convolution must be to make up for its overhead between layers."""
WORTHWHILE = 1.2
"""How many times as fast bfloat16 must be to be worth its rounding."""
MATRIX_UNITS = ("amx_bf16",)
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "bf16", *MATRIX_UNITS)
"""Their names in /proc/cpuinfo, on x86 and on ARM."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Measures how many times as fast a candidate is as its rival."""

    question: str
    """What is measured, in words."""
    sides: Callable[[], tuple[Run, Run]]
    """Makes two functions: one runs the rival once, one the candidate."""
    threshold: float
    """The smallest ratio at which the candidate is chosen."""
    expected: bool
    """The answer that the processor's instructions suggest. A short measurement is enough to confirm it."""

    def ratio(self, clock: Callable[[], float] = time.perf_counter) -> float:
        """Measures the ratio; above 1 the candidate is faster."""
        sides, least = self.sides(), [float("inf"), float("inf")]
        started, count = clock(), 0
        while count < LEAST_RUNS or not (self.confirms(least[0] / least[1]) or clock() - started > MOST_SECONDS):
            count += 1
            for side, run in enumerate(sides):
                began = clock()
                run()
                least[side] = min(least[side], clock() - began)
        return least[0] / least[1]

    def confirms(self, ratio: float) -> bool:
        """Whether a ratio gives the expected answer."""
        return (ratio >= self.threshold) == self.expected


def bfloat16_speedup() -> float:
    """How many times as fast torch's convolution is in bfloat16 as in float32; below 1 if bfloat16 is emulated.

    The kernels are not measured: the precision of a world must not depend on whether they are built yet.
    """
    return _bfloat16_speedup(cache_folder())


def suits(kernels: Kernels, dtype: torch.dtype) -> bool:
    """Whether the kernels are faster than torch. They are not if torch uses matrix units, which they do not support."""
    if dtype == torch.bfloat16 and not kernels.native_bfloat16:
        return False
    return _kernels_speedup(kernels, dtype, cache_folder()) >= 1 / TORCH_HANDICAP


@cache
def _bfloat16_speedup(folder: Path) -> float:
    return remembered(
        Comparison(
            "bfloat16 against float32",
            lambda: (torch_convolution(torch.float32), torch_convolution(torch.bfloat16)),
            threshold=WORTHWHILE,
            expected=_has_instructions(*BFLOAT16_INSTRUCTIONS),
        ),
        folder,
    )


@cache
def _kernels_speedup(kernels: Kernels, dtype: torch.dtype, folder: Path) -> float:
    return remembered(
        Comparison(
            f"{kernels.name} against torch in {dtype}",
            lambda: (torch_convolution(dtype), kernels_convolution(kernels, dtype)),
            threshold=1 / TORCH_HANDICAP,
            expected=dtype == torch.float32 or not _has_instructions(*MATRIX_UNITS),
        ),
        folder,
    )


def remembered(comparison: Comparison, folder: Path) -> float:
    """The ratio measured before on this processor with this torch; else measures it, and keeps it if expected."""
    facts = {
        "question": comparison.question,
        "processor": processor_field("model name"),
        "torch": torch.__version__,
    }
    file = folder / f"measured-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.json"
    with suppress(Exception):  # a damaged file counts as none
        ratio = float(json.loads(file.read_text())["ratio"])
        if 0 < ratio < math.inf:
            return ratio
    with _one_thread():
        ratio = comparison.ratio()
    if comparison.confirms(ratio):
        with suppress(OSError):  # without a writable cache it is measured at every start
            write_text(file, json.dumps({**facts, "ratio": round(ratio, 3)}) + "\n")
    return ratio


@contextmanager
def _one_thread() -> Generator[None]:
    """Context in which torch's operations and the kernels run on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def torch_convolution(dtype: torch.dtype) -> Run:
    """One convolution by torch."""
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, dtype=dtype)
    conv.weight.data = conv.weight.data.to(memory_format=torch.channels_last)
    x = torch.ones(1, CHANNELS, SIZE, SIZE, dtype=dtype).to(memory_format=torch.channels_last)
    return torch.no_grad()(lambda: conv(x))


def kernels_convolution(kernels: Kernels, dtype: torch.dtype) -> Run:
    """The same convolution by the kernels."""
    writer = ProgramWriter(kernels, dtype)
    x, y = writer.given(CHANNELS, SIZE, SIZE), writer.given(CHANNELS, SIZE, SIZE)
    writer.convolve(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), writer.copy(x), y)
    program = writer.finish()
    images = [torch.ones(1, SIZE, SIZE, CHANNELS, dtype=dtype) for _ in range(2)]
    return lambda: program.run(images)


def _has_instructions(*names: str) -> bool:
    """Whether the processor lists one of these flags; False if it lists none at all."""
    return bool({*processor_field("flags").split(), *processor_field("Features").split()} & {*names})
