"""Every kind of step that the kernels know, against torch.

In float32 both sum the same products in another order: they agree to 1e-5 of the largest value. In bfloat16 every
result is rounded to 8 bits, so they agree to a few times 2^-8 of it.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.runtime.cpu.program import Program, ProgramWriter, Room, filled, for_pairs, pack_weights

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
SIZES = pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 1), (30, 56)], ids=str)
BATCHES = pytest.mark.parametrize("batch", [1, 2, 3, 5])


def images(batch: int, channels: int, size: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Seeded noise ``(B, C, H, W)``, away from mean 0 and variance 1, on the grid of ``dtype``."""
    generator = torch.Generator().manual_seed(batch + channels)
    return torch.randn((batch, channels, *size), generator=generator).mul(2).add(0.5).to(dtype)


def pixels(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` → ``(B, H, W, C)``, as programs have them."""
    return x.permute(0, 2, 3, 1).contiguous()


def empty(batch: int, room: Room, dtype: torch.dtype) -> Tensor:
    """What a program writes into, full of what must not stay."""
    return torch.full((batch, room.height, room.width, room.channels), torch.nan, dtype=dtype)


def planar(x: Tensor, channels: int | None = None) -> Tensor:
    """``(B, H, W, C)`` → float32 ``(B, C, H, W)``."""
    return x[..., :channels].permute(0, 3, 1, 2).float()


def assert_agree(actual: Tensor, expected: Tensor, dtype: torch.dtype, slack: float = 1.0) -> None:
    scale = float(expected.abs().max())
    torch.testing.assert_close(actual, expected.float(), atol=slack * TOLERANCE[dtype] * scale, rtol=0)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def writer(request: pytest.FixtureRequest, kernels: Kernels) -> ProgramWriter:
    return ProgramWriter(kernels, request.param)


def rounded(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """With seeded weights on the grid of ``dtype``, in float32, so that only results are rounded differently."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.to(dtype).float().requires_grad_(False)


class TestConvolutions:
    @SIZES
    @BATCHES
    def test_padded(self, writer: ProgramWriter, threads: int, size: tuple[int, int], batch: int) -> None:
        conv = rounded(nn.Conv2d(32, 64, 3, padding=1), writer.dtype)
        self.check(writer, conv, images(batch, 32, size, writer.dtype))

    @pytest.mark.parametrize(
        ("channels_in", "channels_out"), [(2, 16), (6, 3), (14, 32), (32, 48), (64, 112), (96, 64), (32, 20)]
    )
    def test_channels_that_fill_no_block(self, writer: ProgramWriter, channels_in: int, channels_out: int) -> None:
        conv = rounded(nn.Conv2d(channels_in, channels_out, 3, padding=1), writer.dtype)
        self.check(writer, conv, images(2, channels_in, (6, 9), writer.dtype))

    @pytest.mark.parametrize("size", [(8, 8), (2, 2), (6, 10)], ids=str)
    def test_halving(self, writer: ProgramWriter, threads: int, size: tuple[int, int]) -> None:
        conv = rounded(nn.Conv2d(32, 32, 3, stride=2, padding=1), writer.dtype)
        self.check(writer, conv, images(2, 32, size, writer.dtype))

    @pytest.mark.parametrize("size", [(3, 130), (4, 64), (2, 2), (9, 31)], ids=str)
    @pytest.mark.parametrize("channels_out", [3, 80], ids=str)
    def test_after_a_norm(self, writer: ProgramWriter, threads: int, size: tuple[int, int], channels_out: int) -> None:
        """In pairs of pixels where there are many; more pairs than are summed at once."""
        norm, conv = (
            rounded(module, writer.dtype) for module in (nn.GroupNorm(1, 32), nn.Conv2d(32, channels_out, 3, padding=1))
        )
        assert isinstance(norm, nn.GroupNorm)
        assert isinstance(conv, nn.Conv2d)
        x = images(2, 32, size, writer.dtype)
        given, added, out = (writer.given(channels, *size) for channels in (32, *[filled(channels_out)] * 2))
        staged = writer.normalise(given, norm, silu=True, border=1)
        assert staged.paired == (size != (2, 2))
        writer.convolve(conv, staged, out, add=added)
        plus, result = images(2, filled(channels_out), size, writer.dtype), empty(2, out, writer.dtype)
        writer.finish().run([pixels(x), pixels(plus), result])
        expected = conv(F.silu(norm(x.float()))) + plus[:, :channels_out].float()
        assert_agree(planar(result, channels_out), expected, writer.dtype)

    def test_without_bias(self, writer: ProgramWriter) -> None:
        conv = rounded(nn.Conv2d(32, 32, 3, padding=1, bias=False), writer.dtype)
        self.check(writer, conv, images(1, 32, (8, 8), writer.dtype))

    @SIZES
    def test_of_single_pixels_with_something_added(
        self, writer: ProgramWriter, threads: int, size: tuple[int, int]
    ) -> None:
        conv = rounded(nn.Conv2d(64, 32, 1), writer.dtype)
        x, added = images(3, 64, size, writer.dtype), images(3, 32, size, writer.dtype)
        given, plus, out = (writer.given(channels, *size) for channels in (64, 32, 32))
        writer.convolve(conv, given, out, add=plus)
        result = empty(3, out, writer.dtype)
        writer.finish().run([pixels(x), pixels(added), result])
        assert_agree(planar(result), conv(x.float()) + added.float(), writer.dtype)

    def test_into_float32(self, writer: ProgramWriter) -> None:
        conv = rounded(nn.Conv2d(32, 3, 3, padding=1), writer.dtype)
        x = images(2, 32, (8, 8), writer.dtype)
        given, out = writer.given(32, 8, 8), writer.given(filled(3), 8, 8)
        writer.convolve(conv, writer.copy(given), out, as_float=True)
        result = empty(2, out, torch.float32)
        writer.finish().run([pixels(x), result])
        torch.testing.assert_close(planar(result, 3), conv(x.float()), atol=2e-4, rtol=0)

    @staticmethod
    def check(writer: ProgramWriter, conv: nn.Module, x: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        expected = conv(x.float())
        given = writer.given(*x.shape[1:])
        out = writer.given(filled(conv.out_channels), *expected.shape[2:])
        writer.convolve(conv, writer.copy(given), out)
        result = empty(len(x), out, writer.dtype)
        writer.finish().run([pixels(x), result])
        assert_agree(planar(result, conv.out_channels), expected, writer.dtype)
        assert not result[..., conv.out_channels :].any()


class TestNorms:
    @SIZES
    @pytest.mark.parametrize("channels", [32, 96])
    @pytest.mark.parametrize("silu", [False, True], ids=["linear", "silu"])
    def test_with_fixed_scale(
        self, writer: ProgramWriter, threads: int, size: tuple[int, int], channels: int, silu: bool
    ) -> None:
        norm = rounded(nn.GroupNorm(channels // 32, channels), writer.dtype)
        assert isinstance(norm, nn.GroupNorm)
        x = images(3, channels, size, writer.dtype)
        given, out = writer.given(channels, *size), writer.given(channels, *size)
        writer.move(writer.normalise(given, norm, silu, border=0), out)
        result = empty(3, out, writer.dtype)
        writer.finish().run([pixels(x), result])
        expected = norm(x.float())
        assert_agree(planar(result), F.silu(expected) if silu else expected, writer.dtype)

    @BATCHES
    def test_with_the_scale_of_each_image(self, writer: ProgramWriter, threads: int, batch: int) -> None:
        x, modulation = images(batch, 64, (7, 5), writer.dtype), images(batch, 300, (1, 1), writer.dtype)[..., 0, 0]
        self.check(writer, x, modulation)

    def test_with_one_scale_for_all_images(self, writer: ProgramWriter) -> None:
        x, modulation = images(4, 64, (7, 5), writer.dtype), images(1, 300, (1, 1), writer.dtype)[..., 0, 0]
        self.check(writer, x, modulation.expand(4, -1))

    def test_of_a_constant_image(self, writer: ProgramWriter) -> None:
        modulation = images(1, 300, (1, 1), writer.dtype)[..., 0, 0]
        x = torch.full((1, 64, 8, 8), 3.0, dtype=writer.dtype)
        self.check(writer, x, modulation, slack=10)  # divided by the square root of the ε of 1e-5 alone

    @staticmethod
    def check(writer: ProgramWriter, x: Tensor, modulation: Tensor, slack: float = 1.0) -> None:
        """SiLU follows; scale and shift begin at column 20; a border of zeros surrounds the result."""
        conv = rounded(nn.Conv2d(64, 32, 3, padding=1), writer.dtype)
        given, out = writer.given(*x.shape[1:]), writer.given(32, *x.shape[2:])
        writer.convolve(conv, writer.modulate(given, 20), out)
        result = empty(len(x), out, writer.dtype)
        writer.finish().run([pixels(x), result], modulation)
        scale, shift = (modulation.float()[:, first : first + 64, None, None] for first in (20, 84))
        normed = F.silu(F.group_norm(x.float(), 2) * (1 + scale) + shift)
        assert_agree(planar(result), conv(normed), writer.dtype, slack)


class TestOtherSteps:
    @SIZES
    @pytest.mark.parametrize("channels", [3, 6, 15])
    def test_loads_planar_images(
        self, writer: ProgramWriter, threads: int, size: tuple[int, int], channels: int
    ) -> None:
        conv = rounded(nn.Conv2d(channels, 32, 3, padding=1), writer.dtype)
        x = images(2, channels, size)
        given, out = writer.given(channels, *size), writer.given(32, *size)
        writer.convolve(conv, writer.load(given), out)
        result = empty(2, out, writer.dtype)
        writer.finish().run([x, result])
        assert_agree(planar(result), conv(x.to(writer.dtype).float()), writer.dtype)

    def test_enlarges(self, writer: ProgramWriter, threads: int) -> None:
        conv = rounded(nn.Conv2d(32, 32, 3, padding=1), writer.dtype)
        x = images(2, 32, (5, 7), writer.dtype)
        given, out = writer.given(32, 5, 7), writer.given(32, 10, 14)
        writer.convolve(conv, writer.copy(given, factor=2), out)
        result = empty(2, out, writer.dtype)
        writer.finish().run([pixels(x), result])
        assert_agree(planar(result), conv(F.interpolate(x.float(), scale_factor=2.0)), writer.dtype)

    @pytest.mark.parametrize("size", [(8, 8), (7, 5), (2, 2)], ids=str)
    def test_pools(self, writer: ProgramWriter, threads: int, size: tuple[int, int]) -> None:
        x = images(2, 32, size, writer.dtype)
        given, out = writer.given(32, *size), writer.given(32, size[0] // 2, size[1] // 2)
        writer.pool(given, out)
        result = empty(2, out, writer.dtype)
        writer.finish().run([pixels(x), result])
        assert torch.equal(planar(result), F.max_pool2d(x.float(), 2))

    @pytest.mark.parametrize("size", [(4, 4), (3, 7), (1, 1), (8, 14), (19, 35)], ids=str)
    @pytest.mark.parametrize("scale", [1.0, 10.0], ids=["soft", "sharp"])
    def test_attends(self, writer: ProgramWriter, threads: int, size: tuple[int, int], scale: float) -> None:
        x = images(2, 3 * 64, size).mul(scale**0.5).to(writer.dtype)
        given, out = writer.given(3 * 64, *size), writer.given(64, *size)
        writer.attend(given, out)
        result = empty(2, out, writer.dtype)
        writer.finish().run([pixels(x), result])
        q, k, v = x.float().reshape(2, 3, 8, 8, -1).transpose(-1, -2).unbind(1)
        expected = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(2, 64, *size)
        assert_agree(planar(result), expected, writer.dtype)

    def test_clears_and_writes_parts_of_channels(self, writer: ProgramWriter, threads: int) -> None:
        x = images(2, 32, (6, 6), writer.dtype)
        given, out = writer.given(32, 6, 6), writer.given(96, 8, 6)
        joined = writer.room(96, 8, 6)
        writer.clear(joined)
        writer.move(given, joined.columns(32, 32).within(6, 6))
        writer.move(joined, out)
        result = empty(2, out, writer.dtype)
        writer.finish().run([pixels(x), result])
        expected = torch.zeros(2, 96, 8, 6)
        expected[:, 32:64, :6] = x.float()
        assert torch.equal(planar(result), expected)


@DTYPES
def test_a_program_runs_any_batch_again_and_again(kernels: Kernels, dtype: torch.dtype, threads: int) -> None:
    writer = ProgramWriter(kernels, dtype)
    conv = rounded(nn.Conv2d(32, 32, 3, padding=1), dtype)
    given, out = writer.given(32, 8, 8), writer.given(32, 8, 8)
    writer.convolve(conv, writer.copy(given), out)
    program: Program = writer.finish()
    for batch in (1, 5, 2, 4, 1):
        x, result = images(batch, 32, (8, 8), dtype), empty(batch, out, dtype)
        program.run([pixels(x), result])
        assert_agree(planar(result), conv(x.float()), dtype)


def test_four_products_make_two_pixels() -> None:
    weight, row = images(2, 3, (3, 3)), torch.tensor([[2.0, -1.0, 0.5, 3.0]])
    taps = for_pairs(weight)
    assert taps.shape == (2, 3, 4, 3)
    a, b, c, d = row.unbind(1)
    products = taps * torch.stack((a - c, b + c, c - b, b - d))
    left, right = products[:, :, :3].sum(2), products[:, :, 1] - products[:, :, 2:].sum(2)
    torch.testing.assert_close(left, (weight * row[0, :3]).sum(3))
    torch.testing.assert_close(right, (weight * row[0, 1:]).sum(3))


def test_weights_are_packed_in_the_order_they_are_read() -> None:
    weight = torch.arange(20 * 3 * 2 * 2, dtype=torch.float32).reshape(20, 3, 2, 2)
    packed = pack_weights(weight, channels=4, max_vectors=4).reshape(2, 2, 4, 32)  # ky, kx, input, output
    assert torch.equal(packed[1, 0, 2, :20], weight[:, 2, 1, 0])
    assert not packed[:, :, 3].any()
    assert not packed[..., 20:].any()
