"""Crops of segments around motion: most of a frame is still, and a crop costs less.

Patch Diffusion (Wang et al., 2023) trains on patches and whole images in the same way.
Shapes: B batch, T time, C channels, H height, W width, S side of a crop.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from diamond_engine.diffusion import Segment
from diamond_engine.diffusion.denoiser import MOTION_THRESHOLD

MARGIN = 4
"""Margin in pixels inside a cut edge where errors do not count: motion from outside cannot be predicted."""


def crop_to_motion(segment: Segment, size: int, grid: int, newest: int, generator: torch.Generator) -> Segment:
    """Draws a square of ``size`` pixels of every sample around a moving pixel, which is drawn uniformly.

    Motion is measured around frame ``newest``: from the frame before it and to the frame after it. Crops start at
    multiples of ``grid``; ``size`` is such a multiple, at most H and W. Without motion all crops are equally likely.
    """
    frames = segment.obs[:, newest - 1 : newest + 2]
    b, _, _, height, width = frames.shape
    moved = ((frames[:, 1:] - frames[:, :-1]).abs().amax(dim=(1, 2)) > MOTION_THRESHOLD).float() + 1e-6
    pixel = torch.multinomial(moved.flatten(1), 1, generator=generator)[:, 0]
    corner = torch.stack((pixel // width, pixel % width), dim=1)
    inside = torch.randint(MARGIN, size - MARGIN, (b, 2), generator=generator, device=corner.device)
    start = torch.round((corner - inside) / grid).long() * grid
    limit = start.new_tensor((height - size, width - size))
    start = torch.minimum(start.clamp(min=0), limit)
    cut = [sample[..., y : y + size, x : x + size] for sample, (y, x) in zip(segment.obs, start.tolist(), strict=True)]
    return replace(segment, obs=torch.stack(cut), counts=_counted(start, size, (height, width)))


def _counted(start: Tensor, size: int, frame: tuple[int, int]) -> Tensor:
    """Mask of errors that count in crops at ``start`` ``(B, 2)``: ``(B, 1, S, S)``, 0 in the margins of cut edges."""
    place = torch.arange(size, device=start.device)
    axes: list[Tensor] = []
    for axis, length in enumerate(frame):
        first = start[:, axis, None]
        axes.append(((place >= MARGIN) | (first == 0)) & ((place < size - MARGIN) | (first + size == length)))
    rows, columns = axes
    return (rows[:, None, :, None] & columns[:, None, None, :]).float()
