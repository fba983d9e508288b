"""Residual blocks whose norms run on the CPU's own kernels: norm, scale, shift and SiLU in one pass, and one back.

They are used in training, and for drawing where torch's convolutions are faster. Torch takes a pass over memory for
each operation and keeps every result for the gradient. Parameters and their names do not change.

Shapes: B batch, C channels, H height, W width, D size of the conditioning vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from diamond_engine.networks.blocks import AdaptiveGroupNorm, ResBlock
from diamond_engine.runtime.cpu.kernels import load_kernels
from diamond_engine.runtime.cpu.program import is_supported


class FusedResBlock(ResBlock):
    """Replaces ``ResBlock`` on a CPU; see there."""

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        if torch.compiler.is_compiling():  # torch.compile generates kernels of its own for the plain path
            return super().forward(x, cond)
        y = self.conv1(_modulated(self.norm1, x, cond))
        y = self.conv2(_modulated(self.norm2, y, cond))
        return self.attn(self.proj(x) + y)


def fuse_norms(network: nn.Module) -> None:
    """Turns every residual block that the kernels can run into a ``FusedResBlock``, in place.

    The network can still be copied: the blocks hold no kernels.
    """
    for module in network.modules():
        if type(module) is ResBlock and is_supported(module.norm1.channels) and is_supported(module.norm2.channels):
            module.__class__ = FusedResBlock


def _modulated(norm: AdaptiveGroupNorm, x: Tensor, cond: Tensor) -> Tensor:
    """SiLU of an adaptive group norm: ``(B, C, H, W), (B, D)`` → ``(B, C, H, W)``."""
    apply: Callable[[Tensor, Tensor], Tensor] = _Modulate.apply  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return apply(x, norm.linear(cond).float())


class _Modulate(torch.autograd.Function):
    """``Kernels.modulate`` and its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, modulation: Tensor) -> Tensor:
        x, modulation = x.contiguous(memory_format=torch.channels_last), modulation.contiguous()
        ctx.save_for_backward(x, modulation)
        return load_kernels().modulate(x, modulation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, modulation = ctx.saved_tensors
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        return load_kernels().modulate_backward(x, modulation, gradient)
