"""Building blocks shared by the networks.

Shapes: B batch, C channels, H height, W width, D size of the conditioning vector.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUP_SIZE = 32
GROUP_NORM_EPS = 1e-5
ATTENTION_HEAD_SIZE = 8


def conv1x1(in_channels: int, out_channels: int) -> nn.Conv2d:
    """``(B, Cin, H, W)`` → ``(B, Cout, H, W)``."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=1)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Padded: ``(B, Cin, H, W)`` → ``(B, Cout, H/stride, W/stride)``."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def group_count(channels: int) -> int:
    """Number of groups of a group norm over this many channels."""
    return max(1, channels // GROUP_SIZE)


class GroupNorm(nn.Module):
    """Group normalisation with a learned affine map, groups of 32 channels; then SiLU where ``silu``.

    ``(B, C, H, W)`` → same.
    """

    def __init__(self, channels: int, silu: bool = False) -> None:
        super().__init__()
        self.silu = silu
        self.norm = nn.GroupNorm(group_count(channels), channels, eps=GROUP_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return F.silu(x) if self.silu else x


class AdaptiveGroupNorm(nn.Module):
    """Group normalisation whose scale and shift are a linear map of the conditioning vector.

    ``(B, C, H, W), (B, D)`` → ``(B, C, H, W)``. Zheng et al. (2020), as used in Appendix C of the paper.
    """

    def __init__(self, channels: int, cond_channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.groups = group_count(channels)
        self.linear = nn.Linear(cond_channels, 2 * channels)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        scale, shift = self.linear(cond)[:, :, None, None].chunk(2, dim=1)
        x = F.group_norm(x, self.groups, eps=GROUP_NORM_EPS)
        return torch.addcmul(shift.to(x.dtype), x, 1 + scale.to(x.dtype))


class SelfAttention2d(nn.Module):
    """Multi-head self-attention over all positions of a feature map. ``(B, C, H, W)`` → same.

    The residual is the normalised input, not the input: the published weights were trained so.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // ATTENTION_HEAD_SIZE)
        self.norm = GroupNorm(channels)
        self.qkv_proj = conv1x1(channels, 3 * channels)
        self.out_proj = conv1x1(channels, channels)
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        x = self.norm(x)
        qkv = self.qkv_proj(x).reshape(b, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out_proj(y.transpose(-1, -2).reshape(b, c, h, w))


class FourierFeatures(nn.Module):
    """Random Fourier features of a scalar: ``(B,)`` → ``(B, D)``, ``[cos, sin](2π c w)`` with a stored random ``w``."""

    weight: Tensor

    def __init__(self, cond_channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(1, cond_channels // 2))

    def forward(self, value: Tensor) -> Tensor:
        angle = 2 * math.pi * value[:, None] * self.weight  # a product, not a matmul: autocast would round it to bf16
        return torch.cat([angle.cos(), angle.sin()], dim=-1)


class ResBlock(nn.Module):
    """Residual block: (adaptive group norm → SiLU → 3×3 convolution) twice, a skip, optional self-attention.

    ``(B, Cin, H, W), (B, D)`` → ``(B, Cout, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int, cond_channels: int, attention: bool) -> None:
        super().__init__()
        self.proj = conv1x1(in_channels, out_channels) if in_channels != out_channels else nn.Identity()
        self.norm1 = AdaptiveGroupNorm(in_channels, cond_channels)
        self.conv1 = conv3x3(in_channels, out_channels)
        self.norm2 = AdaptiveGroupNorm(out_channels, cond_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.attn = SelfAttention2d(out_channels) if attention else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x, cond)))
        y = self.conv2(F.silu(self.norm2(y, cond)))
        return self.attn(self.proj(x) + y)


class ResBlocks(nn.Module):
    """A run of residual blocks that keeps every output and can concatenate a skip to every input.

    ``forward(x, cond, skips)``: x ``(B, C, H, W)``, cond ``(B, D)``, skips one ``(B, C', H, W)`` a block or None.
    Returns the last output and the list of all outputs.
    """

    def __init__(self, in_channels: list[int], out_channels: list[int], cond_channels: int, attention: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            ResBlock(c_in, c_out, cond_channels, attention)
            for c_in, c_out in zip(in_channels, out_channels, strict=True)
        )

    def forward(self, x: Tensor, cond: Tensor, skips: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        outputs: list[Tensor] = []
        for i, block in enumerate(self.resblocks):
            x = block(x if skips is None else torch.cat((x, skips[i]), dim=1), cond)
            outputs.append(x)
        return x, outputs


class Downsample(nn.Module):
    """Halves height and width with a stride-2 3×3 convolution. ``(B, C, H, W)`` → ``(B, C, H/2, W/2)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels, stride=2)
        nn.init.orthogonal_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a 3×3 convolution. ``(B, C, H, W)`` → ``(B, C, 2H, 2W)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
