"""The kernels against plain C++ of the same interface (plain_kernels.cpp), on every instruction set that this CPU has.

In float32 both sum the same products in another order: they agree to 5e-5 of the largest value. In bfloat16 results are
rounded to 8 bits: to a few times 2^-8 of it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diamond_engine.runtime.cpu import building
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.runtime.cpu.processor import processor_field
from diamond_engine.runtime.cpu.program import ProgramWriter, Room

PLAIN = Path(__file__).with_name("plain_kernels.cpp")
FLAGS = processor_field("flags").split()
AVX2, AVX512 = "x86-64-v3", "sapphirerapids"
TOLERANCE = {torch.float32: 5e-5, torch.bfloat16: 2e-2}
Write = Callable[[ProgramWriter, Room], Room]
"""Adds steps to a program that go out from an image of 64 channels, and returns the room they end in."""


@pytest.fixture(scope="session")
def compiler(kernels: Kernels) -> tuple[str, ...]:
    """The one that kernels are built by here."""
    return building.find_compiler(os.environ.get("CXX", ""))


@pytest.fixture(scope="session")
def plain(compiler: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """The plain ones: a second of compiling."""
    library = tmp_path_factory.mktemp("plain") / "plain.so"
    subprocess.run([*compiler, "-std=gnu++17", "-O1", "-shared", "-fPIC", str(PLAIN), "-o", str(library)], check=True)
    return Kernels(library)


@pytest.fixture(scope="session")
def avx2_beside_avx512(compiler: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """Those of a processor with AVX2 alone; without AVX-512 the kernels of this machine are these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "FLAGS", ("-std=gnu++17", "-O2", f"-march={AVX2}", "-fPIC", "-fopenmp"))
        return Kernels(building.build(compiler, tmp_path_factory.mktemp("avx2")))


OLDER = [pytest.param("AVX2", marks=pytest.mark.slow)] if "avx512f" in FLAGS else []
"""Kernels that are built for these tests alone."""


@pytest.fixture(params=["this CPU", *OLDER])
def fast(request: pytest.FixtureRequest, kernels: Kernels) -> Kernels:
    return kernels if request.param == "this CPU" else request.getfixturevalue("avx2_beside_avx512")


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.5


def conv(channels_in: int, channels_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2)


def convolved(writer: ProgramWriter, x: Room) -> Room:
    """3×3 in pairs after a norm with the modulation, plus its input, then 1×1 to channels that fill no block."""
    y = writer.room(64, x.height, x.width)
    writer.convolve(conv(64, 64, 3), writer.modulate(x, 8), y, add=x)
    out = writer.room(48, x.height, x.width)
    writer.convolve(conv(64, 40, 1), y, out)
    return out


def resized(writer: ProgramWriter, x: Room) -> Room:
    """Halved by a convolution, doubled and convolved, pooled."""
    half = writer.room(32, x.height // 2, x.width // 2)
    writer.convolve(conv(64, 32, 3, stride=2), writer.copy(x), half)
    whole = writer.room(32, half.height * 2, half.width * 2)
    writer.convolve(conv(32, 32, 3), writer.copy(half, factor=2), whole)
    out = writer.room(32, half.height, half.width)
    writer.pool(whole, out)
    return out


def attended(writer: ProgramWriter, x: Room) -> Room:
    """A fixed norm, queries, keys and values, into some of the channels of a cleared room."""
    norm = nn.GroupNorm(2, 64)
    nn.init.normal_(norm.weight)
    qkv = writer.room(96, x.height, x.width)
    writer.convolve(conv(64, 96, 1), writer.normalise(x, norm, silu=False, border=0), qkv)
    out = writer.room(64, x.height, x.width)
    writer.clear(out)
    writer.attend(qkv, out.columns(32, 32))
    return out


def recurred(writer: ProgramWriter, x: Room) -> Room:
    """An LSTM's step for every pixel of a row: gates, the cell's state, the hidden one."""
    gates, cell, hidden = (writer.room(size, 1, x.width, as_float=size == 256) for size in (256, 64, 64))
    row = x.within(1, x.width)
    writer.convolve(conv(64, 256, 1), row, gates, as_float=True)
    writer.move(row, cell)
    writer.recur(gates, cell, hidden)
    return hidden


def result(kernels: Kernels, dtype: torch.dtype, write: Write, size: tuple[int, int]) -> Tensor:
    """What a program makes of two planar images of 64 channels, as float32."""
    writer = ProgramWriter(kernels, dtype)
    given = writer.given(64, *size)
    loaded = writer.room(64, *size)
    writer.convolve(conv(64, 64, 3), writer.load(given), loaded)
    last = write(writer, loaded)
    out = writer.given(last.channels, last.height, last.width)
    writer.move(last, out)
    into = torch.full((2, last.height, last.width, last.channels), torch.nan, dtype=dtype)
    writer.finish().run([noise(2, 64, *size), into], noise(2, 200, seed=2).to(dtype))
    return into.float()


@pytest.mark.parametrize("size", [(8, 8), (6, 10)], ids=str)
@pytest.mark.parametrize("write", [convolved, resized, attended, recurred])
def test_programs_make_what_they_say(
    plain: Kernels, fast: Kernels, dtype: torch.dtype, write: Write, size: tuple[int, int]
) -> None:
    expected = result(plain, dtype, write, size)
    assert expected.isfinite().all()
    assert expected.std() > 0.01
    tolerance = TOLERANCE[dtype] * float(expected.abs().max())
    torch.testing.assert_close(result(fast, dtype, write, size), expected, atol=tolerance, rtol=0)


def test_norms_that_learn(plain: Kernels, fast: Kernels, dtype: torch.dtype) -> None:
    x, gradient = (noise(2, 64, 5, 7, seed=seed).to(dtype, memory_format=torch.channels_last) for seed in (3, 4))
    modulation = noise(2, 128, seed=5)
    for one, other in zip(
        (fast.modulate(x, modulation), *fast.modulate_backward(x, modulation, gradient)),
        (plain.modulate(x, modulation), *plain.modulate_backward(x, modulation, gradient)),
        strict=True,
    ):
        tolerance = 5 * TOLERANCE[dtype] * float(other.abs().max())
        torch.testing.assert_close(one.float(), other.float(), atol=tolerance, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("processor", [AVX2, AVX512] if "avx2" in FLAGS else [])
def test_every_instruction_set_compiles(compiler: tuple[str, ...], processor: str) -> None:
    """Also the lines for AVX-512 with bfloat16, where this CPU lacks them and the tests above do not build them."""
    flags = [flag for flag in building.FLAGS if not flag.startswith("-march")]
    command = [*compiler, *flags, f"-march={processor}", "-fsyntax-only", str(building.SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
